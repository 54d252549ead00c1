"""Delivery children on the database: nodes of their own, which their front hears, counts and drains."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from eventmill.config import Config
from eventmill.store.children import Beat
from eventmill.store.postgres.child import PostgresChild
from eventmill.store.postgres.store import PostgresStore
from eventmill.store.work import SLOTS
from tests.store.builders import HandClock, append, commit, open_lane, progress, tried
from tests.store.postgres import database_of
from tests.waiting import eventually

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def front_and_child(tmp_path: Path) -> AsyncIterator[tuple[PostgresStore, PostgresChild, list[Beat]]]:
    """What the front heard is in the list."""
    config = Config(data=str(tmp_path), store=database_of(str(tmp_path)))
    front = PostgresStore(config, HandClock())
    await front.open()
    ours, theirs = socket.socketpair()
    beats: list[Beat] = []
    front.attach_child(ours, 0, 1, beats.append)
    child = PostgresChild(config, HandClock(), theirs)
    await child.open()
    try:
        yield front, child, beats
    finally:
        await child.close()
        await front.close()


async def test_a_front_hears_its_child(tmp_path: Path) -> None:
    """The child has the slots, the front none; what the child counted is in the totals, also when it is gone."""
    async with front_and_child(tmp_path) as (front, child, beats):
        assert await front.leases() == ()
        assert len(await child.leases()) == SLOTS
        await eventually(lambda: any(beat.slots == SLOTS for beat in beats), "a beat that tells of the slots")
        lane = await open_lane(front)
        await append(front, (lane,))
        await commit(child, progress(lane, 1, settled=(1,), counts=(tried(1, 0),)))
        await child.close()
        await eventually(lambda: front_counts(front, 1), "what the child had counted")


async def test_a_child_is_drained_and_knows_when_its_front_is_gone(tmp_path: Path) -> None:
    """Asked to drain it goes on until its work is done; without a front it ends."""
    async with front_and_child(tmp_path) as (front, child, _):
        front.drain_children()
        await asyncio.wait_for(child.drain_asked.wait(), 10)
        assert not child.lost.is_set()
        await front.close()
        await asyncio.wait_for(child.lost.wait(), 10)


async def test_a_child_that_is_only_starting_is_drained_too(tmp_path: Path) -> None:
    """Whatever comes first, the child's start or the word."""
    config = Config(data=str(tmp_path), store=database_of(str(tmp_path)))
    front = PostgresStore(config, HandClock())
    await front.open()
    ours, theirs = socket.socketpair()
    front.drain_children()
    front.attach_child(ours, 0, 1)
    child = PostgresChild(config, HandClock(), theirs)
    await child.open()
    await asyncio.wait_for(child.drain_asked.wait(), 10)
    await child.close()
    await front.close()


async def front_counts(front: PostgresStore, succeeded: int) -> bool:
    return (await front.totals()).succeeded == succeeded
