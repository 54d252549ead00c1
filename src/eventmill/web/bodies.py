"""Bodies of the management API's answers: members in the order of the real service, absent ones left out.

Shapes only, for encoding and for the API's description; `web.hal` fills them. Sources: "Provider API", "Registration
API", Events API reference.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType, field

from eventmill.errors import Reason
from eventmill.model import (
    DeliveryFormat,
    DeliveryType,
    EventBridgeDestination,
    Lane,
    Region,
    SchemaEnforcement,
    WebhookStatus,
)


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all of them."""


class Link(msgspec.Struct, frozen=True):
    href: str


class SelfLinks(Body, frozen=True, kw_only=True):
    self: Link


# --- Providers and their event metadata ---


class EventMetadataLinks(Body, frozen=True, kw_only=True):
    sample_event: Link = field(name="rel:sample_event")
    update: Link | UnsetType = field(name="rel:update", default=UNSET)
    """Only where the caller's organization owns the provider."""
    self: Link


class EventMetadataBody(Body, frozen=True, kw_only=True):
    links: EventMetadataLinks = field(name="_links")
    description: str
    label: str
    event_code: str
    data_schema: dict[str, Any] | UnsetType = UNSET
    """Where one is attached."""


class EventMetadataItems(Body, frozen=True, kw_only=True):
    eventmetadata: list[EventMetadataBody]


class EventMetadataCollection(Body, frozen=True, kw_only=True):
    links: SelfLinks = field(name="_links")
    embedded: EventMetadataItems = field(name="_embedded")


class ProviderLinks(Body, frozen=True, kw_only=True):
    eventmetadata: Link = field(name="rel:eventmetadata")
    update: Link | UnsetType = field(name="rel:update", default=UNSET)
    """Only where the caller's organization owns the provider."""
    self: Link


class ProviderBody(Body, frozen=True, kw_only=True):
    links: ProviderLinks = field(name="_links")
    embedded: EventMetadataItems | UnsetType = field(name="_embedded", default=UNSET)
    """With `eventmetadata=true`."""
    id: str
    label: str
    description: str
    source: str
    docs_url: str | UnsetType = UNSET
    publisher: str
    provider_metadata: str
    instance_id: str
    event_delivery_format: DeliveryFormat
    data_residency_region: Region
    schema_enforcement: SchemaEnforcement | UnsetType = UNSET
    """Where it is not off."""


class ProviderItems(Body, frozen=True, kw_only=True):
    providers: list[ProviderBody]


class ProviderCollection(Body, frozen=True, kw_only=True):
    links: SelfLinks = field(name="_links")
    embedded: ProviderItems = field(name="_embedded")


class FamilyBody(Body, frozen=True, kw_only=True):
    """Provider metadata."""

    id: str
    group: str
    label: str
    description: str
    has_multiple_providers: bool


class FamilyItems(Body, frozen=True, kw_only=True):
    providermetadata: list[FamilyBody]


class FamilyCollection(Body, frozen=True, kw_only=True):
    links: SelfLinks = field(name="_links")
    embedded: FamilyItems = field(name="_embedded")


class SampleEventBody(Body, frozen=True, kw_only=True):
    links: SelfLinks = field(name="_links")
    format: Literal["adobe_io", "cloud_events"]
    sample_payload: msgspec.Raw
    """As a webhook would get it."""


# --- Registrations ---


class RegistrationLinks(Body, frozen=True, kw_only=True):
    events: Link = field(name="rel:events")
    trace: Link = field(name="rel:trace")
    self: Link


class InterestBody(Body, frozen=True, kw_only=True):
    """Of a provider or code that was deleted since, only the names remain."""

    event_code: str
    event_label: str | UnsetType = UNSET
    event_description: str | UnsetType = UNSET
    provider_id: str
    provider: str | UnsetType = UNSET
    """The technical name."""
    provider_label: str | UnsetType = UNSET
    provider_description: str | UnsetType = UNSET
    provider_docs_url: str | UnsetType = UNSET
    event_delivery_format: DeliveryFormat | UnsetType = UNSET


_Count = Annotated[int, msgspec.Meta(ge=0)]


class ReplayCallBody(Body, frozen=True, kw_only=True):
    scope: Literal["undelivered"]


class ReplayCall(Body, frozen=True, kw_only=True):
    """The one call that sends all of it."""

    method: Literal["POST"]
    href: str
    body: ReplayCallBody


class UndeliveredBrief(Body, frozen=True, kw_only=True):
    """What can still be sent of what a registration missed: nothing of it is sent by itself. Ours."""

    total: _Count
    oldest: str | None
    """When the oldest of it was published."""
    replay: ReplayCall | None
    """None when there is nothing, and for a journal."""


class SubscriberFilterBody(Body, frozen=True, kw_only=True):
    id: str
    name: str
    description: str
    subscriber_filter: str
    """JSON text."""


class RegistrationBody(Body, frozen=True, kw_only=True):
    links: RegistrationLinks = field(name="_links")
    id: Lane
    name: str
    description: str
    client_id: str
    registration_id: str
    events_of_interest: list[InterestBody]
    webhook_status: WebhookStatus
    created_date: str
    updated_date: str
    consumer_id: str
    project_id: str
    workspace_id: str
    webhook_url: str | UnsetType = UNSET
    """Of a Runtime action, the address made for it; none for journals and event buses."""
    ca_bundle: str | UnsetType = UNSET
    """Ours."""
    max_in_flight: int | UnsetType = UNSET
    """Ours."""
    events_per_second: float | UnsetType = UNSET
    """Ours."""
    delivery_type: DeliveryType
    runtime_action: str | UnsetType = UNSET
    destination_metadata: EventBridgeDestination | UnsetType = UNSET
    subscriber_filters: list[SubscriberFilterBody] | UnsetType = UNSET
    enabled: bool
    undelivered: UndeliveredBrief | UnsetType = UNSET
    """Ours: in the answer to a change by which it is pushed to again, if anything waits."""


class RegistrationItems(Body, frozen=True, kw_only=True):
    registrations: list[RegistrationBody]


class RegistrationCollection(Body, frozen=True, kw_only=True):
    links: SelfLinks = field(name="_links")
    embedded: RegistrationItems = field(name="_embedded")


class PageLinks(Body, frozen=True, kw_only=True):
    first: Link
    last: Link
    next: Link | UnsetType = UNSET
    prev: Link | UnsetType = UNSET
    self: Link


class PageBody(Body, frozen=True, kw_only=True):
    """Pages count from 0."""

    size: _Count
    number: _Count
    number_of_elements: _Count = field(name="numberOfElements")
    total_elements: _Count = field(name="totalElements")
    total_pages: _Count = field(name="totalPages")


class RegistrationPage(Body, frozen=True, kw_only=True):
    links: PageLinks = field(name="_links")
    embedded: RegistrationItems = field(name="_embedded")
    page: PageBody


Code = Annotated[str, msgspec.Meta(extra_json_schema={"enum": [reason.code for reason in Reason]})]


class RefusedEvent(Body, frozen=True, kw_only=True):
    index: _Count
    reason: Code
    message: str


class ErrorBody(Body, frozen=True, kw_only=True):
    """Every refusal."""

    reason: Code
    message: str
    error_code: str | UnsetType = UNSET
    """On 401 and 403."""
    errors: list[RefusedEvent] | UnsetType = UNSET
    """Of a published batch: the events that were refused."""
