"""Debug traces: one record per attempt, its request body rebuilt from the stored events when somebody looks.

Shape and limits: "Debug Tracing" guide and the TracingRequestResponse model of the Events API reference; the member
`timings` is an addition of ours.
"""

from __future__ import annotations

import asyncio
import codecs
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from eventmill.config import Config
from eventmill.core.envelope import format_time, recipient_suffix, webhook_body
from eventmill.core.eventbridge import BusForm, entry_of
from eventmill.core.openwhisk import ActionForm
from eventmill.ids import uuid_text
from eventmill.model import Registration
from eventmill.send.timings import Timings
from eventmill.store.base import Store
from eventmill.store.log import StoredEvent
from eventmill.store.work import TraceRecord

KEPT_MS = 7 * 86_400_000
"""By business time; older traces are shown no more, and deleted."""
_USER_INFORMATION = re.compile(r"^([^:/?#]+://)[^/?#]*@")


class TraceDetail(msgspec.Struct, frozen=True, kw_only=True):
    """What cannot be rebuilt. Times in milliseconds, `started_ms` business time."""

    delivery_id: str
    event_code: str
    client_id: str
    url: str
    """As `shown_url` gives it: traces show no passwords."""
    method: str
    request_headers: tuple[tuple[str, str], ...]
    request_body: str | None
    """None: rebuilt from the record's positions."""
    form: ActionForm | BusForm | None = None
    """How it is rebuilt when it is not a webhook's."""
    batch: bool
    status: int
    response_headers: tuple[tuple[str, str], ...]
    response_body: bytes
    duration_ms: int
    started_ms: int
    insights: tuple[tuple[str, str], ...]
    """(provider label, event code label) of probes; empty for deliveries, whose events tell."""
    timings: Timings | None = None

    def encode(self) -> bytes:
        return msgspec.msgpack.encode(self)


def shown_url(url: str) -> str:
    """The URL with its user information, if any, masked (RFC 3986 section 3.2.1)."""
    return _USER_INFORMATION.sub(r"\1***@", url) if "@" in url else url


_decode_detail = msgspec.msgpack.Decoder(TraceDetail).decode


def attempt_positions(records: Sequence[TraceRecord], delivery_id: str) -> tuple[int, ...] | None:
    """Of the events in the attempt with that id; none for a challenge. None: there is no such attempt here."""
    found = (each for each in records if _decode_detail(each.detail).delivery_id == delivery_id)
    return next((each.positions for each in found), None)


class Traced(NamedTuple):
    record: TraceRecord
    detail: TraceDetail


async def recent_traces(store: Store, registration: Registration, now_ms: int) -> list[Traced]:
    """Newest first; without their events."""
    records = await store.traces(registration.id)
    return [Traced(each, _decode_detail(each.detail)) for each in records if each.ts_ms >= now_ms - KEPT_MS]


async def render_traces(store: Store, registration: Registration, now_ms: int, config: Config) -> bytes:
    """The JSON array of TracingRequestResponse of a registration, newest first."""
    entries = []
    for traced in await recent_traces(store, registration, now_ms):
        # One delivery at a time: the bodies of two hundred may be hundreds of megabytes.
        entries.append(await trace_entry(store, registration, traced, config))
        await asyncio.sleep(0)
    return msgspec.json.encode(entries)


async def trace_entry(store: Store, registration: Registration, traced: Traced, config: Config) -> dict[str, Any]:
    """One of them, as TracingRequestResponse."""
    shard = await store.shard(registration.org)
    positions = traced.record.positions
    events = await store.fetch(shard, sorted(positions)) if positions else []
    suffix = recipient_suffix(registration.client_id, config.legacy_fields)
    return _entry(traced.detail, registration, events, suffix, config.trace_body_bytes_max)


def _entry(
    detail: TraceDetail, registration: Registration, events: list[StoredEvent], suffix: bytes, body_bytes_max: int
) -> dict[str, Any]:
    body = detail.request_body
    if body is None:
        body = cut_text(_request_body(detail, events, suffix) if events else b"", body_bytes_max)
    ended_ms = detail.started_ms + detail.duration_ms
    timings = {} if detail.timings is None else {"timings": _timings(detail.timings)}
    return {
        "event": detail.event_code,
        "id": detail.delivery_id,
        "date": format_time(ended_ms),
        "clientId": detail.client_id,
        "registrationId": registration.registration_id,
        "trace": {
            "tracingRequest": {
                "requestUrl": detail.url,
                "requestMethod": detail.method,
                "contentType": next((v for k, v in detail.request_headers if k.lower() == "content-type"), ""),
                "requestBody": body,
                "requestHeaders": _multimap(detail.request_headers),
            },
            "tracingResponse": {
                "responseBody": cut_text(detail.response_body, body_bytes_max),
                "responseCode": detail.status,
                "responseTime": detail.duration_ms,
                "responseHeaders": _multimap(detail.response_headers),
            },
            "ts": ended_ms,
            "deliveryTime": detail.started_ms,
            "insightsInfo": _insights(detail, events),
            **timings,
        },
    }


def _timings(timings: Timings) -> dict[str, object]:
    """Only what there was; to the microsecond."""
    phases = {
        "dns": timings.dns_ms,
        "connect": timings.connect_ms,
        "tls": timings.tls_ms,
        "firstByte": timings.first_byte_ms,
        "total": timings.total_ms,
    }
    return {**{name: round(ms, 3) for name, ms in phases.items() if ms is not None}, "reused": timings.reused}


def _request_body(detail: TraceDetail, events: Sequence[StoredEvent], suffix: bytes) -> bytes:
    if isinstance(detail.form, BusForm):
        return detail.form.call_body([entry_of(event.origin, event.ts_ms, event.body + suffix) for event in events])
    body = webhook_body([event.body for event in events], suffix, batch=detail.batch)
    return body if detail.form is None else detail.form.params(body, batch=detail.batch)


def _insights(detail: TraceDetail, events: list[StoredEvent]) -> list[dict[str, Any]]:
    """One element per provider and event code in the delivery, with the ids of its events."""
    if detail.insights:
        return [{"providerName": name, "eventCode": code, "eventIds": []} for name, code in detail.insights]
    ids: dict[tuple[str, str], list[str]] = {}
    for event in events:
        ids.setdefault((event.origin.provider_label, event.origin.event_code), []).append(uuid_text(event.event_id))
    return [{"providerName": name, "eventCode": code, "eventIds": found} for (name, code), found in ids.items()]


def _multimap(pairs: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    headers: dict[str, list[str]] = {}
    for name, value in pairs:
        headers.setdefault(name.lower(), []).append(value)
    return headers


def cut_text(raw: bytes, bytes_max: int) -> str:
    """At most `bytes_max` bytes as UTF-8 text, cut on a character boundary; what is not UTF-8 is replaced.

    `raw` may have been cut already, in the middle of a character, when it is of that length."""
    text = _decode_start(raw[:bytes_max]) if len(raw) >= bytes_max else raw.decode("utf-8", "replace")
    if len(text) * 3 <= bytes_max:  # replacements are longer than what they stand for, but no longer than this
        return text
    encoded = text.encode()
    return text if len(encoded) <= bytes_max else _decode_start(encoded[:bytes_max])


def _decode_start(raw: bytes) -> str:
    """Text that may end within a character, without what there is of that."""
    return codecs.getincrementaldecoder("utf-8")("replace").decode(raw)
