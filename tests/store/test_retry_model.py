"""Delivery's retries on a real store against a plain model, for days of business time: outcomes of every kind,
endpoints that ask for time, jitter, an egress proxy that fails, restarts.

Everything is real but the network: `Scripted` stands where requests would leave. The model walks a list of minutes.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections import Counter
from functools import cache
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from eventmill.clock import SystemClock
from eventmill.config import Config
from eventmill.core.signing import DeliverySigner, generate_pair
from eventmill.flow.aims import Aims
from eventmill.flow.attempt import Attempter
from eventmill.flow.deliver import Deliver
from eventmill.model import Lane
from eventmill.send.webhook import Request, Response, WebhookSender
from eventmill.store.control import Create, OpenLane
from eventmill.store.seal import Sealer
from eventmill.store.sqlite.store import SqliteStore
from tests.store.builders import ORG, HandClock, Stores, event, webhook_registration

MINUTE = 60_000
DAY_MIN = 1440
LANE = Lane(1001)
ASKED_S = 500
"""What the endpoint asks for; never a whole number of minutes, so that no point of the schedule is met exactly."""
HELD = 0
"""In place of a status: the egress proxy failed."""
NUMBER = re.compile(rb'"number":(\d+)')
OUTCOMES = [200, 404, 505, 500, 503, 503, 429, 602, 604, HELD]


def grid() -> list[int]:
    """Minutes from the first attempt to each retry, as the documentation has them."""
    minutes = [1, 3, 7, 15]
    while minutes[-1] < DAY_MIN:
        minutes.append(minutes[-1] + 15)
    return minutes


class Expected(msgspec.Struct):
    """One event, as the model sees it."""

    published: int
    first: int = 0
    retries: int = 0
    due: int = 0
    until: int = 0
    """With jitter, the time before which `due` lies; else the same."""
    state: str = "new"
    attempts: int = 0

    def attempt(self, status: int, now: int, asks: bool, share: float) -> None:
        self.attempts += 1
        if self.retries == 0:
            self.first = now
        if 200 <= status <= 299:
            self.state = "delivered"
        elif status in (404, 505):
            self.state = "refused"
        elif status == HELD:
            wait = min(max((now - self.published) // 4, MINUTE), 15 * MINUTE)
            self.state, self.due, self.until, self.first = "waiting", now + wait, now + wait, self.first + wait
        else:
            not_before = now + ASKED_S * 1000 if asks and status in (429, 503) else now
            self._fail(now, not_before, share)

    def _fail(self, now: int, not_before: int, share: float) -> None:
        points = [self.first + minutes * MINUTE for minutes in grid()]
        left = [at for at in points if at > now]
        if not left:
            self.state = "gave_up"
            return
        due = next((at for at in left if at >= not_before), left[-1])
        after = [at for at in points if at > due]
        self.state, self.due, self.retries = "waiting", due, self.retries + 1
        self.until = due + int(share * (after[0] - due)) if after else due


class Scripted(WebhookSender):
    """Every request ends as `status` says, at once; remembers which events were in them."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.status = 200
        self.sent: Counter[bytes] = Counter()

    async def send(self, request: Request) -> Response:
        self.sent[request.body] += 1
        if self.status == HELD:
            return Response(602, (), b"", 0, blames_endpoint=False)
        return Response(self.status, (("Retry-After", str(ASKED_S)),), b"", 0)


class StillClock(HandClock):
    """Business time stands still; what is planned in machine time goes on."""

    def machine_s(self) -> float:
        return SystemClock().machine_s()


@cache
def signer() -> DeliverySigner:
    private_pem, _ = generate_pair()
    return DeliverySigner((("key", private_pem), ("key", private_pem)))


