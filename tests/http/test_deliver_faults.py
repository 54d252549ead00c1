"""`flow.deliver` when something goes wrong: refused commits, takeovers, expired backlogs, unforeseen errors."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from eventmill.clock import VirtualClock
from eventmill.errors import StoreUnavailable
from eventmill.flow.upkeep import DAY_MS
from eventmill.model import Lane
from eventmill.store.work import SLOTS, LaneProgress, RetryUnit, WorkCommit
from tests.http.delivery import FAILED, Delivery, delivering
from tests.waiting import eventually

pytestmark = pytest.mark.anyio


_REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no room' USING ERRCODE = '53100'; END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON eventmill.lane EXECUTE FUNCTION refuse();
"""
_ALLOW = "DROP TRIGGER refuse ON eventmill.lane; DROP FUNCTION refuse;"


@asynccontextmanager
async def progress_refused(delivery: Delivery) -> AsyncIterator[None]:
    """Every commit of progress is refused meanwhile."""
    config = delivery.world.parts.config
    if config.store:
        database = await asyncpg.connect(config.store)
        await database.execute(_REFUSE)
        yield
        await database.execute(_ALLOW)
        await database.close()
    else:
        connection = sqlite3.connect(Path(config.data) / "state.db", isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.close()


async def test_one_place_is_enough(tmp_path: Path) -> None:
    """With a cap of a single attempt, each one that ends makes room for the next, of whatever lane."""
    async with delivering(tmp_path, in_flight_max=1) as delivery:
        topic = await delivery.world.topic()
        await delivery.register(topic, "/hang")
        await delivery.register(topic, "/other")
        for number in range(3):
            await delivery.world.publish(topic, str(number))
        await delivery.hook.until("/hang", 1)
        delivery.hook.released.set()

        await delivery.hook.until("/hang", 3)
        await delivery.hook.until("/other", 3)


async def test_delivery_goes_on_after_refused_commits(tmp_path: Path) -> None:
    """Nothing is launched while progress cannot be committed; once it can, the backlog goes out by itself, once."""
    async with delivering(tmp_path, lane_in_flight_max=1) as delivery:
        slow, quick = await delivery.world.topic("Slow"), await delivery.world.topic("Quick")
        await delivery.register(slow, "/hang")
        await delivery.register(quick, "/quick")
        for number in range(4):
            await delivery.world.publish(slow, str(number))
        await delivery.hook.until("/hang", 1)
        async with progress_refused(delivery):
            await delivery.world.publish(quick)
            await eventually(delivery.is_stalled, "a stalled delivery")
            delivery.hook.released.set()
        bodies = await delivery.hook.until("/hang", 4)
        await delivery.deliver.quiesce()

        assert [json.loads(body)["id"] for body in bodies] == ["0", "1", "2", "3"]


async def test_a_refused_commit_is_never_overtaken(tmp_path: Path) -> None:
    """A failed attempt whose unit could not be stored is not lost when delivery stops: the later success beside it is
    committed after the unit, or not at all."""
    async with delivering(tmp_path) as delivery:
        topic = await delivery.world.topic()
        lane = Lane((await delivery.register(topic, "/hang"))["id"])
        hook = delivery.hook
        await delivery.world.publish(topic, "fails")
        await hook.until("/hang", 1)
        first, hook.released = hook.released, asyncio.Event()
        await delivery.world.publish(topic, "succeeds")
        await hook.until("/hang", 2)
        async with progress_refused(delivery):
            hook.status = FAILED
            first.set()
            await eventually(delivery.is_stalled, "a stalled delivery")
            delivery.deliver.stop()
            hook.status = "200 OK"
            hook.released.set()
        await delivery.stage
        record = await delivery.world.store.lane(lane)
        units = await delivery.world.store.due_units(lane, 1 << 62, 10)

        assert record is not None
        assert record.mark == 0 or [unit.positions for unit in units] == [(1,)]


async def test_a_read_that_a_commit_overtakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read that takes its time may show a unit as it was before the retry just made: that is not made twice, and the
    next one keeps its time."""
    calls = 0
    was_read, goes_on = asyncio.Event(), asyncio.Event()

    async def read_slowly(*args: Any, **options: Any) -> list[RetryUnit]:
        nonlocal calls
        found = await read_now(*args, **options)
        calls += 1
        if calls == 2:
            was_read.set()
            await goes_on.wait()
        return found

    async with delivering(tmp_path) as delivery:
        topic, store = await delivery.world.topic(), delivery.world.store
        read_now = store.due_units
        lane = Lane((await delivery.register(topic, "/hang"))["id"])
        hook, clock = delivery.hook, delivery.world.parts.clock
        assert isinstance(clock, VirtualClock)
        hook.status = FAILED
        hook.released.set()
        for number in range(2):
            await delivery.world.publish(topic, str(number))
        await delivery.deliver.quiesce()
        hook.released.clear()
        monkeypatch.setattr(store, "due_units", read_slowly)
        clock.advance(60_000)
        delivery.deliver.wake()
        await was_read.wait()
        await hook.until("/hang", 3)
        hook.released.set()
        await eventually(lambda: delivery.holds_no_unit(lane), "the commit of the first retry")
        hook.status = "200 OK"
        goes_on.set()
        await delivery.deliver.quiesce()
        assert [unit.retries for unit in await store.due_units(lane, 1 << 62, 2)] == [2]
        assert len(hook.bodies["/hang"]) == 4

        clock.advance(120_000)
        delivery.deliver.wake()
        await delivery.deliver.quiesce()
        assert len(hook.bodies["/hang"]) == 5


async def test_taking_over_a_lane_with_much_settled_ahead(tmp_path: Path) -> None:
    """Journal pages in which everything was settled before the takeover do not end the search for what was not."""

    async def prepare(delivery: Delivery) -> None:
        topic = await delivery.world.topic()
        lane = Lane((await delivery.register(topic, "/hook"))["id"])
        for number in range(1, 61):
            await delivery.world.publish(topic, str(number))
        lease = next(lease for lease in await delivery.world.store.leases() if lease.slot == lane % SLOTS)
        done = tuple(range(2, 50))
        progress = LaneProgress(lane=lane, mark=0, done=done, settled=done)
        await delivery.world.store.commit(WorkCommit((lease,), (progress,)))

    async with delivering(tmp_path, prepare, lane_pending_max=8) as delivery:
        bodies = await delivery.hook.until("/hook", 12)
        await delivery.deliver.quiesce()

        assert sorted(int(json.loads(body)["id"]) for body in bodies) == [1, *range(50, 61)]


async def test_an_expired_backlog_does_not_hide_what_came_after(tmp_path: Path) -> None:
    """Events that expire while they wait are skipped, all at once: the next living one goes out."""
    async with delivering(tmp_path, lane_in_flight_max=1) as delivery:
        world = delivery.world
        topic = await world.topic()
        await delivery.register(topic, "/hang")
        for number in range(10):
            await world.publish(topic, str(number))
        await delivery.hook.until("/hang", 1)
        await eventually(delivery.has_read_all, "everything read")
        assert isinstance(world.parts.clock, VirtualClock)
        world.parts.clock.advance(9 * DAY_MS)
        await world.publish(topic, "living")
        assert await world.store.expire(world.parts.clock.now_ms() - 7 * DAY_MS) == 1
        delivery.hook.released.set()
        bodies = await delivery.hook.until("/hang", 2)

        assert json.loads(bodies[1])["id"] == "living"


async def test_waiting_for_quiet_ends_with_delivery(tmp_path: Path) -> None:
    """Whoever waits for an attempt that is cut off by the end is told so, and does not go on as if it had been made."""
    async with delivering(tmp_path, drain_timeout_s=0) as delivery:
        topic = await delivery.world.topic()
        await delivery.register(topic, "/hang")
        await delivery.world.publish(topic)
        await delivery.hook.until("/hang", 1)
        waiting = asyncio.create_task(delivery.deliver.quiesce())
        await asyncio.sleep(0)
        delivery.deliver.stop()

        with pytest.raises(StoreUnavailable):
            await waiting
