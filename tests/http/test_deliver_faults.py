"""`flow.deliver` when something goes wrong: lost races, refused commits, unforeseen errors, expired backlogs."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from eventmill.model import Lane
from eventmill.store.base import SLOTS, LaneProgress, SlotLease, WorkCommit
from tests.http.test_deliver import FAILED, REGISTRATIONS, delivering
from tests.http.world import running

pytestmark = pytest.mark.anyio


@contextmanager
def state_locked(directory: Path) -> Iterator[sqlite3.Connection]:
    """No commit to the state file succeeds meanwhile."""
    connection = sqlite3.connect(directory / "data" / "state.db", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
    finally:
        connection.close()


async def test_one_place_for_all(tmp_path: Path) -> None:
    """With a cap of one attempt, each that ends makes room for the next."""
    async with delivering(tmp_path, in_flight_max=1) as delivery:
        topic = await delivery.world.topic()
        await delivery.register(topic, "/hang-one")
        await delivery.register(topic, "/two")
        await delivery.world.publish(topic, "a")
        await delivery.hook.until("/hang-one", 1)
        await delivery.world.publish(topic, "b")
        await asyncio.sleep(0.5)
        delivery.hook.released.set()
        await delivery.hook.until("/hang-one", 2)
        await delivery.hook.until("/two", 2)


async def test_delivery_goes_on_after_a_refused_commit(tmp_path: Path) -> None:
    async with delivering(tmp_path, lane_in_flight_max=1) as delivery:
        topic = await delivery.world.topic()
        other = await delivery.world.topic("Other")
        await delivery.register(topic, "/hang-x")
        await delivery.register(other, "/fine")
        for n in range(5):
            await delivery.world.publish(topic, str(n))
        await delivery.hook.until("/hang-x", 1)
        with state_locked(tmp_path):
            await delivery.world.publish(other, "o")
            while not delivery.deliver._checkpoints.stalled:
                await asyncio.sleep(0.05)
            delivery.hook.released.set()
            await asyncio.sleep(0.5)
        await delivery.hook.until("/hang-x", 5)


async def test_takeover_with_much_done(tmp_path: Path) -> None:
    async with running(tmp_path, dev=True) as world:
        topic = await world.topic()
        registration = await world.register(topic, name="/exx", webhook_url="http://127.0.0.1:1/x")
        for n in range(60):
            await world.publish(topic, str(n))
        lane = Lane(registration["id"])
        lease = next(l for l in await world.store.leases() if l.slot == lane % SLOTS)
        done = tuple(range(2, 50))
        await world.store.commit(WorkCommit((lease,), (LaneProgress(lane=lane, mark=0, done=done, settled=done),)))
    async with delivering(tmp_path, lane_pending_max=8) as delivery:
        # same path: point the registration at the hook
        form = {"name": "/exx", "client_id": registration["client_id"], "webhook_url": delivery.hook.url + "/exx", "delivery_type": "webhook", "events_of_interest": [topic], "description": "d"}
        answer = await delivery.world.call("PUT", f"{REGISTRATIONS}/{registration['registration_id']}", form)
        assert answer.status == 200, answer.body
        await delivery.hook.until("/exx", 12)


async def test_poison(tmp_path: Path) -> None:
    async with delivering(tmp_path) as delivery:
        topic = await delivery.world.topic()
        await delivery.register(topic, "/bad")
        await delivery.register(topic, "/good")
        lanes = delivery.deliver._lanes
        orig = delivery.deliver._attempter._sender.send
        async def send(request):
            if request.url.endswith("/bad"):
                raise KeyError("surprise")
            return await orig(request)
        delivery.deliver._attempter._sender.send = send
        await delivery.world.publish(topic, "1")
        await delivery.hook.until("/good", 1)
        await delivery.world.publish(topic, "2")
        await delivery.hook.until("/good", 2)


async def test_lost_unit(tmp_path: Path) -> None:
    async with delivering(tmp_path) as delivery:
        topic = await delivery.world.topic()
        registration = await delivery.register(topic, "/hang-x")
        lane = Lane(registration["id"])
        await delivery.world.publish(topic, "0")
        await delivery.hook.until("/hang-x", 1)
        hook = delivery.hook
        first, hook.released = hook.released, asyncio.Event()
        await delivery.world.publish(topic, "1")
        await delivery.hook.until("/hang-x", 2)
        # first fails, second will succeed
        with state_locked(tmp_path):
            hook.status = FAILED
            first.set()
            while not delivery.deliver._checkpoints.stalled:
                await asyncio.sleep(0.01)
            delivery.deliver.stop()
            hook.status = "200 OK"
            hook.released.set()
            await asyncio.sleep(0.4)
        while delivery.deliver._checkpoints.patient:
            await asyncio.sleep(0.01)
        await asyncio.sleep(1.5)
        record = await delivery.world.store.lane(lane)
        units = await delivery.world.store.due_units(lane, 1 << 62, 10)
        print(record, units)
        assert record.mark == 0 or units


async def test_expired_pending(tmp_path: Path) -> None:
    async with delivering(tmp_path, lane_in_flight_max=1) as delivery:
        world = delivery.world
        topic = await world.topic()
        await delivery.register(topic, "/hang-x")
        for n in range(10):
            await world.publish(topic, str(n))
        await delivery.hook.until("/hang-x", 1)
        await asyncio.sleep(0.2)
        world.parts.clock.advance(9 * 86_400_000)
        await world.publish(topic, "new")
        assert await world.store.expire(world.parts.clock.now_ms() - 7 * 86_400_000) == 1
        await asyncio.sleep(0.2)
        delivery.hook.released.set()
        bodies = await delivery.hook.until("/hang-x", 2)
        print(bodies)
