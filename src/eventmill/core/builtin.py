"""The providers that come built in, as a catalogue file describes them: who publishes, which events, how they look.

Decides nothing about who may use them and reads no file: see `read_builtin` for what a file must hold.
"""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from eventmill.model import BUILTIN_ORG, BUILTIN_PUBLISHER, EventMetadata, Provider

Json = dict[str, Any]


class BuiltinFamily(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Provider metadata of a built-in provider; members in the order of the wire."""

    id: str
    group: str
    label: str
    description: str
    has_multiple_providers: bool = False


class BuiltinEvent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One event code, with the channel and the message under which the AsyncAPI document shows it.

    In a file everything but code, label and description may be left out; what `read_builtin` gives is complete.
    """

    event_code: str
    label: str
    description: str
    channel: str = ""
    channel_description: str = ""
    operation_id: str = ""
    summary: str = ""
    """Of the operation."""
    operation_description: str = ""
    tags: tuple[str, ...] = ()
    message: str = ""
    message_title: str = ""
    message_summary: str = ""
    header: Json = msgspec.field(default_factory=dict)
    """JSON Schema of `event.header`."""
    body: Json = msgspec.field(default_factory=dict)
    """JSON Schema of `event.body`."""
    sample_event: Json | None = None
    """As delivered in the `adobe_io` envelope: `event`, with `header` and `body`, is what is published."""


class BuiltinProvider(msgspec.Struct, frozen=True, kw_only=True):
    provider: Provider
    """Its `org` is `BUILTIN_ORG`."""
    events: tuple[BuiltinEvent, ...]

    def event_metadata(self) -> tuple[EventMetadata, ...]:
        """In the order of the file."""
        return tuple(
            EventMetadata(
                org=BUILTIN_ORG,
                provider_id=self.provider.id,
                event_code=event.event_code,
                label=event.label,
                description=event.description,
                sample_event_template=_template(event.sample_event),
            )
            for event in self.events
        )


def _template(sample_event: Json | None) -> str | None:
    """The sample in the form that organizations give theirs in: the event's data, as base64 of JSON."""
    return None if sample_event is None else base64.b64encode(msgspec.json.encode(sample_event["event"])).decode()


class Named(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    url: str


class DocumentInfo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an AsyncAPI document says about itself, and where its servers are."""

    title: str = "Events of this gateway"
    version: str = "1.0.0"
    description: str = ""
    contact: Named | None = None
    license: Named | None = None
    journal_url: str = ""
    """Empty: the gateway's own."""


class Builtin(msgspec.Struct, frozen=True, kw_only=True):
    families: tuple[BuiltinFamily, ...] = ()
    providers: tuple[BuiltinProvider, ...] = ()
    publisher: str = BUILTIN_PUBLISHER
    document: DocumentInfo = DocumentInfo()


NOTHING_BUILT_IN = Builtin()
