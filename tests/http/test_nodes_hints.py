"""Delivery on one node of what others publish: told of it by hints, which name shards and slots."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from eventmill.store.work import SLOTS
from eventmill.testing import receiving
from tests.http.delivery import Delivery, Hook, delivering_for
from tests.http.world import WORKSPACE, World, nodes
from tests.waiting import eventually

pytestmark = pytest.mark.anyio

PATHS = ("/one", "/two")


@asynccontextmanager
async def delivering_elsewhere(tmp_path: Path) -> AsyncIterator[tuple[World, Delivery, list[dict[str, Any]], Any]]:
    """A node that only publishes, another that delivers, and registrations for two topics."""
    hook = Hook()
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(receiving(hook.behave))
        hook.url = receiver.url.removesuffix("/hook")
        worlds = await stack.enter_async_context(nodes(tmp_path, dev=True))
        delivery = await stack.enter_async_context(delivering_for(worlds[0], hook))
        topics = [await worlds[1].topic(path.strip("/")) for path in PATHS]
        made = [
            await worlds[1].register(topic, name=path, webhook_url=hook.url + path)
            for topic, path in zip(topics, PATHS, strict=True)
        ]
        yield worlds[1], delivery, made, topics


async def test_what_others_publish_is_delivered(tmp_path: Path) -> None:
    """Every event, whichever lane it is for; a lane sleeps until its first one."""
    async with delivering_elsewhere(tmp_path) as (other, delivery, made, topics):
        bodies, lanes = delivery.hook.bodies, delivery.deliver._lanes
        for count in range(1, 6):
            assert await other.publish(topics[0]) == 200
            await eventually(partial(_has, delivery, "/one", count), "the delivery")
        assert lanes.get(made[0]["id"]) is not None
        assert lanes.get(made[1]["id"]) is None
        assert await other.publish(topics[1]) == 200
        await eventually(partial(_has, delivery, "/two", 1), "the delivery")
        await delivery.deliver.quiesce()
        assert [len(bodies[path]) for path in PATHS] == [5, 1]


async def test_hints_name_what_moved(tmp_path: Path) -> None:
    """An append elsewhere is hinted at with its shard and head, on a node that holds a slot of it; a write to the
    catalogue with nothing, so that everything is looked at."""
    async with nodes(tmp_path) as (one, two):
        topic = await two.topic()
        registration = await two.register(topic)
        shard = await two.store.shard(two.parts.catalogue.organizations()[0].id)
        assert registration["id"] % SLOTS in {lease.slot for lease in await one.store.leases()}
        moved = asyncio.Event()
        one.store.on_change(moved.set)

        async def named() -> dict[int, int] | None:
            """What an append is hinted at with, unless a look came first."""
            one.store.take_hints()
            moved.clear()
            assert await two.publish(topic) == 200
            await moved.wait()
            hints = one.store.take_hints()
            return hints and {shard: hints[shard] - (await two.store.head(shard)).seq}

        assert await eventually(named, "a hint with heads") == {shard: 0}
        one.store.take_hints()
        await two.topic("Another")

        async def told_of_anything() -> bool:
            return one.store.take_hints() is None

        await eventually(told_of_anything, "a hint at anything")


async def test_a_lane_that_sleeps_is_deleted(tmp_path: Path) -> None:
    """Nothing of it is left, and what is published afterwards goes on to others."""
    async with delivering_elsewhere(tmp_path) as (other, delivery, made, topics):
        path = f"{WORKSPACE}/registrations/{made[0]['registration_id']}"
        assert (await other.call("DELETE", path)).status == 204
        assert await other.publish(topics[0]) == 204
        assert await other.publish(topics[1]) == 200
        await eventually(partial(_has, delivery, "/two", 1), "the delivery")
        lanes = delivery.deliver._lanes
        await eventually(lambda: lanes.get(made[0]["id"]) is None, "the end of the lane")
        assert not _has(delivery, "/one", 1)


def _has(delivery: Delivery, path: str, count: int) -> bool:
    return len(delivery.hook.bodies.get(path, ())) >= count
