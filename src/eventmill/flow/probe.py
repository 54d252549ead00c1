"""The challenge of a registration's webhook, as the control plane asks for it, with the trace that it leaves."""

from __future__ import annotations

import msgspec

from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.flow.catalogue import Catalogue
from eventmill.flow.traces import TraceDetail, shown_url
from eventmill.ids import IdSource
from eventmill.send.challenge import Challenger
from eventmill.send.webhook import WebhookSender
from eventmill.store.base import TraceRecord
from eventmill.store.seal import Sealer

_PROVIDER_LABEL = "Adobe IO Events"
_EVENT_LABEL = "Challenge Probe"


class ChallengeResult(msgspec.Struct, frozen=True):
    passed: bool
    explanation: str
    """Why it did not pass; empty when it did."""
    traces: tuple[TraceRecord, ...] = ()
    """Of its probes; stored once the registration is."""


class Prober:
    def __init__(
        self, sender: WebhookSender, catalogue: Catalogue, sealer: Sealer, clock: Clock, config: Config
    ) -> None:
        self._ids = IdSource()
        self._challenger = Challenger(sender, config, clock, self._ids)
        self._catalogue = catalogue
        self._sealer = sealer
        self._clock = clock

    async def challenge(self, url: str, registration_id: str, client_id: str) -> ChallengeResult:
        """Ask once, within the time limit of an attempt. Raises nothing but `CancelledError`."""
        credential = self._catalogue.credential_by_client(client_id)
        secret = b""
        if credential is not None:
            secret = self._sealer.unseal(credential.sealed_secret, f"credential:{credential.id}")
        started_ms = self._clock.now_ms()
        result = await self._challenger.challenge(url, registration_id, secret)
        detail = TraceDetail(
            delivery_id=self._ids.uuid(),
            event_code="challenge",
            client_id=client_id,
            url=shown_url(result.request.url),
            method=result.request.method,
            request_headers=result.request.headers,
            request_body="",
            batch=False,
            status=result.response.status,
            response_headers=result.response.headers,
            response_body=result.response.body,
            duration_ms=result.response.duration_ms,
            started_ms=started_ms,
            insights=((_PROVIDER_LABEL, _EVENT_LABEL),),
        )
        ended_ms = started_ms + result.response.duration_ms
        trace = TraceRecord(ok=result.passed, ts_ms=ended_ms, positions=(), detail=detail.encode())
        return ChallengeResult(result.passed, result.explanation, (trace,))
