"""Conformance: how long what is still to be delivered has been waiting, and what is counted."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from eventmill.model import Lane
from eventmill.store.base import Store
from eventmill.store.control import CloseLane, DisableLane, EnableLane
from eventmill.store.observe import Backlog, Waiting
from tests.store.builders import START_MS, Stores, append, commit, ended, open_lane, progress, tried, unit

pytestmark = pytest.mark.anyio

MINUTE_MS = 60_000


async def waits(store: Store, lane: Lane) -> float | None:
    """Minutes after the start from which on the lane waits; the same from the overview."""
    since_ms = await store.waiting_since(lane)
    listed = [each.since_ms for each in (await store.backlog(1000)).oldest if each.lane == lane]
    assert listed == ([] if since_ms is None else [since_ms])
    return None if since_ms is None else (since_ms - START_MS) / MINUTE_MS


async def append_each_minute(stores: Stores, store: Store, lane: Lane, count: int) -> None:
    for _ in range(count):
        await append(store, [lane])
        stores.clock.at_ms += MINUTE_MS


async def test_first_unsettled_position_counts(stores: Stores) -> None:
    """From the append of the first position above the mark that is not settled; nothing when all are."""
    async with stores.opened() as store:
        lane, idle = await open_lane(store), await open_lane(store)
        await append_each_minute(stores, store, lane, 9)
        assert await waits(store, lane) == 0
        await commit(store, progress(lane, 2, [4, 5]))
        assert await waits(store, lane) == 2
        await commit(store, progress(lane, 2, [3, 4, 5]))
        assert await waits(store, lane) == 5
        await commit(store, progress(lane, 9))
        assert await waits(store, lane) is None
        assert await waits(store, idle) is None
        await append(store, [lane])
        assert await waits(store, lane) == 9


async def test_units_count_from_their_first_attempt(stores: Stores) -> None:
    """Whichever is older, a unit or a position; a disabled lane has its units only, and is up to date when enabled."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        await append_each_minute(stores, store, lane, 6)
        older = msgspec.structs.replace(
            unit(lane, [2], due_ms=START_MS + 99 * MINUTE_MS), first_ms=START_MS + MINUTE_MS
        )
        younger = msgspec.structs.replace(unit(lane, [3]), first_ms=START_MS + 4 * MINUTE_MS)
        await commit(store, progress(lane, 3, put_units=(older, younger)))
        assert await waits(store, lane) == 1
        assert (await store.backlog(1)).units == 2
        await commit(store, progress(lane, 3, end_units=(older.unit_id,)))
        assert await waits(store, lane) == 3
        await store.write([DisableLane(lane, "hook_unreachable", stores.clock.at_ms)])
        assert await waits(store, lane) == 4
        await commit(store, progress(lane, 3, end_units=(younger.unit_id,)))
        assert await waits(store, lane) is None
        await append(store, [lane])
        assert await waits(store, lane) is None
        await store.write([EnableLane(lane, stores.clock.at_ms)])
        assert await waits(store, lane) is None


async def test_same_after_a_restart_and_on_a_new_day(stores: Stores) -> None:
    """What is in older files counts as well, whether or not the lane got anything since."""
    async with stores.opened() as store:
        quiet, busy = await open_lane(store), await open_lane(store)
        await append_each_minute(stores, store, quiet, 5)
        await append_each_minute(stores, store, busy, 5)
        await commit(store, progress(quiet, 3), progress(busy, 10))
        stores.clock.at_ms += 24 * 60 * MINUTE_MS
        await append(store, [busy])
    async with stores.opened() as store:
        assert await waits(store, quiet) == 3
        assert await waits(store, busy) == 10 + 24 * 60
        await commit(store, progress(quiet, 5), progress(busy, 11))
    async with stores.opened() as store:
        assert await waits(store, quiet) is None
        assert await store.backlog(9) == Backlog(0, ())


async def test_longest_waiting_come_first(stores: Stores) -> None:
    """As many as were asked for; a deleted lane that still retries is among them, under its registration's id."""
    async with stores.opened() as store:
        lanes = [await open_lane(store) for _ in range(5)]
        for lane in lanes:
            await append_each_minute(stores, store, lane, 1)
        await commit(store, progress(lanes[1], 2, put_units=(unit(lanes[1], [2]),)))
        await store.write([CloseLane(lanes[1], b"gone", stores.clock.at_ms)])
        found = await store.backlog(3)
        assert found == Backlog(
            1,
            tuple(
                Waiting(lane, f"r{lane}", START_MS + at * MINUTE_MS) for lane, at in zip(lanes, (0, 0, 2), strict=False)
            ),
        )


async def test_totals(stores: Stores) -> None:
    """Events, attempts by outcome, events that ended undelivered, each since the process began; sizes are of now."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        await append(store, [lane], 3)
    async with stores.opened() as store:
        await append(store, [lane], 4)
        over: Any = {"counts": (tried(3, 2), tried(1, 0)), "ended": (ended([1, 2]), ended([3]))}
        await commit(store, progress(lane, 7, **over))
        totals = await store.totals()
        assert (totals.events, totals.succeeded, totals.failed, totals.refused) == (4, 4, 2, 3)
        assert (totals.gave_up, totals.expired, totals.dropped_segments) == (0, 0, 0)
        assert totals.stored_bytes > 0
