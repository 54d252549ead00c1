"""Replays end to end in process: real deliveries, the stage that hands out, and the virtual clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from eventmill.clock import VirtualClock
from eventmill.core.delivery_headers import REPLAY_HEADER
from eventmill.errors import Conflict, GatewayError, Reason
from eventmill.flow.replaying import Replaying
from eventmill.flow.replays import ReplayReport, ReplayRequest, Resent
from eventmill.flow.timetravel import TimeTravel
from eventmill.flow.traces import TraceDetail
from eventmill.flow.undelivered import count_undelivered, read_undelivered
from eventmill.flow.upkeep import Upkeep
from eventmill.ids import uuid_text
from eventmill.model import Lane, Registration
from tests.http.delivery import FAILED, REGISTRATIONS, Delivery, delivering

pytestmark = pytest.mark.anyio

DAY_S = 86_400
REFUSED = "404 Not Found"
EVERYTHING = ReplayRequest(scope="all")


class Recovery:
    """A delivery with the stage of replays, and one registration."""

    def __init__(self, delivery: Delivery) -> None:
        parts = delivery.world.parts
        assert isinstance(parts.clock, VirtualClock)
        self.parts, self.world, self.hook, self.deliver = parts, delivery.world, delivery.hook, delivery.deliver
        self.replays, self.store = parts.replays, delivery.world.store
        self.stage: Replaying = delivery.world.replaying
        self.travel = self._travel(self.stage)
        self.topic: dict[str, Any] = {}
        self.document: dict[str, Any] = {}
        self._published = 0

    def _travel(self, stage: Replaying) -> TimeTravel:
        parts = self.parts
        assert isinstance(parts.clock, VirtualClock)
        return TimeTravel(
            parts.clock, parts.store, self.deliver, Upkeep(parts.store, parts.clock, parts.config), (stage,)
        )

    def restart(self) -> None:
        """The stage as a new process would have it: what it knows is what is stored."""
        parts = self.parts
        self.stage = Replaying(parts.store, parts.clock, parts.ids, parts.config)
        self.travel = self._travel(self.stage)

    @property
    def lane(self) -> Lane:
        return Lane(self.document["id"])

    @property
    def path(self) -> str:
        return f"{REGISTRATIONS}/{self.document['registration_id']}"

    async def registration(self) -> Registration:
        await self.parts.catalogue.refresh()
        found = self.parts.catalogue.registration_of_lane(self.lane)
        assert found is not None
        return found

    async def publish(self, count: int) -> None:
        for _ in range(count):
            self._published += 1
            assert await self.world.publish(self.topic, f"event-{self._published}") == 200

    async def put(self, **members: Any) -> None:
        kept = {name: self.document[name] for name in ("name", "description", "delivery_type", "webhook_url")}
        answer = await self.world.call("PUT", self.path, {**kept, "events_of_interest": [self.topic], **members})
        assert answer.status == 200, answer.body

    async def advance(self, seconds: float = 0) -> None:
        await self.travel.advance(seconds)

    async def miss(self, count: int) -> None:
        """Events that pass while the registration is disabled; then it is enabled again."""
        await self.put(enabled=False)
        await self.publish(count)
        await self.put(enabled=True)
        await self.advance()

    async def create(self, **request: Any) -> ReplayReport:
        return await self.replays.create(await self.registration(), ReplayRequest(**request))

    async def report(self, report: ReplayReport) -> ReplayReport:
        return await self.replays.read(await self.registration(), report.replay.id)

    async def state(self, report: ReplayReport) -> str:
        return (await self.report(report)).replay.state

    async def undelivered(self) -> dict[str, int]:
        return (await count_undelivered(self.store, await self.registration())).causes

    async def resend(self, event_id: str) -> Resent:
        return await self.replays.resend(await self.registration(), UUID(event_id).bytes)

    def received(self) -> list[str]:
        """The publisher's ids of what came, in order; of batches, too."""
        found: list[str] = []
        for body in self.hook.bodies.get("/hook", ()):
            decoded = msgspec.json.decode(body)
            found += [event["id"] for event in (decoded if isinstance(decoded, list) else [decoded])]
        return found

    async def event_ids(self) -> list[str]:
        page = await self.store.journal_page(self.lane, 0, 1000, 1 << 30)
        shard = await self.store.shard((await self.registration()).org)
        return [uuid_text(event.event_id) for event in await self.store.fetch(shard, page.seqs)]

    async def headers(self) -> list[str | None]:
        """The replay header of each traced attempt, oldest first."""
        found = await self.store.traces(self.lane)
        details = [msgspec.msgpack.decode(each.detail, type=TraceDetail) for each in reversed(found)]
        return [dict(each.request_headers).get(REPLAY_HEADER) for each in details if each.method == "POST"]