class Days(RuleBasedStateMachine):
    asks: bool = False
    share: float = 0.0

    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        self.directory = tempfile.TemporaryDirectory()
        self.stores = Stores(SqliteStore, Path(self.directory.name) / "data")
        self.stores.clock = self.clock = StillClock()
        self.config = self.stores.config(
            retry_after_max_s=900 if self.asks else 0,
            retry_jitter_share=self.share,
            lane_in_flight_max=4,
            journal_retention_days=30,
        )
        self.sender = Scripted(self.config)
        self.events: list[Expected] = []
        self.runner.run(self._open())

    async def _open(self) -> None:
        self.store = SqliteStore(self.config, self.clock)
        await self.store.open()
        if not self.events:
            document = webhook_registration(LANE, "http://127.0.0.1/hook", self.clock.at_ms)
            create = Create("registration", ORG, "r1", msgspec.json.encode(document))
            if await self.store.get("registration", ORG, "r1") is None:
                await self.store.write([create, OpenLane(LANE, ORG, "r1")])
        aims = Aims(self.store)
        await aims.load()
        attempter = Attempter(self.sender, signer(), Sealer(bytes(32)), self.clock, self.config)
        self.deliver = Deliver(self.store, aims, attempter, self.clock, self.config)
        self.stage = asyncio.create_task(self.deliver.run())

    async def _close(self) -> None:
        self.deliver.stop()
        await self.stage
        await self.store.close()

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.runner.run(self._close())
            self.runner.close()
            self.directory.cleanup()

    def _settle(self) -> None:
        """Whatever is due is attempted, by both."""
        now = self.clock.at_ms
        for each in self.events:
            if each.state == "new" or (each.state == "waiting" and each.due <= now):
                each.attempt(self.sender.status, now, self.asks, self.share)
        self.runner.run(self._quiesce())

    async def _quiesce(self) -> None:
        self.deliver.wake()
        await self.deliver.quiesce()
        for unit in await self.store.due_units(LANE, 1 << 62, 1000):
            each = self.events[unit.positions[0] - 1]
            assert each.due <= unit.due_ms <= each.until
            each.due = each.until = unit.due_ms  # where jitter put it

    @rule(count=st.integers(1, 4))
    def events_come(self, count: int) -> None:
        self.events += [Expected(self.clock.at_ms) for _ in range(count)]
        self.runner.run(self._append(count))
        self._settle()

    async def _append(self, count: int) -> None:
        epoch = await self.store.epoch()
        for _ in range(count):
            number = (await self.store.head(0)).seq + 1
            await self.store.append_durable([event([LANE], epoch, body=b'{"number":%d' % number)])

    @rule(status=st.sampled_from(OUTCOMES))
    def the_endpoint_changes(self, status: int) -> None:
        self.sender.status = status

    @rule(minutes=st.sampled_from([1, 1, 2, 5, 14, 15, 40, 200, 700]))
    def time_passes(self, minutes: int) -> None:
        until = self.clock.at_ms + minutes * MINUTE
        while True:
            dues = [each.due for each in self.events if each.state == "waiting" and each.due <= until]
            if not dues:
                break
            self.clock.at_ms = max(self.clock.at_ms, min(dues))
            self._settle()
        self.clock.at_ms = until
        self._settle()

    @rule(minutes=st.sampled_from([0, 3, 100, 1500]))
    def the_gateway_is_down(self, minutes: int) -> None:
        self.runner.run(self._close())
        self.clock.at_ms += minutes * MINUTE
        for each in self.events:
            if each.state == "waiting" and each.due <= self.clock.at_ms:
                each.attempt(self.sender.status, self.clock.at_ms, self.asks, self.share)
        self.runner.run(self._open())
        self.runner.run(self._quiesce())

    @invariant()
    def both_say_the_same(self) -> None:
        if hasattr(self, "runner"):
            self.runner.run(self._compare())

    async def _compare(self) -> None:
        waiting = {
            unit.positions: (unit.first_ms, unit.retries, unit.due_ms)
            for unit in await self.store.due_units(LANE, 1 << 62, 1000)
        }
        numbered = list(enumerate(self.events, 1))
        assert waiting == {
            (seq,): (each.first, each.retries, each.due) for seq, each in numbered if each.state == "waiting"
        }
        over = {each.positions: each.outcome for each in await self.store.ended(LANE, 1000)}
        assert over == {(seq,): each.state for seq, each in numbered if each.state in ("refused", "gave_up")}
        numbers = [NUMBER.findall(body) for body in self.sender.sent.elements()]
        assert Counter(int(number) for (number,) in numbers) == {seq: each.attempts for seq, each in numbered}
        lane = await self.store.lane(LANE)
        assert lane is not None
        assert (lane.mark, lane.done) == (len(self.events), ())


SETTINGS = pytest.mark.parametrize(("asks", "share"), [(False, 0.0), (True, 0.0), (False, 0.5), (True, 1.0)])


@SETTINGS
def test_days_of_retries(asks: bool, share: float) -> None:
    """Attempts, due times, numbers of retries and ends are at every moment what the plain model says."""
    machine = type("Days", (Days,), {"asks": asks, "share": share})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=8, stateful_step_count=16, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


@SETTINGS
def test_the_last_minutes_of_a_day(asks: bool, share: float) -> None:
    """The last point of the schedule is kept to the minute: jitter does not move it, and neither does an endpoint that
    asks for more time than is left; after it nothing is tried."""
    machine = Days()
    machine.asks, machine.share = asks, share
    machine.begin()
    try:
        machine.the_endpoint_changes(503)
        machine.events_come(1)
        machine.the_gateway_is_down(DAY_MIN - 5)
        machine.both_say_the_same()
        assert machine.events[0].due == machine.events[0].first + DAY_MIN * MINUTE
        machine.time_passes(40)
        machine.both_say_the_same()
        assert machine.events[0].state == "gave_up"
    finally:
        machine.teardown()
