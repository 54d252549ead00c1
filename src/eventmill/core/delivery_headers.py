"""Headers of delivered requests and challenge probes, except the signatures (`core.signing`).

Follows "Introduction to Adobe I/O Events Webhooks", "Debug Tracing" and the Runtime action guide. For a batch, whose
event-level headers no page describes, each is the list of its distinct values in body order.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from eventmill.model import Origin

CONTENT_TYPE_CLOUDEVENT = "application/cloudevents+json; charset=UTF-8"
CONTENT_TYPE_JSON = "application/json; charset=utf-8"

CHALLENGE_EVENT_CODE = "challenge"
CHALLENGE_PROVIDER = "adobe-io"

REPLAY_HEADER = "x-eventmill-replay"
"""On deliveries that somebody asked for again, their retries included: the UUID of the replay or resend. Ours."""

_CLIENT = (("accept-encoding", "deflate,compress,identity"), ("user-agent", "Adobe/1.0"))
_PRINTABLE_ASCII = "".join(map(chr, range(0x20, 0x7F)))

Headers = list[tuple[str, str]]


def delivery_headers(
    events: Sequence[tuple[str, Origin]], *, batch: bool, retry_count: int, delivery_id: str, request_id: str
) -> Headers:
    """Headers of one attempt to deliver `events`, pairs of (event id, origin) in body order, at least one.

    `retry_count` is the number of retries so far: 0 on the first attempt, which bears no `x-adobe-retry-count`.
    """
    event_ids, event_codes, providers = _event_level_values(events)
    headers = [
        ("content-type", _content_type(events[0][1], batch)),
        *_CLIENT,
        ("x-adobe-delivery-id", delivery_id),
        ("x-adobe-event-code", header_value(event_codes)),
        ("x-adobe-event-id", header_value(event_ids)),
        ("x-adobe-provider", header_value(providers)),
        ("x-request-id", request_id),
    ]
    if retry_count:
        headers.append(("x-adobe-retry-count", str(retry_count)))
    return headers


def challenge_headers(registration_id: str, now_ms: int, signature: str, *, with_body: bool = False) -> Headers:
    """Headers of a challenge: of the GET, whose `signature` is that of the empty body, or of the POST."""
    return [
        *([("content-type", CONTENT_TYPE_JSON)] if with_body else []),
        *_CLIENT,
        ("x-adobe-event-code", CHALLENGE_EVENT_CODE),
        ("x-adobe-event-id", f"{registration_id}-probe-{now_ms}"),
        ("x-adobe-provider", CHALLENGE_PROVIDER),
        ("x-adobe-signature", signature),
    ]


def header_value(text: str) -> str:
    """`text` as a legal field value.

    Characters outside printable ASCII are percent-encoded as UTF-8, as CloudEvents do in HTTP headers; so a publisher's
    line break cannot become a header of its own. Anything else passes unchanged.
    """
    if text.isascii() and text.isprintable():
        return text
    return quote(text, safe=_PRINTABLE_ASCII, errors="replace")


def _event_level_values(events: Sequence[tuple[str, Origin]]) -> tuple[str, str, str]:
    if len(events) == 1:
        event_id, origin = events[0]
        return event_id, origin.event_code, origin.provider_name
    return (
        ",".join(dict.fromkeys(event_id for event_id, _ in events)),
        ",".join(dict.fromkeys(origin.event_code for _, origin in events)),
        ",".join(dict.fromkeys(origin.provider_name for _, origin in events)),
    )


def _content_type(origin: Origin, batch: bool) -> str:
    # A batch of one is still an array, hence no CloudEvent; no batch media type was ever seen from the real service.
    if batch or origin.delivery_format == "adobe_io":
        return CONTENT_TYPE_JSON
    return CONTENT_TYPE_CLOUDEVENT