@asynccontextmanager
async def recovering(tmp_path: Path, **settings: Any) -> AsyncIterator[Recovery]:
    members = settings.pop("members", {})
    async with delivering(tmp_path, **settings) as delivery:
        recovery = Recovery(delivery)
        recovery.topic = await delivery.world.topic()
        recovery.document = await delivery.register(recovery.topic, "/hook", **members)
        yield recovery


def names(first: int, last: int) -> list[str]:
    return [f"event-{number}" for number in range(first, last + 1)]


async def test_what_was_missed_comes_only_when_it_is_replayed(tmp_path: Path) -> None:
    """Enabling sends nothing that passed, whatever time goes by; a replay sends all of it once, marked, in order."""
    async with recovering(tmp_path, replay_window_events=4, lane_in_flight_max=1) as recovery:
        await recovery.publish(2)
        await recovery.advance()
        await recovery.miss(10)
        await recovery.advance(DAY_S)
        assert recovery.received() == names(1, 2)
        assert await recovery.undelivered() == {"disabled": 10}

        report = await recovery.create()
        assert (report.replay.total, report.replay.state) == (10, "running")
        await recovery.advance()

        assert recovery.received() == names(1, 12)
        assert await recovery.undelivered() == {}
        done = await recovery.report(report)
        assert done.replay.state == "done"
        assert (done.tally.handed, done.tally.delivered) == (10, 10)
        await recovery.advance(1)
        assert await recovery.headers() == [None] * 2 + [report.replay.id] * 10


async def test_failures_are_retried_and_then_in_view_again(tmp_path: Path) -> None:
    """What a replay sends is retried for 24 hours under the same header, and then undelivered, which names it."""
    async with recovering(tmp_path) as recovery:
        await recovery.miss(2)
        recovery.hook.status = FAILED
        report = await recovery.create()
        await recovery.advance()
        found = await recovery.report(report)
        assert (found.replay.state, found.tally.retrying, found.tally.waiting) == ("done", 2, 0)

        await recovery.advance(DAY_S + 3600)
        assert await recovery.undelivered() == {"gave_up": 2}
        page = await read_undelivered(recovery.store, await recovery.registration(), after=0, limit=10)
        assert [(item.replay_id, item.status) for item in page.items] == [(report.replay.id, 503)] * 2
        assert (await recovery.report(report)).tally.failed == 2
        assert set(await recovery.headers()) == {report.replay.id}

        recovery.hook.status = "200 OK"
        again = await recovery.create(causes=("gave_up",))
        await recovery.advance()
        assert await recovery.undelivered() == {}
        assert (await recovery.report(again)).tally.delivered == 2
        assert (await recovery.report(report)).tally.failed == 2


async def test_a_rate_paces_in_business_time(tmp_path: Path) -> None:
    """Four a second: a second lets four go, and standing still lets nothing go."""
    async with recovering(tmp_path) as recovery:
        await recovery.miss(20)
        report = await recovery.create(events_per_second=4)
        await recovery.advance(2)
        sent = len(recovery.received())
        assert 8 <= sent <= 10
        await recovery.advance(0)
        assert len(recovery.received()) == sent
        await recovery.advance(10)
        assert Counter(recovery.received()) == Counter(names(1, 20))
        assert await recovery.state(report) == "done"


