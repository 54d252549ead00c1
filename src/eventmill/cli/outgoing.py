"""The events that a publish command sends: read from a file line by line, or wrapped around data; and their requests.

Bytes pass through: what a line says is sent as it stands there. Sends nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import BinaryIO, NamedTuple
from urllib.parse import quote
from uuid import uuid4

import msgspec

from eventmill.cli.remote import Failed

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
_DOCUMENT_BYTES_MAX = 64 * 1024 * 1024
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F))).replace("%", "").replace('"', "")


class Outgoing(NamedTuple):
    line: int
    """Where it begins, from 1; an element of an array has its number in that."""
    event: bytes
    """A whole CloudEvent, or what is meant to be one."""


class Request(NamedTuple):
    headers: dict[str, str]
    body: bytes


class Shape(msgspec.Struct, frozen=True):
    """What stands around data that is to be an event."""

    source: str
    type: str
    id: str = ""
    """Empty: a new one for each event."""
    attributes: Mapping[str, str] = {}

    def wrap(self, data: bytes | None) -> bytes:
        head = {"specversion": "1.0", "id": self.id or str(uuid4()), "source": self.source, "type": self.type}
        opened = json.dumps({**head, **self.attributes}, ensure_ascii=False).encode()
        if data is None:
            return opened
        return opened[:-1] + b',"datacontenttype":"application/json","data":' + data + b"}"


def read_outgoing(file: BinaryIO, shape: Shape | None) -> Iterator[Outgoing]:
    """One JSON value per line, or one document: an event, or an array of them. With a `shape` values are data.

    Raises `Failed` for a document that is no JSON; what a single line holds is the gateway's to judge.
    """
    lines = enumerate(file, 1)
    for number, line in lines:
        if not line.strip():
            continue
        if not is_json(line):
            yield from _read_document(number, line + file.read(_DOCUMENT_BYTES_MAX), shape)
            return
        yield from _from_value(number, line.strip(), shape)
        break
    for number, line in lines:
        if line.strip():
            yield from _from_value(number, line.strip(), shape)


def _read_document(number: int, text: bytes, shape: Shape | None) -> Iterator[Outgoing]:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Failed(f"neither a JSON document nor one JSON value per line: line {number}: {error}") from None
    yield from _from_value(number, text.strip(), shape)


def _from_value(number: int, value: bytes, shape: Shape | None) -> Iterator[Outgoing]:
    if shape is not None:
        yield Outgoing(number, shape.wrap(value))
    elif value.startswith(b"["):
        try:
            elements = msgspec.json.decode(value, type=list[msgspec.Raw])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Failed(f"line {number} is not JSON: {error}") from None
        yield from (Outgoing(at, bytes(each)) for at, each in enumerate(elements, 1))
    else:
        yield Outgoing(number, value)


def is_json(line: bytes) -> bool:
    try:
        msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


def structured_request(event: bytes) -> Request:
    return Request({"content-type": STRUCTURED}, event)


def batch_request(events: Iterable[bytes]) -> Request:
    return Request({"content-type": BATCH}, b"[" + b",".join(events) + b"]")


def binary_request(event: bytes) -> Request:
    """Attributes as headers, data as the body (CloudEvents HTTP binding). Raises `ValueError` for what is no event."""
    try:
        members = msgspec.json.decode(event, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"not a JSON object: {error}") from None
    data = members.pop("data", None)
    media_type = json.loads(bytes(members.pop("datacontenttype", b'"application/json"')))
    headers = {"content-type": str(media_type)}
    for name, raw in ({"specversion": b'"1.0"'} | members).items():
        value = json.loads(bytes(raw))
        if value is not None:
            text = str(value).lower() if isinstance(value, bool) else str(value)
            headers[f"ce-{name}"] = quote(text, safe=_PRINTABLE + " ")
    return Request(headers, b"" if data is None else bytes(data))


def event_id(event: bytes) -> str:
    """The publisher's id; empty when there is none to be read."""
    try:
        found = json.loads(event)
    except ValueError:
        return ""
    return str(found.get("id", "")) if isinstance(found, dict) else ""
