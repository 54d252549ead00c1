"""The trace that a request of the gateway's own leaves: a challenge, or the creation of an event source."""

from __future__ import annotations

import msgspec

from eventmill.flow.traces import TraceDetail, shown_url
from eventmill.send.webhook import Request, Response
from eventmill.store.work import TraceRecord

_PROVIDER_LABEL = "Adobe IO Events"


class Probe(msgspec.Struct, frozen=True):
    """A request that delivers no event."""

    delivery_id: str
    client_id: str
    event_code: str
    label: str
    """Of its event code, for people."""
    started_ms: int
    """Business time."""

    def trace(self, request: Request, response: Response, *, ok: bool) -> TraceRecord:
        detail = TraceDetail(
            delivery_id=self.delivery_id,
            event_code=self.event_code,
            client_id=self.client_id,
            url=shown_url(request.url),
            method=request.method,
            request_headers=request.headers,
            request_body=request.body.decode(),
            batch=False,
            status=response.status,
            response_headers=response.headers,
            response_body=response.body,
            duration_ms=response.duration_ms,
            started_ms=self.started_ms,
            insights=((_PROVIDER_LABEL, self.label),),
            timings=response.timings,
        )
        ended_ms = self.started_ms + response.duration_ms
        return TraceRecord(ok=ok, ts_ms=ended_ms, positions=(), detail=detail.encode())
