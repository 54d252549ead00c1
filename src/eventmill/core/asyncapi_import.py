"""Reads an AsyncAPI document (2.x or 3.0) as a provider with its event codes, schemas and samples.

Takes what it can make sense of and says what it passed over. Pure: a decoded document in, a description out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from eventmill.core.asyncapi_provider import CODE_MEMBER, PROVIDER_MEMBER
from eventmill.core.json_schema import schema_fault
from eventmill.errors import GatewayError, Reason
from eventmill.model import DeliveryFormat

Json = dict[str, Any]

EVENTS_MAX = 500
_NODES_MAX = 200_000
"""Of all schemas together, once their references are followed."""
_DEPTH_MAX = 40
_LEVELS_MAX = 150
"""Of a schema, once its references are followed; a level costs some stack."""
_WARNINGS_MAX = 100
_NAME_CHARS_MAX = 60
"""Of each name where a place in the document is told."""
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
        raise _refusal("asyncapi", "is missing: this is no AsyncAPI document")
    version = document["asyncapi"]
    if not re.fullmatch(r"(2\.\d+|3\.0)\.\d+", version):
        raise _refusal("asyncapi", f"{version[:40]!r} cannot be read; versions 2.x and 3.0 can")
    info = document.get("info")
    if not isinstance(info, dict) or not isinstance(info.get("title"), str):
        raise _refusal("info.title", "is missing")
    reader = _Reader(document, prefix)
    events = tuple(reader.events(is_new=version.startswith("3.")))
    if not events:
        raise _refusal("channels", "no message was found in them")
    return Imported(info["title"], _text(info.get("description")), events, reader.warnings)


class _Place(NamedTuple):
    """Somewhere in the document; put in words only when something is to be said about it."""

    parent: _Place | None
    name: str | int

    def at(self, *names: str | int) -> _Place:
        place = self
        for name in names:
            place = _Place(place, name)
        return place

    def __str__(self) -> str:
        if isinstance(self.name, int):
            return f"{self.parent}[{self.name}]"
        name = self.name if len(self.name) <= _NAME_CHARS_MAX else f"{self.name[:_NAME_CHARS_MAX]}..."
        return name if self.parent is None else f"{self.parent}.{name}"


_CHANNELS = _Place(None, "channels")


class _Reader:
    def __init__(self, document: Json, prefix: str) -> None:
        self._document = document
        self._prefix = prefix
        self._nodes = 0
        self._warnings: list[str] = []
        self._unsaid = 0

    @property
    def warnings(self) -> tuple[str, ...]:
        unsaid = (f"and {self._unsaid} more",) if self._unsaid else ()
        return (*self._warnings, *unsaid)

    def _warn(self, where: _Place, what: str) -> None:
        if len(self._warnings) < _WARNINGS_MAX:
            self._warnings.append(f"{where}{what}")
        else:
            self._unsaid += 1

    def events(self, *, is_new: bool) -> Iterator[ImportedEvent]:
        seen: set[str] = set()
        for where, channel_name, channel, message in self._messages(is_new=is_new):
            event = self._event(where, channel_name, channel, message)
            if event.event_code in seen:
                self._warn(where, f": the event code {event.event_code} comes twice; the first one counts")
                continue
            seen.add(event.event_code)
            if len(seen) > EVENTS_MAX:
                raise _refusal("channels", f"they have more than {EVENTS_MAX} messages")
            yield event

    def _messages(self, *, is_new: bool) -> Iterator[tuple[_Place, str, Json, Json]]:
        channels = self._document.get("channels")
        for name, given in (channels if isinstance(channels, dict) else {}).items():
            where = _CHANNELS.at(name)
            channel = self._object(given, where)
            address = _text(channel.get("address")) or name
            for place, each in self._channel_messages(channel, where, is_new=is_new):
                message = self._object(each, place)
                if message:
                    yield place, address, channel, message

    def _channel_messages(self, channel: Json, where: _Place, *, is_new: bool) -> Iterator[tuple[_Place, Any]]:
        if is_new:
            messages = self._object(channel.get("messages", {}), where.at("messages"))
            yield from ((where.at("messages", name), each) for name, each in messages.items())
            return
        for action in ("subscribe", "publish"):
            operation = self._object(channel.get(action, {}), where.at(action))
            if "message" not in operation:
                continue
            place = where.at(action, "message")
            message = self._object(operation["message"], place)
            several = message.get("oneOf")
            if isinstance(several, list):
                yield from ((place.at("oneOf", at), each) for at, each in enumerate(several))
            else:
                yield place, message

    def _event(self, where: _Place, channel_name: str, channel: Json, message: Json) -> ImportedEvent:
        payload = self._expand(message.get("payload"), where.at("payload"), (), 0)
        if isinstance(payload, dict) and "schemaFormat" in payload:
            payload = payload.get("schema")
        properties = payload.get("properties") if isinstance(payload, dict) else None
        properties = properties if isinstance(properties, dict) else {}
        is_cloud_event = {"specversion", "type", "source"} <= properties.keys()
        is_enveloped = not is_cloud_event and _ENVELOPE in properties and "event_id" in properties
        member = "data" if is_cloud_event else _ENVELOPE if is_enveloped else ""
        schema = properties.get(member) if member else payload
        if schema is not None and (fault := schema_fault(schema, ".payload")) is not None:
            self._warn(where, f"{fault}; the schema is left out")
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

    def _sample(self, message: Json, where: _Place, member: str) -> Any:
        examples = message.get("examples")
        found: Any = msgspec.UNSET
        for at, each in enumerate(examples if isinstance(examples, list) else ()):
            place = where.at("examples", at)
            example = self._object(each, place)
            for name in sorted(example.keys() - _EXAMPLE_MEMBERS):
                self._warn(place.at(name), ": no example may have this member; passed over")
            payload = example.get("payload", msgspec.UNSET)
            if member:
                payload = payload.get(member, msgspec.UNSET) if isinstance(payload, dict) else msgspec.UNSET
            if found is msgspec.UNSET:
                found = payload
        return found

    # References

    def _object(self, value: Any, where: _Place) -> Json:
        """The object itself, or the one that it refers to; empty with a warning when there is none."""
        for _ in range(_DEPTH_MAX):
            if not isinstance(value, dict):
                break
            if not isinstance(value.get("$ref"), str):
                return value
            value = self._target(value["$ref"])
        self._warn(where, ": is no object, or refers to none in this document; passed over")
        return {}

    def _target(self, reference: str) -> Any:
        """What a reference within the document leads to (RFC 6901); None for nothing."""
        if not reference.startswith("#/"):
            return None
        value: Any = self._document
        for step in reference[2:].split("/"):
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(value, dict):
                value = value.get(name)
            elif isinstance(value, list) and name.isdigit() and len(name) < 9 and int(name) < len(value):
                value = value[int(name)]
            else:
                return None
        return value

    def _expand(self, value: Any, where: _Place, open_references: tuple[str, ...], level: int) -> Any:
        """The value with every reference replaced by what it leads to. One that leads into itself, or out of the
        document, becomes a schema that takes everything."""
        self._nodes += 1
        if self._nodes > _NODES_MAX or level > _LEVELS_MAX:
            raise _refusal(where, "the schemas are too large once their references are followed")
        if isinstance(value, list):
            return [self._expand(each, where.at(at), open_references, level + 1) for at, each in enumerate(value)]
        if not isinstance(value, dict):
            return value
        reference = value.get("$ref")
        if isinstance(reference, str):
            target = self._target(reference)
            if target is None or reference in open_references or len(open_references) >= _DEPTH_MAX:
                why = "leads nowhere in this document" if target is None else "leads into itself"
                self._warn(where, f": {reference[:80]} {why}; anything is taken there")
                return {}
            return self._expand(target, where, (*open_references, reference), level + 1)
        return {name: self._expand(each, where.at(name), open_references, level + 1) for name, each in value.items()}


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _refusal(where: str | _Place, what: str) -> GatewayError:
    return GatewayError(Reason.INVALID_BODY, f"{where}: {what}")
