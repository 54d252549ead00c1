"""The virtual clock of dev mode on two nodes of one database: one advances it, and all that is due happens on both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

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


async def test_a_node_that_takes_no_part_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node without dev mode has slots: an advance would wait for ever, and says so instead."""
    monkeypatch.setattr("eventmill.flow.settling._SILENT_S_MAX", 0.1)
    async with nodes(tmp_path, deliverers=2, dev=True) as (one, _), delivering_for(one, Hook()) as delivery:
        with pytest.raises(StoreUnavailable, match="without --dev"):
            await Fellow(delivery).travel.advance(1)
