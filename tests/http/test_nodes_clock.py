"""The virtual clock of dev mode on two nodes of one database: one advances it, and all that is due happens on both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from eventmill.clock import VirtualClock
from eventmill.errors import StoreUnavailable
from eventmill.flow.health import Health
from eventmill.flow.settling import Settling
from eventmill.flow.timetravel import TimeTravel
from eventmill.flow.upkeep import Upkeep
from eventmill.store.work import SLOTS
from eventmill.testing import receiving
from tests.http.delivery import Delivery, Hook, delivering_for
from tests.http.world import BASE, WORKSPACE, World, nodes
from tests.waiting import eventually

pytestmark = pytest.mark.anyio

HOUR_S = 3600


class Fellow:
    """A node in dev mode as its server wires it, as far as the clock is concerned."""

    def __init__(self, delivery: Delivery) -> None:
        self.world, self.deliver = delivery.world, delivery.deliver
        parts = self.world.parts
        assert isinstance(parts.clock, VirtualClock)
        assert parts.store.fellows is not None
        self.clock, self.emptied = parts.clock, 0
        self.health = Health(parts.store, parts.catalogue, parts.clock, parts.ids, parts.config)
        upkeep = Upkeep(parts.store, parts.clock, parts.config)
        self.travel = TimeTravel(parts.clock, parts.store, self.deliver, upkeep, (self.health,))
        self.settling = Settling(parts.store.fellows, self.deliver, parts.clock, self._forget)
        parts.store.on_change(self.settling.look)

    def _forget(self) -> None:
        self.emptied += 1


@asynccontextmanager
async def fellows(tmp_path: Path) -> AsyncIterator[tuple[Fellow, Fellow, Hook, list[dict[str, Any]], dict[str, str]]]:
    """Two nodes that share the slots, and a registration in the care of each."""
    hook = Hook()
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(receiving(hook.behave))
        hook.url = receiver.url.removesuffix("/hook")
        worlds = await stack.enter_async_context(nodes(tmp_path, deliverers=2, dev=True, lease_ttl_s=4.0))
        await eventually(lambda: _share(worlds), "slots on both nodes")
        both = [Fellow(await stack.enter_async_context(delivering_for(world, hook))) for world in worlds]
        tasks = [asyncio.create_task(fellow.settling.run()) for fellow in both]
        topic = await worlds[0].topic()
        registrations = []
        while await worlds[0].store.allocate("lane") % SLOTS < SLOTS - 2:
            pass  # the next two lanes have the last slot, and the first
        for path in ("/fail/one", "/fail/two"):
            members = {"name": path, "webhook_url": hook.url + path}
            registrations.append(await worlds[0].register(topic, **members))
        try:
            yield both[0], both[1], hook, registrations, topic
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _share(worlds: list[World]) -> bool:
    return [len(await world.store.leases()) for world in worlds] == [SLOTS // 2] * 2


async def test_retries_happen_on_both_nodes(tmp_path: Path) -> None:
    """A day is advanced on one node: each lane has had its whole series of retries when the call is answered, whichever
    node delivers it, and what the failures do to the webhooks' health is done; both clocks agree."""
    async with fellows(tmp_path) as (one, two, hook, registrations, topic):
        assert await one.world.publish(topic) == 200
        await two.travel.quiesce()
        assert [len(hook.bodies[path]) for path in ("/fail/one", "/fail/two")] == [1, 1]
        await two.travel.advance(HOUR_S)
        first = [len(hook.bodies[path]) for path in ("/fail/one", "/fail/two")]
        assert first[0] == first[1] > 3
        await one.travel.advance(3 * HOUR_S)
        later = [len(hook.bodies[path]) for path in ("/fail/one", "/fail/two")]
        assert later[0] == later[1] > first[0]
        assert abs(one.clock.now_ms() - two.clock.now_ms()) < 2000
        for registration in registrations:
            path = f"{WORKSPACE}/registrations/{registration['registration_id']}"
            assert (await two.world.call("GET", path)).json()["webhook_status"] == "unstable"