async def test_pausing_resuming_and_cancelling(tmp_path: Path) -> None:
    """A paused replay hands out nothing; resumed it goes on where it was; cancelled it is over, and the rest stays in
    view."""
    async with recovering(tmp_path, replay_window_events=4) as recovery:
        await recovery.miss(12)
        registration = await recovery.registration()
        report = await recovery.create(events_per_second=1)
        await recovery.advance(2)
        await recovery.replays.pause(registration, report.replay.id)
        await recovery.advance(60)
        sent = len(recovery.received())
        assert 2 <= sent <= 4
        assert await recovery.state(report) == "paused"

        await recovery.replays.resume(registration, report.replay.id)
        await recovery.advance(2)
        assert sent < len(recovery.received()) <= sent + 3
        cancelled = await recovery.replays.cancel(registration, report.replay.id)
        await recovery.advance(60)
        assert (await recovery.report(report)).replay.state == cancelled.replay.state == "cancelled"
        assert await recovery.undelivered() == {"disabled": 12 - len(recovery.received())}
        for call in (recovery.replays.pause, recovery.replays.resume):
            with pytest.raises(Conflict):
                await call(registration, report.replay.id)


async def test_one_replay_at_a_time(tmp_path: Path) -> None:
    """Until one is finished, another is refused and named the first."""
    async with recovering(tmp_path) as recovery:
        await recovery.miss(3)
        first = await recovery.create(events_per_second=0.1)
        with pytest.raises(Conflict) as refused:
            await recovery.create()
        assert refused.value.conflicting_id == first.replay.id
        await recovery.replays.cancel(await recovery.registration(), first.replay.id)
        await recovery.create()
        await recovery.advance()
        assert await recovery.undelivered() == {}
        listed = await recovery.replays.list(await recovery.registration())
        assert {each.replay.state for each in listed} == {"cancelled", "done"}


async def test_disabling_pauses_and_says_why(tmp_path: Path) -> None:
    """A replay of a disabled registration waits; it goes on when somebody enables and resumes, and not before."""
    async with recovering(tmp_path) as recovery:
        await recovery.miss(6)
        report = await recovery.create(events_per_second=1)
        await recovery.advance(1)
        await recovery.put(enabled=False)
        await recovery.advance(30)
        sent = len(recovery.received())
        paused = (await recovery.report(report)).replay
        assert paused.state == "paused"
        assert "disabled" in paused.reason
        with pytest.raises(GatewayError) as refused:
            await recovery.replays.resume(await recovery.registration(), report.replay.id)
        assert refused.value.reason is Reason.REGISTRATION_DISABLED
        with pytest.raises(GatewayError) as refused:
            await recovery.create()
        assert refused.value.reason is Reason.REGISTRATION_DISABLED

        await recovery.put(enabled=True)
        await recovery.advance(30)
        assert len(recovery.received()) == sent
        await recovery.replays.resume(await recovery.registration(), report.replay.id)
        await recovery.advance(30)
        assert Counter(recovery.received()) == Counter(names(1, 6))


async def test_becoming_a_journal_cancels(tmp_path: Path) -> None:
    """Nothing is pushed to a journal, so that nothing is left to replay to."""
    async with recovering(tmp_path) as recovery:
        await recovery.miss(6)
        report = await recovery.create(events_per_second=1)
        await recovery.advance(1)
        await recovery.put(delivery_type="journal", webhook_url=None)
        await recovery.advance(30)
        assert await recovery.state(report) == "cancelled"
        assert len(recovery.received()) < 6
        with pytest.raises(GatewayError) as refused:
            await recovery.replays.estimate(await recovery.registration(), ReplayRequest())
        assert refused.value.reason is Reason.NOT_PUSHED


async def test_deleting_ends_a_replay(tmp_path: Path) -> None:
    """It goes with its registration."""
    async with recovering(tmp_path) as recovery:
        await recovery.miss(6)
        await recovery.create(events_per_second=1)
        await recovery.advance(1)
        sent = len(recovery.received())
        assert (await recovery.world.call("DELETE", recovery.path)).status == 204
        await recovery.advance(30)
        assert len(recovery.received()) <= sent + 1
        assert await recovery.store.scan("replay") == []


