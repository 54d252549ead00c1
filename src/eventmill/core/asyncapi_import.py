"""Reads an AsyncAPI document (2.x or 3.0) as a provider with its event codes, schemas and samples.

Takes what it can make sense of and says what it passed over. Pure: a decoded document in, a description out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from eventmill.core.asyncapi_provider import CODE_MEMBER, PROVIDER_MEMBER
from eventmill.core.asyncapi_references import Place, References, refusal
from eventmill.core.json_schema import schema_fault
from eventmill.model import DeliveryFormat

Json = dict[str, Any]

EVENTS_MAX = 500
_NOT_IN_CODES = re.compile(r"[^\w.-]", re.ASCII)
_EXAMPLE_MEMBERS = {"name", "summary", "headers", "payload"}
_ENVELOPE = "event"


class ImportedEvent(msgspec.Struct, frozen=True, kw_only=True):
    event_code: str
    label: str
    description: str
    data_schema: Any
    """JSON Schema of `data` without references; None when the document has none."""
    sample: Any
    """Of `data`; unset without an example."""
    is_enveloped: bool
    """The payload is the `adobe_io` envelope."""
    provider_id: str = ""
    """As an earlier export has it."""


class Imported(msgspec.Struct, frozen=True):
    title: str
    description: str
    events: tuple[ImportedEvent, ...]
    warnings: tuple[str, ...]

    @property
    def delivery_format(self) -> DeliveryFormat:
        """The envelope where most of the events have it."""
        enveloped = sum(event.is_enveloped for event in self.events)
        return "adobe_io" if enveloped * 2 > len(self.events) else "cloud_events_v1"


def read_document(document: Any, prefix: str) -> Imported:
    """`prefix` opens the codes of events whose document tells none: then the channel's name follows.

    Raises `GatewayError` (INVALID_BODY) for what is no AsyncAPI document, or has no message."""
    if not isinstance(document, dict) or not isinstance(document.get("asyncapi"), str):
        raise refusal("asyncapi", "is missing: this is no AsyncAPI document")
    version = document["asyncapi"]
    if not re.fullmatch(r"(2\.\d+|3\.0)\.\d+", version):
        raise refusal("asyncapi", f"{version[:40]!r} cannot be read; versions 2.x and 3.0 can")
    info = document.get("info")
    if not isinstance(info, dict) or not isinstance(info.get("title"), str):
        raise refusal("info.title", "is missing")
    reader = _Reader(document, prefix)
    events = tuple(reader.events(is_new=version.startswith("3.")))
    if not events:
        raise refusal("channels", "no message was found in them")
    return Imported(info["title"], _text(info.get("description")), events, reader.warnings)


_CHANNELS = Place(None, "channels")


class _Reader:
    def __init__(self, document: Json, prefix: str) -> None:
        self._document = document
        self._prefix = prefix
        self._references = References(document)

    @property
    def warnings(self) -> tuple[str, ...]:
        return self._references.warnings

    def events(self, *, is_new: bool) -> Iterator[ImportedEvent]:
        seen: set[str] = set()
        for where, channel_name, channel, message in self._messages(is_new=is_new):
            event = self._event(where, channel_name, channel, message)
            if event.event_code in seen:
                self._references.warn(where, f": the event code {event.event_code} comes twice; the first one counts")
                continue
            seen.add(event.event_code)
            if len(seen) > EVENTS_MAX:
                raise refusal("channels", f"they have more than {EVENTS_MAX} messages")
            yield event

    def _messages(self, *, is_new: bool) -> Iterator[tuple[Place, str, Json, Json]]:
        channels = self._document.get("channels")
        for name, given in (channels if isinstance(channels, dict) else {}).items():
            where = _CHANNELS.at(name)
            channel = self._references.object(given, where)
            address = _text(channel.get("address")) or name
            for place, each in self._channel_messages(channel, where, is_new=is_new):
                message = self._references.object(each, place)
                if message:
                    yield place, address, channel, message

    def _channel_messages(self, channel: Json, where: Place, *, is_new: bool) -> Iterator[tuple[Place, Any]]:
        if is_new:
            messages = self._references.object(channel.get("messages", {}), where.at("messages"))
            yield from ((where.at("messages", name), each) for name, each in messages.items())
            return
        for action in ("subscribe", "publish"):
            operation = self._references.object(channel.get(action, {}), where.at(action))
            if "message" not in operation:
                continue
            place = where.at(action, "message")
            message = self._references.object(operation["message"], place)
            several = message.get("oneOf")
            if isinstance(several, list):
                yield from ((place.at("oneOf", at), each) for at, each in enumerate(several))
            else:
                yield place, message

    def _event(self, where: Place, channel_name: str, channel: Json, message: Json) -> ImportedEvent:
        payload = self._references.expand(message.get("payload"), where.at("payload"))
        if isinstance(payload, dict) and "schemaFormat" in payload:
            payload = payload.get("schema")
        properties = payload.get("properties") if isinstance(payload, dict) else None
        properties = properties if isinstance(properties, dict) else {}
        is_cloud_event = {"specversion", "type", "source"} <= properties.keys()
        is_enveloped = not is_cloud_event and _ENVELOPE in properties and "event_id" in properties
        member = "data" if is_cloud_event else _ENVELOPE if is_enveloped else ""
        schema = properties.get(member) if member else payload
        if schema is not None and (fault := schema_fault(schema, ".payload")) is not None:
            self._references.warn(where, f"{fault}; the schema is left out")
            schema = None
        code = self._code(channel_name, channel, message, properties)
        label = _text(message.get("title")) or _text(message.get("name")) or code
        description = _text(channel.get("description")) or _text(message.get("summary")) or label
        return ImportedEvent(
            event_code=code,
            label=label,
            description=description,
            data_schema=schema,
            sample=self._sample(message, where, member),
            is_enveloped=is_enveloped,
            provider_id=_text(channel.get(PROVIDER_MEMBER)),
        )

    def _code(self, channel_name: str, channel: Json, message: Json, properties: Json) -> str:
        """As it is said, or else from the channel: its name, and the message's where the channel has several."""
        marked = _text(channel.get(CODE_MEMBER))
        kind = properties.get("type")
        const = _text(kind.get("const")) if isinstance(kind, dict) else ""
        if marked or const:
            return _NOT_IN_CODES.sub("-", marked or const)[:255]
        name = channel_name.strip("/").replace("/", ".")
        if len(channel.get("messages") or ()) > 1 and _text(message.get("name")):
            name = f"{name}.{message['name']}"
        return _NOT_IN_CODES.sub("-", self._prefix + name)[:255]

    def _sample(self, message: Json, where: Place, member: str) -> Any:
        examples = message.get("examples")
        found: Any = msgspec.UNSET
        for at, each in enumerate(examples if isinstance(examples, list) else ()):
            place = where.at("examples", at)
            example = self._references.object(each, place)
            for name in sorted(example.keys() - _EXAMPLE_MEMBERS):
                self._references.warn(place.at(name), ": no example may have this member; passed over")
            payload = example.get("payload", msgspec.UNSET)
            if member:
                payload = payload.get(member, msgspec.UNSET) if isinstance(payload, dict) else msgspec.UNSET
            if found is msgspec.UNSET:
                found = payload
        return found


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""
