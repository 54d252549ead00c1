"""What a publishing request holds: the content mode that its headers tell, and the events of its body.

CloudEvents "HTTP Protocol Binding" for structured, binary and batch, the official Java SDK for raw mode. Must not:
know who subscribes, or store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from eventmill.config import Config
from eventmill.core.cloudevent import Published, parse_structured
from eventmill.core.cloudevent_json import read_object
from eventmill.core.cloudevent_modes import decode_text, make_raw, parse_binary
from eventmill.errors import GatewayError, Reason

Headers = Sequence[tuple[bytes, bytes]]

STRUCTURED_TYPE = b"application/cloudevents+json"
_BATCH_TYPE = b"application/cloudevents-batch+json"
_CLOUDEVENTS = b"application/cloudevents"
_JSON = b"application/json"
_PROVIDER = b"x-adobe-event-provider-id"
_CODE = b"x-adobe-event-code"
_EVENT_ID = b"x-event-id"
_NEEDS_SPECVERSION = (
    "specversion: is required with content type application/json; send application/cloudevents+json, or a raw event "
    "with the headers x-adobe-event-provider-id and x-adobe-event-code"
)
_TAKEN = "application/cloudevents+json, application/cloudevents-batch+json, or that of the data beside ce- headers"


Mode = Literal["structured", "plain_json", "binary", "raw", "batch"]
"""Plain JSON is structured if the body says so itself: some clients send CloudEvents under that content type."""


def detect_mode(headers: Mapping[bytes, bytes]) -> Mode:
    """Raises UNSUPPORTED_MEDIA_TYPE."""
    media = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    mode: Mode
    if media == STRUCTURED_TYPE:
        mode = "structured"
    elif media == _BATCH_TYPE:
        mode = "batch"
    elif b"ce-specversion" in headers and not media.startswith(_CLOUDEVENTS):
        mode = "binary"
    elif headers.get(_PROVIDER) and headers.get(_CODE) and media in {_JSON, b""}:
        mode = "raw"
    elif media == _JSON:
        mode = "plain_json"
    else:
        message = f"content-type: must be {_TAKEN}, but is {media[:80].decode('latin-1')!a}"
        raise GatewayError(Reason.UNSUPPORTED_MEDIA_TYPE, message)
    encoding = headers.get(b"content-encoding", b"identity")
    if encoding.lower() != b"identity":
        message = f"content-encoding: must be absent, but is {encoding[:80].decode('latin-1')!a}"
        raise GatewayError(Reason.UNSUPPORTED_MEDIA_TYPE, message)
    return mode


def read_event(mode: Mode, headers: Headers, body: bytes, config: Config, new_id: Callable[[], str]) -> Published:
    """The one event of a request in any mode but batch; `new_id` names a raw event that has no id."""
    if mode == "binary":
        return _read_binary(headers, body, config)
    last = dict(headers)
    if mode == "raw":
        return _read_raw(last, body, config, new_id)
    if mode == "plain_json":
        _check_says_event(last, body)
    published = parse_structured(body, strict=config.strict_events)
    if mode == "plain_json" and not published.has_specversion:
        raise GatewayError(Reason.INVALID_EVENT, _NEEDS_SPECVERSION)
    return published


def _check_says_event(headers: Mapping[bytes, bytes], body: bytes) -> None:
    """Plain JSON that is no event most likely lacks a header: one of raw mode's, or the content type of events."""
    if b'"specversion"' in body:
        return
    for given, missing in ((_PROVIDER, _CODE), (_CODE, _PROVIDER)):
        if headers.get(given) and not headers.get(missing):
            message = f"{missing.decode()}: is required beside {given.decode()}"
            raise GatewayError(Reason.INVALID_EVENT, message)
    read_object(body, "the body")
    raise GatewayError(Reason.INVALID_EVENT, _NEEDS_SPECVERSION)


def _read_binary(headers: Headers, body: bytes, config: Config) -> Published:
    attributes = [(name.decode("latin-1"), value) for name, value in headers if name.startswith(b"ce-")]
    _check_size(len(body) + sum(len(name) + len(value) for name, value in attributes), config)
    content_type = dict(headers).get(b"content-type") or None
    return parse_binary(attributes, content_type, body, strict=config.strict_events)


def _read_raw(headers: Mapping[bytes, bytes], body: bytes, config: Config, new_id: Callable[[], str]) -> Published:
    given = [headers.get(name, b"").strip(b" \t") for name in (_PROVIDER, _CODE, _EVENT_ID)]
    _check_size(len(body) + sum(map(len, given)), config)
    provider_id, event_code, event_id = (
        decode_text(name.decode(), value) for name, value in zip((_PROVIDER, _CODE, _EVENT_ID), given, strict=True)
    )
    if not event_id and has_phidata(headers):
        message = "x-event-id: must name a raw event that is marked by x-event-phidata"
        raise GatewayError(Reason.INVALID_EVENT, message)
    return make_raw(provider_id, event_code, event_id or new_id(), body)


def _check_size(size: int, config: Config) -> None:
    """Those headers become part of the event."""
    if size > config.event_bytes_max:
        message = f"the body and the headers of the event together are larger than {config.event_bytes_max} bytes"
        raise GatewayError(Reason.TOO_LARGE, message)


def has_phidata(headers: Mapping[bytes, bytes]) -> bool:
    """Whether the publisher marks protected health information; the official Java SDK sends an empty header for no."""
    return headers.get(b"x-event-phidata", b"").lower() == b"true"