async def test_a_rate_is_everybodys(tmp_path: Path) -> None:
    """A rate that one node is given holds on the others."""
    async with fellows(tmp_path) as (one, two, _, _, _):
        await one.travel.set_rate(60)
        await eventually(lambda: two.clock.rate == 60, "the rate")


async def test_a_clock_that_stands_still_stays_where_it_was_put(tmp_path: Path) -> None:
    """The node that has moved the clock does not take its own move for another's, which would have it gain the time
    until it sees it in the database."""
    async with nodes(tmp_path, dev=True) as (one, two):
        mine, others = one.parts.clock, two.parts.clock
        assert isinstance(mine, VirtualClock) and isinstance(others, VirtualClock)
        for _ in range(3):
            wanted_ms = mine.now_ms() + 60_000
            mine.advance(60_000)
            await one.store.set_clock(mine.offset_ms, mine.jumped_ms)
            await eventually(lambda: others.jumped_ms == mine.jumped_ms, "the other node to follow")
            assert mine.now_ms() == wanted_ms


async def test_a_reset_reaches_all(tmp_path: Path) -> None:
    """When the call is answered no node knows a registration, keeps what it had in memory, or delivers what was; and
    publishing and reading begin anew on both."""
    async with fellows(tmp_path) as (one, two, hook, registrations, topic):
        assert await one.world.publish(topic) == 200
        await one.travel.quiesce()
        await two.world.store.reset()
        await two.travel.quiesce()
        assert (one.emptied, one.deliver.next_due_ms()) == (1, None)
        path = registrations[0]["_links"]["rel:events"]["href"].removeprefix(BASE)
        for fellow in (one, two):
            assert (await fellow.world.call("GET", path)).status == 404
        count = {path: len(bodies) for path, bodies in hook.bodies.items()}
        await one.travel.advance(HOUR_S)
        assert {path: len(bodies) for path, bodies in hook.bodies.items()} == count
        fresh = await two.world.topic()
        journal = await two.world.register(fresh, delivery_type="journal", webhook_url=...)
        assert await one.world.publish(fresh) == 200
        assert len(await two.world.journal(journal)) == 1


async def test_what_a_dead_node_held_is_waited_for(tmp_path: Path) -> None:
    """A clock that moves while nobody holds a registration's slot waits for its next holder, and for what is due
    there."""
    hook = Hook()
    async with (
        receiving(hook.behave) as receiver,
        nodes(tmp_path, count=1, dev=True, lease_ttl_s=1.0) as [world],
        delivering_for(world, hook) as delivery,
    ):
        hook.url = receiver.url.removesuffix("/hook")
        fellow = Fellow(delivery)
        settling = asyncio.create_task(fellow.settling.run())
        topic = await world.topic()
        await world.register(topic, webhook_url=f"{hook.url}/orphan")
        await _give_to_a_dead_node(world)
        await eventually(lambda: _holds_none(world), "a node without slots")
        assert await world.publish(topic) == 200
        await fellow.travel.advance(0)
        assert len(hook.bodies["/orphan"]) == 1
        settling.cancel()
        await asyncio.gather(settling, return_exceptions=True)


async def _give_to_a_dead_node(world: World) -> None:
    """All slots, for two seconds."""
    database = await asyncpg.connect(world.parts.config.store)
    await database.execute(
        "UPDATE eventmill.slot "
        "SET epoch = epoch + 1, owner = gen_random_uuid(), till = clock_timestamp() + interval '2 seconds'"
    )
    await database.close()


async def _holds_none(world: World) -> bool:
    return await world.store.leases() == ()


async def test_a_node_that_takes_no_part_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node without dev mode has slots: an advance would wait for ever, and says so instead."""
    monkeypatch.setattr("eventmill.flow.settling._SILENT_S_MAX", 0.1)
    async with nodes(tmp_path, deliverers=2, dev=True, lease_ttl_s=4.0) as worlds:
        await eventually(lambda: _share(worlds), "slots on both nodes")
        async with delivering_for(worlds[0], Hook()) as delivery:
            with pytest.raises(StoreUnavailable, match="without --dev"):
                await Fellow(delivery).travel.advance(1)
