"""One delivery attempt: build the request, send it, decide what its outcome means for the lane.

What goes wrong on the way counts as a 6xx status (`send.webhook`) and is retried like any attempt without an answer.
Schedules nothing and commits nothing; it tells the lane.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.core.delivery_headers import delivery_headers
from eventmill.core.envelope import recipient_suffix, webhook_body
from eventmill.core.retry import Verdict, judge, next_due_ms
from eventmill.core.signing import DeliverySigner
from eventmill.flow.lane import Lane, Unit
from eventmill.flow.targets import Target
from eventmill.flow.traces import TraceDetail, shown_url
from eventmill.ids import IdSource, uuid_text
from eventmill.send.webhook import Request, Response, WebhookSender
from eventmill.store.base import Ended, RetryUnit, StoredEvent
from eventmill.store.seal import Sealer


class Attempter:
    def __init__(
        self, sender: WebhookSender, signer: DeliverySigner, sealer: Sealer, clock: Clock, config: Config
    ) -> None:
        self._sender = sender
        self._signer = signer
        self._sealer = sealer
        self._clock = clock
        self._config = config
        self._ids = IdSource()
        # Signing is most of what a delivery costs, and OpenSSL lets other threads run meanwhile: a thread per core uses
        # the cores that have no delivery process, and the event loop never waits for a signature.
        self._signers = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="signer")
        self._suffixes: dict[str, bytes] = {}

    def unseal_secret(self, target: Target) -> bytes:
        """The client secret that signs `x-adobe-signature`; empty when the client id names no stored credential."""
        if not target.sealed_secret:
            return b""
        return self._sealer.unseal(target.sealed_secret, f"credential:{target.credential_id}")

    def delivered_bytes(self, target: Target, event: StoredEvent) -> int:
        """Size of the event as this target receives it."""
        return len(event.body) + len(self._suffix(target))

    def _suffix(self, target: Target) -> bytes:
        suffix = self._suffixes.get(target.client_id)
        if suffix is None:
            suffix = self._suffixes[target.client_id] = recipient_suffix(target.client_id, self._config.legacy_fields)
        return suffix

    async def attempt(self, lane: Lane, unit: Unit) -> None:
        """Make the attempt and settle it on the lane."""
        target = lane.target
        assert target is not None, "a lane without a target launches nothing"
        started_ms = self._clock.now_ms()
        if not unit.events:  # a retry that outlived its events: retention dropped them while the gateway was down
            assert unit.retry is not None
            lane.settle(unit, ended=Ended(unit.retry.positions, "expired", unit.retry.cause, started_ms))
            return
        delivery_id = self._ids.uuid()
        request = await self._request(target, lane.secret, unit, delivery_id)
        response = await self._sender.send(request)
        self._settle(lane, unit, started_ms, response.status)
        lane.note_attempt(unit, self._trace(target, unit, started_ms, delivery_id, request, response))

    async def _request(self, target: Target, secret: bytes, unit: Unit, delivery_id: str) -> Request:
        body = webhook_body([event.body for event in unit.events], self._suffix(target), batch=unit.batch)
        headers = delivery_headers(
            [(uuid_text(event.event_id), event.origin) for event in unit.events],
            batch=unit.batch,
            retry_count=unit.retry.retries if unit.retry else 0,
            delivery_id=delivery_id,
            request_id=self._ids.request_id(),
        )
        loop = asyncio.get_running_loop()
        headers += await loop.run_in_executor(self._signers, self._signer.headers, body, secret)
        return Request("POST", target.url, tuple(headers), body, self._config.webhook_timeout_s)

    def _settle(self, lane: Lane, unit: Unit, started_ms: int, status: int) -> None:
        verdict = judge(status)
        if verdict is Verdict.DELIVERED:
            lane.settle(unit)
            return
        now_ms = self._clock.now_ms()
        if verdict is Verdict.REFUSED:
            lane.settle(unit, ended=Ended(unit.positions, "refused", status, now_ms))
            return
        first_ms = unit.retry.first_ms if unit.retry else started_ms
        due_ms = next_due_ms(first_ms, now_ms)
        if due_ms is None:
            lane.settle(unit, ended=Ended(unit.positions, "gave_up", status, now_ms))
            return
        retry = RetryUnit(
            unit_id=unit.retry.unit_id if unit.retry else self._ids.event_id(now_ms),
            lane=lane.number,
            positions=unit.positions,
            batch=unit.batch,
            first_ms=first_ms,
            retries=(unit.retry.retries if unit.retry else 0) + 1,
            due_ms=due_ms,
            cause=status,
        )
        lane.settle(unit, put=retry)

    def _trace(
        self, target: Target, unit: Unit, started_ms: int, delivery_id: str, request: Request, response: Response
    ) -> TraceDetail:
        return TraceDetail(
            delivery_id=delivery_id,
            event_code=unit.events[0].origin.event_code,
            client_id=target.client_id,
            url=shown_url(request.url),
            method=request.method,
            request_headers=request.headers,
            request_body=None,
            batch=unit.batch,
            status=response.status,
            response_headers=response.headers,
            response_body=response.body,
            duration_ms=response.duration_ms,
            started_ms=started_ms,
            insights=(),
        )
