"""What the service answers, as types: its JSON with nothing renamed and nothing lost ("Provider API", "Registration
API", "Journaling API" references).

Members that a service adds are there too, only not in the types. Checks nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NotRequired, TypedDict

Event = dict[str, Any]
"""A CloudEvent as JSON; of an `adobe_io` provider whatever its publisher sends."""


class ProviderInput(TypedDict):
    """What creates or replaces a provider."""

    label: str
    description: NotRequired[str]
    docs_url: NotRequired[str]
    instance_id: NotRequired[str]
    provider_metadata: NotRequired[str]
    event_delivery_format: NotRequired[Literal["cloud_events_v1", "adobe_io"]]
    schema_enforcement: NotRequired[Literal["off", "warn", "reject"]]
    """Of Eventmill only."""
    organization_id: NotRequired[str]


class Provider(ProviderInput):
    id: str
    source: str
    """`urn:uuid:<id>`, the `source` of its events."""
    publisher: str
    _links: NotRequired[dict[str, Any]]
    _embedded: NotRequired[dict[str, Any]]
    """`eventmetadata`, when it was asked for."""


class EventMetadataInput(TypedDict):
    """What creates or replaces event metadata."""

    event_code: str
    label: str
    description: str
    sample_event_template: NotRequired[str]
    """A sample event, JSON in base64."""


class EventMetadata(EventMetadataInput):
    _links: NotRequired[dict[str, Any]]


class ProviderMetadata(TypedDict):
    """A family of providers."""

    id: str
    label: NotRequired[str]
    description: NotRequired[str]


class EventOfInterest(TypedDict):
    provider_id: str
    event_code: str


class RegistrationInput(TypedDict):
    """What creates or replaces a registration."""

    client_id: NotRequired[str]
    """That of the credential; the client's own unless given."""
    name: str
    description: NotRequired[str]
    delivery_type: str
    """`journal`, `webhook` or `webhook_batch`, in any case."""
    events_of_interest: list[EventOfInterest]
    webhook_url: NotRequired[str]
    runtime_action: NotRequired[str]
    enabled: NotRequired[bool]


class Registration(RegistrationInput):
    id: NotRequired[int]
    registration_id: str
    webhook_status: str
    _links: dict[str, Any]


class Trace(TypedDict):
    """An attempt to deliver ("Debug Tracing"); challenges are attempts too."""

    event: str
    """Its event code."""
    id: str
    date: str
    registrationId: str
    trace: dict[str, Any]
    """`tracingRequest`, `tracingResponse`, and `insightsInfo` with the ids of the events."""


@dataclass(frozen=True)
class RegistrationPage:
    """Part of an organization's registrations."""

    registrations: list[Registration]
    number: int
    """From 0."""
    size: int
    total_elements: int
    total_pages: int
    has_next: bool


class JournalEntry(TypedDict):
    position: str
    """Opaque; good for `since`."""
    event: Event


@dataclass(frozen=True)
class JournalPage:
    """An answer of the journal."""

    events: list[JournalEntry]
    """Empty: nothing after the position asked for, yet."""
    links: dict[str, str]
    """Absolute; `next` is always there."""
    retry_after_s: float | None
    waited: bool
    """The service held the answer back until there was something, as asked: ask again at once."""
    headers: Mapping[str, str]
    """Lower-case names."""

    @property
    def next(self) -> str:
        return self.links["next"]


def journal_url(registration: Registration) -> str:
    """Where the journal of a registration is read."""
    return str(registration["_links"]["rel:events"]["href"])