async def test_a_restart_goes_on_where_it_was(tmp_path: Path) -> None:
    """What was handed out and how far it was are one write: nothing is lost, nothing sent twice."""
    async with recovering(tmp_path) as recovery:
        await recovery.miss(10)
        report = await recovery.create(events_per_second=2)
        for _ in range(12):
            recovery.restart()
            await recovery.advance(1)
        assert sorted(recovery.received()) == sorted(names(1, 10))
        assert await recovery.state(report) == "done"


async def test_batches_are_filled(tmp_path: Path) -> None:
    """A batch registration is replayed in batches as large as first deliveries, whatever the window."""
    settings = {"webhook_batch_events_max": 4, "webhook_batch_flush_ms": 0, "replay_window_events": 6}
    async with recovering(tmp_path, members={"delivery_type": "webhook_batch"}, **settings) as recovery:
        await recovery.miss(10)
        await recovery.create()
        await recovery.advance()
        sizes = [len(msgspec.json.decode(body)) for body in recovery.hook.bodies["/hook"]]
        assert sorted(sizes) == [2, 4, 4]
        assert Counter(recovery.received()) == Counter(names(1, 10))


async def test_everything_is_sent_again_but_what_is_on_its_way(tmp_path: Path) -> None:
    """Scope `all`: delivered events too; not one whose retry is scheduled."""
    async with recovering(tmp_path) as recovery:
        await recovery.publish(3)
        await recovery.advance()
        recovery.hook.status = FAILED
        await recovery.publish(1)
        await recovery.advance()
        recovery.hook.status = "200 OK"
        await recovery.miss(2)
        recovery.hook.bodies.clear()
        report = await recovery.replays.create(await recovery.registration(), EVERYTHING)
        await recovery.advance()
        assert Counter(recovery.received()) == Counter([*names(1, 3), *names(5, 6)])
        done = await recovery.report(report)
        assert (done.replay.total, done.tally.handed, done.replay.state) == (6, 5, "done")
        await recovery.advance(120)
        assert Counter(recovery.received()) == Counter(names(1, 6))


async def test_ranges_and_causes_choose(tmp_path: Path) -> None:
    """A dry run counts what a replay sends: by time, by position, by cause."""
    async with recovering(tmp_path) as recovery:
        recovery.hook.status = REFUSED
        await recovery.publish(3)
        await recovery.advance(100)
        recovery.hook.status = "200 OK"
        between_ms = recovery.parts.clock.now_ms()
        await recovery.advance(100)
        await recovery.miss(4)
        registration = await recovery.registration()
        asked: list[tuple[dict[str, Any], int]] = [
            ({}, 7),
            ({"causes": ("refused",)}, 3),
            ({"causes": ("disabled",)}, 4),
            ({"from_ms": between_ms}, 4),
            ({"to_ms": between_ms}, 3),
            ({"after_seq": 2, "to_seq": 5}, 3),
            ({"after_seq": 2, "to_seq": 5, "causes": ("refused",)}, 1),
        ]
        for request, count in asked:
            assert await recovery.replays.estimate(registration, ReplayRequest(**request)) == count, request
        recovery.hook.bodies.clear()
        await recovery.create(after_seq=2, to_seq=5)
        await recovery.advance()
        assert Counter(recovery.received()) == Counter(names(3, 5))
        assert await recovery.undelivered() == {"refused": 2, "disabled": 2}


async def test_resending_one_event(tmp_path: Path) -> None:
    """A delivered event goes once more, marked; a refused one leaves the view; both also while it is disabled."""
    async with recovering(tmp_path) as recovery:
        await recovery.publish(1)
        await recovery.advance()
        recovery.hook.status = REFUSED
        await recovery.publish(1)
        await recovery.advance()
        recovery.hook.status = "200 OK"
        await recovery.put(enabled=False)
        await recovery.publish(1)
        recovery.hook.bodies.clear()
        for event_id in await recovery.event_ids():
            assert (await recovery.resend(event_id)).outcome == "scheduled"
        await recovery.advance()
        assert Counter(recovery.received()) == Counter(names(1, 3))
        assert await recovery.undelivered() == {}


