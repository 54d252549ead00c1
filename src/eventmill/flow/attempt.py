"""One delivery attempt: have it made, decide what its outcome means for the lane.

What goes wrong on the way counts as a 6xx status (`send.webhook`) and is retried like any attempt without an answer.
Schedules nothing and commits nothing; it tells the lane.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.core.retry import Verdict, held_until_ms, judge, next_due_ms
from eventmill.core.signing import DeliverySigner
from eventmill.flow.destinations import Destinations, Sent
from eventmill.flow.lane import Lane, Unit
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
            lane.settle(unit, ended=[Ended(unit.retry.positions, "expired", unit.retry.cause, started_ms)])
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
        ended: list[Ended] = []
        failed: list[Sent] = []
        for each in sent:
            positions, status = _positions(each), each.response.status
            verdict = judge(status)
            if verdict is Verdict.REFUSED:
                ended.append(Ended(positions, "refused", status, now_ms))
            elif verdict is Verdict.RETRY:
                failed.append(each)
        if not failed:
            lane.settle(unit, ended=ended)
            return
        held = all(not each.response.blames_endpoint for each in failed)
        stored = self._stored(lane, unit, started_ms)
        put = self._held(stored, unit, started_ms) if held else self._retried(stored, now_ms)
        if put is None:
            ended += [Ended(_positions(each), "gave_up", each.response.status, now_ms) for each in failed]
            lane.settle(unit, ended=ended)
            return
        waiting = {seq for each in failed for seq in _positions(each)}
        positions = tuple(seq for seq in unit.positions if seq in waiting)
        if len(positions) < len(unit.positions):  # a stored unit keeps its members, so what is left becomes another
            put = replace(put, unit_id=self._ids.event_id(now_ms), positions=positions)
        lane.settle(unit, put=replace(put, cause=failed[0].response.status), ended=ended)

    @staticmethod
    def _retried(stored: RetryUnit, now_ms: int) -> RetryUnit | None:
        """None: its 24 hours are over."""
        due_ms = next_due_ms(stored.first_ms, now_ms)
        return None if due_ms is None else replace(stored, retries=stored.retries + 1, due_ms=due_ms)

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
        )


def _positions(sent: Sent) -> tuple[int, ...]:
    return tuple(event.seq for event in sent.events)
