"""The providers that come built in, as a catalogue file describes them: who publishes, which events, what they look like.

Decides nothing about who may use them and reads no file: see `read_builtin` for what a file must hold.
"""

from __future__ import annotations

from typing import Any

import msgspec

from eventmill.model import BUILTIN_ORG, EventMetadata, Provider


class BuiltinFamily(msgspec.Struct, frozen=True, kw_only=True):
    """Provider metadata of a built-in provider; members in the order of the wire."""

    id: str
    group: str
    label: str
    description: str
    has_multiple_providers: bool = False


class BuiltinEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event code, with the channel and the message under which the AsyncAPI document shows it."""

    event_code: str
    label: str
    description: str
    channel: str
    channel_description: str
    operation_id: str
    summary: str
    operation_description: str
    tags: tuple[str, ...]
    message: str
    message_title: str
    message_summary: str
    header: dict[str, Any]
    """JSON Schema of `event.header`."""
    body: dict[str, Any]
    """JSON Schema of `event.body`."""
    sample_event: dict[str, Any]
    """As delivered in the `adobe_io` envelope."""


class BuiltinProvider(msgspec.Struct, frozen=True, kw_only=True):
    provider: Provider
    """Its `org` is `BUILTIN_ORG`."""
    events: tuple[BuiltinEvent, ...]

    def event_metadata(self) -> tuple[EventMetadata, ...]:
        return tuple(
            EventMetadata(
                org=BUILTIN_ORG,
                provider_id=self.provider.id,
                event_code=event.event_code,
                label=event.label,
                description=event.description,
                sample_event_template=None,
            )
            for event in self.events
        )


class Builtin(msgspec.Struct, frozen=True, kw_only=True):
    families: tuple[BuiltinFamily, ...] = ()
    providers: tuple[BuiltinProvider, ...] = ()


NOTHING_BUILT_IN = Builtin()