async def test_a_resend_hastens_a_scheduled_retry(tmp_path: Path) -> None:
    """It does not clash with it: the retry is made now, and is the one it would have been."""
    async with recovering(tmp_path) as recovery:
        recovery.hook.status = FAILED
        await recovery.publish(1)
        await recovery.advance()
        recovery.hook.status = "200 OK"
        (event_id,) = await recovery.event_ids()
        assert (await recovery.resend(event_id)).outcome == "hastened"
        await recovery.advance()
        assert recovery.received() == ["event-1"] * 2
        await recovery.advance(DAY_S)
        assert len(recovery.received()) == 2
        assert set(await recovery.headers()) == {None}


async def test_a_resend_leaves_alone_what_is_under_way(tmp_path: Path) -> None:
    """An attempt that is being made is not doubled; an event that is nobody's is not found."""
    async with recovering(tmp_path) as recovery:
        hanging = await recovery.world.register(recovery.topic, name="hang", webhook_url=f"{recovery.hook.url}/hang")
        await recovery.publish(1)
        await recovery.hook.until("/hang", 1)
        await recovery.parts.catalogue.refresh()
        registration = recovery.parts.catalogue.registration_of_lane(Lane(hanging["id"]))
        assert registration is not None
        (event_id,) = await recovery.event_ids()
        assert (await recovery.replays.resend(registration, UUID(event_id).bytes)).outcome == "under_way"
        recovery.hook.released.set()
        await recovery.advance()
        assert len(recovery.hook.bodies["/hang"]) == 1
        with pytest.raises(GatewayError, match="was never this registration's"):
            await recovery.replays.resend(registration, UUID("0190a6a0-0000-7000-8000-000000000000").bytes)


@pytest.mark.parametrize("paused", [False, True])
async def test_old_replays_go_with_their_events(tmp_path: Path, paused: bool) -> None:
    """Shown with all its numbers for as long as events are kept, finished or paused; then gone, and in nobody's way."""
    async with recovering(tmp_path, journal_retention_days=2) as recovery:
        await recovery.miss(3)
        report = await recovery.create(events_per_second=1)
        if paused:
            await recovery.advance()
            await recovery.replays.pause(await recovery.registration(), report.replay.id)
        await recovery.advance(2 * DAY_S - 600)
        (kept,) = await recovery.replays.list(await recovery.registration())
        assert (kept.replay.state, kept.tally.handed) == (("paused", 1) if paused else ("done", 3))
        await recovery.advance(3600)
        assert await recovery.replays.list(await recovery.registration()) == []
        await recovery.create()


async def test_replays_and_new_events_take_turns(tmp_path: Path) -> None:
    """With one place, neither a long replay nor a stream of new events holds the other up."""
    async with recovering(tmp_path, lane_in_flight_max=1, checkpoint_interval_ms=1) as recovery:
        await recovery.miss(10)
        await recovery.create()
        await recovery.stage.step()
        await recovery.publish(10)
        await recovery.advance()
        found = recovery.received()
        assert Counter(found) == Counter(names(1, 20))
        new = [at for at, name in enumerate(found) if int(name.removeprefix("event-")) > 10]
        assert new[0] <= 11
        assert [name for name in found if name in names(1, 10)] == names(1, 10)


async def test_replays_of_other_processes_are_found(tmp_path: Path) -> None:
    """A stage that was not told of a replay looks for those that run."""
    async with recovering(tmp_path) as recovery:
        await recovery.miss(3)
        stage = recovery.stage
        recovery.restart()
        await recovery.create()
        await recovery.advance()
        assert Counter(recovery.received()) == Counter(names(1, 3))
        assert await stage.step() == 0
