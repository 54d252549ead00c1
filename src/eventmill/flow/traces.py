"""Debug traces: one record per attempt, its request body rebuilt from the stored events when somebody looks.

Shape and limits: "Debug Tracing" guide and the TracingRequestResponse model of the Events API reference.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from eventmill.core.envelope import format_time, recipient_suffix, webhook_body
from eventmill.core.eventbridge import BusForm, entry_of
from eventmill.core.openwhisk import ActionForm
from eventmill.ids import uuid_text
from eventmill.model import Registration
from eventmill.store.base import Store
from eventmill.store.log import StoredEvent
from eventmill.store.work import TraceRecord

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

    def encode(self) -> bytes:
        return msgspec.msgpack.encode(self)


def shown_url(url: str) -> str:
    """The URL with its user information, if any, masked (RFC 3986 section 3.2.1)."""
    return _USER_INFORMATION.sub(r"\1***@", url) if "@" in url else url


_decode_detail = msgspec.msgpack.Decoder(TraceDetail).decode


async def render_traces(
    store: Store,
    registration: Registration,
    records: Sequence[TraceRecord],
    *,
    legacy_fields: bool,
    body_bytes_max: int,
) -> bytes:
    """The JSON array of TracingRequestResponse for `records`, in their order. Bodies are cut at `body_bytes_max`."""
    shard = await store.shard(registration.org)
    suffix = recipient_suffix(registration.client_id, legacy_fields)
    entries = []
    for record in records:
        # One delivery at a time: the bodies of two hundred may be hundreds of megabytes.
        events = await store.fetch(shard, sorted(record.positions)) if record.positions else []
        entries.append(_entry(_decode_detail(record.detail), registration, events, suffix, body_bytes_max))
        await asyncio.sleep(0)
    return msgspec.json.encode(entries)


def _entry(
    detail: TraceDetail, registration: Registration, events: list[StoredEvent], suffix: bytes, body_bytes_max: int
) -> dict[str, Any]:
    body = detail.request_body
    if body is None:
        body = _cut_text(_request_body(detail, events, suffix) if events else b"", body_bytes_max)
    ended_ms = detail.started_ms + detail.duration_ms
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
                "responseBody": _cut_text(detail.response_body, body_bytes_max),
                "responseCode": detail.status,
                "responseTime": detail.duration_ms,
                "responseHeaders": _multimap(detail.response_headers),
            },
            "ts": ended_ms,
            "deliveryTime": detail.started_ms,
            "insightsInfo": _insights(detail, events),
        },
    }


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


def _cut_text(raw: bytes, bytes_max: int) -> str:
    """At most `bytes_max` bytes as text, cut on a character boundary; what is not UTF-8 is replaced."""
    if len(raw) <= bytes_max:
        return raw.decode("utf-8", "replace")
    end = bytes_max
    while end and raw[end] & 0xC0 == 0x80:
        end -= 1
    return raw[:end].decode("utf-8", "replace")
