"""One delivery attempt: have it made, decide what its outcome means for the lane.

What goes wrong on the way counts as a 6xx status (`send.webhook`) and is retried like any attempt without an answer.
Schedules nothing and commits nothing; it tells the lane.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.core.retry import (
    RETRY_AFTER_STATUSES,
    Verdict,
    held_until_ms,
    judge,
    next_due_ms,
    retry_after_s,
)
from eventmill.core.signing import DeliverySigner
from eventmill.errors import TraceCode
from eventmill.flow.destinations import Destinations
from eventmill.flow.lane import Lane, Unit
from eventmill.flow.sent import Sent
from eventmill.flow.targets import Target
from eventmill.flow.traces import TraceDetail, shown_url
from eventmill.ids import IdSource
from eventmill.send.webhook import WebhookSender
from eventmill.store.seal import Sealer
from eventmill.store.work import Ended, RetryUnit


class Attempter:
    def __init__(
        self, sender: WebhookSender, signer: DeliverySigner, sealer: Sealer, clock: Clock, config: Config
    ) -> None:
        self.destinations = Destinations(sender, signer, clock, config)
        self._sealer = sealer
        self._clock = clock
        self._ids = IdSource()
        self._retry_after_max_s = config.retry_after_max_s
        self._jitter_share = config.retry_jitter_share

    def unseal_secret(self, target: Target) -> bytes:
        """The client secret that signs `x-adobe-signature`; empty when the client id names no stored credential."""
        if not target.sealed_secret:
            return b""
        return self._sealer.unseal(target.sealed_secret, f"credential:{target.credential_id}")

    async def attempt(self, lane: Lane, unit: Unit) -> None:
        """Make the attempt and settle it on the lane."""
        target = lane.target
        assert target is not None, "a lane without a target launches nothing"
        started_ms = self._clock.now_ms()
        if not unit.events:  # a retry that outlived its events: retention dropped them while the gateway was down
            assert unit.retry is not None
            lost = Ended(unit.retry.positions, "expired", unit.retry.cause, started_ms, unit.retry.replay)
            lane.settle(unit, ended=[lost])
            return
        delivery_id = self._ids.uuid()
        sent = await self.destinations.send(target, lane.secret, unit, delivery_id)
        self._settle(lane, unit, started_ms, sent)
        for each in sent:
            part = replace(unit, events=each.events)
            trace = self._trace(target, part, started_ms, delivery_id, each)
            lane.note_attempt(part, trace, counts=each.response.blames_endpoint)

    def _settle(self, lane: Lane, unit: Unit, started_ms: int, sent: Sequence[Sent]) -> None:
        """Events of one unit may have fared differently; those that are tried again stay together."""
        now_ms = self._clock.now_ms()
        replay = unit.retry.replay if unit.retry else b""
        ended: list[Ended] = []
        failed: list[Sent] = []
        for each in sent:
            positions, status = _positions(each), each.response.status
            verdict = judge(status)
            if verdict is Verdict.REFUSED:
                ended.append(Ended(positions, "refused", status, now_ms, replay))
            elif verdict is Verdict.RETRY:
                failed.append(each)
        if not failed:
            if len(ended) < len(sent):
                lane.window.succeeded()
            lane.settle(unit, ended=ended)
            return
        held = all(not each.response.blames_endpoint for each in failed)
        stored = self._stored(lane, unit, started_ms)
        if held:
            put: RetryUnit | None = self._held(stored, unit, started_ms)
        else:
            _slow_down(lane, failed)
            put = self._retried(stored, failed, now_ms)
        if put is None:
            ended += [Ended(_positions(each), "gave_up", each.response.status, now_ms, replay) for each in failed]
            lane.settle(unit, ended=ended)
            return
        waiting = {seq for each in failed for seq in _positions(each)}
        positions = tuple(seq for seq in unit.positions if seq in waiting)
        if len(positions) < len(unit.positions):  # a stored unit keeps its members, so what is left becomes another
            put = replace(put, unit_id=self._ids.event_id(now_ms), positions=positions)
        lane.settle(unit, put=replace(put, cause=failed[0].response.status), ended=ended)

    def _retried(self, stored: RetryUnit, failed: Sequence[Sent], now_ms: int) -> RetryUnit | None:
        """None: its 24 hours are over."""
        not_before_ms, jitter = 0, 0.0
        if self._retry_after_max_s:
            asked_s = max(self._asked_s(each) for each in failed)
            not_before_ms = now_ms + int(1000 * min(asked_s, self._retry_after_max_s)) if asked_s else 0
        if self._jitter_share:
            jitter = self._jitter_share * self._ids.share()
        due_ms = next_due_ms(stored.first_ms, now_ms, not_before_ms, jitter)
        return None if due_ms is None else replace(stored, retries=stored.retries + 1, due_ms=due_ms)

    def _asked_s(self, sent: Sent) -> float:
        """What the endpoint asks to be left alone for."""
        if sent.response.status not in RETRY_AFTER_STATUSES:
            return 0.0
        for name, value in sent.response.headers:
            if name.lower() == "retry-after":
                return retry_after_s(value, self._clock.machine_ms()) or 0.0
        return 0.0

    def _held(self, stored: RetryUnit, unit: Unit, started_ms: int) -> RetryUnit:
        """The same attempt again later: its schedule stands still meanwhile, and its retry keeps its number."""
        due_ms = held_until_ms(unit.events[0].ts_ms, self._clock.now_ms())
        return replace(stored, first_ms=stored.first_ms + due_ms - started_ms, due_ms=due_ms)

    def _stored(self, lane: Lane, unit: Unit, started_ms: int) -> RetryUnit:
        """The unit as the store has it, or would have it before its first attempt: that is retry number 0."""
        if unit.retry is None:
            return RetryUnit(
                unit_id=self._ids.event_id(started_ms),
                lane=lane.number,
                positions=unit.positions,
                batch=unit.batch,
                first_ms=started_ms,
                retries=0,
                due_ms=started_ms,
                cause=0,
            )
        return unit.retry if unit.retry.retries else replace(unit.retry, first_ms=started_ms)

    def _trace(self, target: Target, unit: Unit, started_ms: int, delivery_id: str, sent: Sent) -> TraceDetail:
        return TraceDetail(
            delivery_id=delivery_id,
            event_code=unit.events[0].origin.event_code,
            client_id=target.client_id,
            url=shown_url(sent.request.url),
            method=sent.request.method,
            request_headers=sent.request.headers,
            request_body=None,
            form=sent.form,
            batch=unit.batch,
            status=sent.response.status,
            response_headers=sent.response.headers,
            response_body=sent.response.body,
            duration_ms=sent.response.duration_ms,
            started_ms=started_ms,
            insights=(),
            timings=sent.response.timings,
        )


def _positions(sent: Sent) -> tuple[int, ...]:
    return tuple(event.seq for event in sent.events)


def _slow_down(lane: Lane, failed: Sequence[Sent]) -> None:
    if any(each.response.status == TraceCode.TIMEOUT for each in failed):
        lane.window.timed_out()
    else:
        lane.window.failed()
