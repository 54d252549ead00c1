"""Raw, binary and batch publishing brought into the one form that is checked and stored: structured CloudEvents.

CloudEvents 1.0.2: "HTTP Protocol Binding" (binary mode) and "JSON Event Format" (batch). Raw mode is that of the
official Java SDK. A body is spliced in as data only after it was read as exactly one JSON value, so that it cannot
bring attributes along. Must not: know of HTTP requests beyond names and values of headers.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

import msgspec

from eventmill.core.cloudevent import Published, parse_structured
from eventmill.core.cloudevent_json import read_array, read_value
from eventmill.core.cloudevent_rules import (
    GIVEN_AT_DELIVERY,
    check_controls,
    is_json_media,
    is_provider_id,
    refuse,
    shown,
    wrong_name,
)
from eventmill.errors import BatchRefused, EventRefusal, GatewayError, Reason

PREFIX = "ce-"
"""Of the headers that are attributes in binary mode."""

_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*+)"')
_ESCAPED = re.compile(rb"\\(.)")
_BAD_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_LEADING = ("specversion", "id", "source", "type", "datacontenttype", "time")
_ELSEWHERE = {
    "datacontenttype": "its header is content-type",
    "data": "the body is the data",
    "data_base64": "the body is the data",
}

_encode = msgspec.json.encode


def parse_binary(
    headers: Iterable[tuple[str, bytes]], content_type: bytes | None, body: bytes, *, strict: bool = False
) -> Published:
    """An event whose attributes are headers, in order, names lower-case; others than `ce-` ones are passed over.

    JSON becomes `data` byte by byte, or none when there is nothing; any other content type becomes `data_base64`.
    Raises INVALID_JSON, or INVALID_EVENT with a message that starts with the offending header.
    """
    values = _attributes_of(headers, strict)
    declared = None
    if content_type is not None:
        declared = values["datacontenttype"] = decode_text("content-type", content_type.strip(b" \t"))
    data = _data_member(declared, body)
    leading = {name: values.pop(name) for name in _LEADING if name in values}
    members = [b'"%b":%b' % (name.encode(), _encode(value)) for name, value in (leading | values).items()]
    if data:
        members.append(data)
    try:
        return parse_structured(b"{%b}" % b",".join(members), strict=strict)
    except GatewayError as error:  # all that is left to object to is an attribute
        raise GatewayError(error.reason, PREFIX + error.message) from None


def make_raw(provider_id: str, event_code: str, event_id: str, body: bytes) -> Published:
    """The event around a body that is any JSON value; its time is left to storing.

    Takes the values of the headers `x-adobe-event-provider-id`, `x-adobe-event-code` and `x-event-id`, which its
    refusals name; none may be empty.
    """
    if is_provider_id(provider_id) is None:
        message = f"must hold only letters, digits and . _ -, but is {shown(provider_id)}"
        refuse("x-adobe-event-provider-id", message)
    data = read_value(body, "the body")
    source = f"urn:uuid:{provider_id}"
    named = b'{"specversion":"1.0","id":%b,"source":%b,"type":%b' % tuple(map(_encode, (event_id, source, event_code)))
    opened = named + b',"datacontenttype":"application/json","data":' + data
    return Published(event_id, source, provider_id, event_code, opened, msgspec.Raw(data), True, False)


def parse_batch(body: bytes, *, events_max: int, event_bytes_max: int, strict: bool = False) -> list[Published]:
    """The events of a JSON array, which may be empty; all or none.

    Raises INVALID_JSON or INVALID_BATCH for what is no array, TOO_LARGE for too many events, and `BatchRefused`
    telling every refused event.
    """
    items = read_array(body, "the batch")
    if len(items) > events_max:
        raise GatewayError(Reason.TOO_LARGE, f"the batch holds {len(items)} events; at most {events_max} are taken")
    events: list[Published] = []
    refusals: list[EventRefusal] = []
    for index, item in enumerate(items):
        try:
            if len(item) > event_bytes_max:
                raise GatewayError(Reason.TOO_LARGE, f"the event is larger than {event_bytes_max} bytes")
            events.append(parse_structured(bytes(item), strict=strict, what="the event"))
        except GatewayError as error:
            refusals.append(EventRefusal(index, error.reason, error.message))
    if refusals:
        raise BatchRefused(refusals, len(items))
    return events


def decode_text(header: str, raw: bytes) -> str:
    """A header's value as text. Refuses what is not UTF-8, and control characters."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        refuse(header, f"is not UTF-8: byte {error.start}; percent-encode what is not ASCII")
    check_controls(header, text)
    return text


def _attributes_of(headers: Iterable[tuple[str, bytes]], strict: bool) -> dict[str, str]:
    values: dict[str, str] = {}
    for header, raw in headers:
        if not header.startswith(PREFIX):
            continue
        name = header[len(PREFIX) :]
        if name in _ELSEWHERE:
            refuse(header, f"must not be given; {_ELSEWHERE[name]}")
        if name in values:
            refuse(header, "must not be given more than once")
        wrong = wrong_name(name, strict)
        if wrong:
            refuse(header, wrong)
        if name not in GIVEN_AT_DELIVERY:
            values[name] = decode_text(header, _unescape(header, raw.strip(b" \t")))
    return values


def _unescape(header: str, raw: bytes) -> bytes:
    """One round each of unquoting, for senders of older versions of the binding, and of percent-decoding."""
    quoted = _QUOTED.fullmatch(raw)
    if quoted is not None:
        raw = _ESCAPED.sub(rb"\1", quoted[1])
    if b"%" not in raw:
        return raw
    if _BAD_PERCENT.search(raw) is not None:
        refuse(header, "has a % that two hexadecimal digits do not follow; write it as %25")
    return unquote_to_bytes(raw)


def _data_member(content_type: str | None, body: bytes) -> bytes:
    if content_type is None:
        return b'"data":' + read_value(body, "the body, sent without content-type,") if body else b""
    is_json = is_json_media(content_type)
    if is_json is None:
        refuse("content-type", f"must be a media type (RFC 2045), but is {shown(content_type)}")
    if is_json:
        return b'"data":' + read_value(body, "the body") if body else b""
    return b'"data_base64":"%b"' % binascii.b2a_base64(body, newline=False)
