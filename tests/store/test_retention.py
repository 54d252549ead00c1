"""Conformance: retention and reset: positions never fall back, nothing expires unseen."""

from __future__ import annotations

import pytest

from eventmill.errors import RoutingStale
from eventmill.model import Lane
from eventmill.store.base import Store
from eventmill.store.control import CloseLane, Create, DisableLane, EnableLane
from eventmill.store.work import PULLED, Ended
from tests.store.builders import (
    DAY_MS,
    ORG,
    START_MS,
    Stores,
    append,
    commit,
    ended,
    event,
    journal,
    open_lane,
    positions,
    progress,
    trace,
    tried,
    unit,
)

pytestmark = pytest.mark.anyio


async def test_only_old_segments_are_dropped(stores: Stores) -> None:
    """What is younger than asked stays, whole days at a time; bytes, look-ups and pages follow."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        for day in range(4):
            stores.clock.at_ms = START_MS + day * DAY_MS
            await append(store, [lane], 3, body=b"x" * 10)
        assert await store.expire(START_MS - DAY_MS) == 0
        assert await store.expire(START_MS + 2 * DAY_MS) == 2
        assert await positions(store, lane) == list(range(7, 13))
        assert await store.fetch(0, [1, 6, 7]) == (await journal(store, lane))[:1]
        assert store.stored_bytes(ORG) == 60
        assert await store.count_after(lane, 0, 100) == 6
        assert await store.seek(0, START_MS) == 6
    async with stores.opened() as store:
        assert await positions(store, lane) == list(range(7, 13))
        assert store.stored_bytes(ORG) == 60


async def test_positions_never_fall_back(stores: Stores) -> None:
    """Everything expired, the process restarted, the clock set back: the next event continues the count, and its day is
    not before the last one's."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        await append(store, [lane], 5)
        stores.clock.at_ms = START_MS + 20 * DAY_MS
        assert await store.expire(START_MS + 10 * DAY_MS) == 1
        assert await journal(store, lane) == []
        head = await store.head(0)
        assert head.seq == 5
    stores.clock.at_ms = START_MS - DAY_MS
    async with stores.opened() as store:
        assert (await store.head(0)).seq == 5
        assert await append(store, [lane]) == [6]
        (stored,) = await journal(store, lane)
        assert stored.day >= 20260101
    async with stores.opened() as store:
        assert await append(store, [lane]) == [7]


async def test_the_floor_is_each_lanes_own(stores: Stores) -> None:
    """A lane's floor is its highest dropped position, so an idle reader at its end has lost nothing."""
    async with stores.opened() as store:
        busy, idle = await open_lane(store), await open_lane(store)
        await append(store, [busy, idle], 2)
        await append(store, [busy], 3)
        stores.clock.at_ms += DAY_MS
        await append(store, [busy])
        await store.expire(START_MS + 1)
        late = await open_lane(store)
    async with stores.opened() as store:
        assert [await store.floor(lane) for lane in (busy, idle, late)] == [5, 2, 0]


async def test_undelivered_events_expire_on_record(stores: Stores) -> None:
    """Before a segment goes, what was never delivered of it is listed as expired and the mark moves past, be it that it
    passed in a gap, which keeps the rest; what was settled, or was to be pulled only, is not listed."""
    async with stores.opened() as store:
        lagging, done, disabled, pulled = lanes = [await open_lane(store) for _ in range(4)]
        await append(store, lanes, 8)
        await commit(store, progress(lagging, 2, [4, 5]), progress(done, 8), progress(disabled, 1, [3]))
        await store.write([DisableLane(disabled, "user", START_MS), DisableLane(pulled, PULLED, START_MS)])
        stores.clock.at_ms = START_MS + DAY_MS
        await append(store, lanes)
        stores.clock.at_ms = START_MS + 9 * DAY_MS
        assert await store.expire(START_MS + 1) == 1
    async with stores.opened() as store:
        assert await store.ended(lagging, 10) == [Ended((3, 6, 7, 8), "expired", 0, START_MS + 9 * DAY_MS)]
        assert await store.ended(done, 10) == []
        assert await store.ended(disabled, 10) == [Ended((2, 4, 5, 6, 7, 8), "expired", 0, START_MS + 9 * DAY_MS)]
        assert [(gap.from_seq, gap.to_seq) for gap in await store.gaps(disabled)] == [(9, None)]
        assert await store.ended(pulled, 10) == []
        assert [(gap.from_seq, gap.to_seq) for gap in await store.gaps(pulled)] == [(1, None)]
        record = await store.lane(lagging)
        assert record is not None
        assert (record.mark, record.done) == (8, ())
        assert await store.lane_page(lagging, record.mark, 10) == [9]


async def test_units_without_events_expire_on_record(stores: Stores) -> None:
    """A retry whose events are gone ends as expired, also under a tombstone, also when only one of a batch is gone."""
    async with stores.opened() as store:
        lane, deleted = await open_lane(store), await open_lane(store)
        await append(store, [lane, deleted], 4)
        stores.clock.at_ms = START_MS + DAY_MS
        await append(store, [lane, deleted], 2)
        old, mixed, young = unit(lane, [1]), unit(lane, [4, 5]), unit(lane, [6])
        orphan = unit(deleted, [2])
        await commit(store, progress(lane, 6, put_units=(old, mixed, young)), progress(deleted, 6, put_units=(orphan,)))
        await store.write([CloseLane(deleted, b"target", START_MS)])
        await store.expire(START_MS + 1)
        assert await store.due_units(lane, START_MS, 10) == [young]
        expired = {(each.positions, each.outcome, each.cause) for each in await store.ended(lane, 10)}
        assert expired == {((1,), "expired", 503), ((4, 5), "expired", 503)}
        assert await store.due_units(deleted, START_MS, 10) == []


async def test_long_ranges_expire_in_bounded_records(stores: Stores) -> None:
    """Thousands of undelivered events are all listed, however many records that takes."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        epoch = await store.epoch()
        for _ in range(6):
            await store.append_durable([event([lane], epoch) for _ in range(1000)])
        stores.clock.at_ms += DAY_MS
        await append(store, [])
        await store.expire(START_MS + 1)
        records = await store.ended(lane, 100)
        assert sorted(seq for record in records for seq in record.positions) == list(range(1, 6001))
        assert max(len(record.positions) for record in records) < 6000


async def test_old_records_are_forgotten(stores: Stores) -> None:
    """Give-ups, counters and closed gaps are kept as long as events are, not for ever."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        await append(store, [lane], 2)
        await commit(store, progress(lane, 2, ended=(ended([1], START_MS),), counts=(tried(1, 0),)))
        await store.write([DisableLane(lane, "user", START_MS), EnableLane(lane, START_MS)])
        stores.clock.at_ms = START_MS + DAY_MS
        await append(store, [lane])
        await store.expire(START_MS)
        assert len(await store.ended(lane, 10)) == len(await store.gaps(lane)) == 1
        await store.expire(START_MS + 1)
        assert await store.ended(lane, 10) == []
        assert await store.gaps(lane) == []
        assert await store.counts(lane, 0) == (0, 0)


async def test_an_empty_store_expires_nothing(stores: Stores) -> None:
    """Retention on a store without events, or twice in a row, is harmless."""
    async with stores.opened() as store:
        assert await store.expire(START_MS + DAY_MS) == 0
        await append(store, [])
        assert await store.expire(START_MS + DAY_MS) == 1
        assert await store.expire(START_MS + DAY_MS) == 0
        assert await append(store, []) == [2]


async def test_reset_empties_and_raises_the_generation(stores: Stores) -> None:
    """Registrations, providers, metadata, journals, retries, traces and records go; tenants, keys, the clock and the
    count of positions stay."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        kept = [
            Create("organization", ORG, "o", b"{}"),
            Create("credential", ORG, "c", b"{}"),
            Create("signing_key", ORG, "k", b"{}"),
        ]
        await store.write([*kept, Create("provider", ORG, "p", b"{}"), Create("event_metadata", ORG, "p/c", b"{}")])
        await store.set_clock(7, 7)
        await append(store, [lane], 5)
        work = progress(
            lane, 3, put_units=(unit(lane, [4]),), ended=(ended([5]),), traces=(trace(True, 1),), counts=(tried(1, 0),)
        )
        await commit(store, work)
        before = await store.epoch()
        await store.reset()
        await check_empty(store, lane, before)
    async with stores.opened() as store:
        await check_empty(store, lane, before)
        tenants = [await store.scan("organization"), await store.scan("credential"), await store.scan("signing_key")]
        assert [len(found) for found in tenants] == [1, 1, 1]
        assert await store.clock_offset_ms() == 7
        fresh = await open_lane(store)
        assert fresh > lane
        assert await append(store, [fresh]) == [6]
        assert await positions(store, fresh) == [6]


async def check_empty(store: Store, lane: Lane, before: int) -> None:
    """Nothing of the lane, its documents and its events is left; whoever matched before the reset is stale."""
    head = await store.head(0)
    assert (head.generation, head.seq) == (2, 5)
    assert await store.scan("registration") == await store.scan("provider") == await store.scan("event_metadata") == []
    assert await store.lane(lane) is None
    assert await store.lanes(range(1024)) == []
    assert await journal(store, lane) == []
    assert (await store.read_log(0, 0, 100)).entries == []
    assert await store.due_units(lane, START_MS, 10) == []
    assert (await store.ended(lane, 9), await store.traces(lane), await store.attempts(lane, 9)) == ([], [], [])
    assert await store.counts(lane, 0) == (0, 0)
    assert store.stored_bytes(ORG) == 0
    with pytest.raises(RoutingStale):
        await store.append_durable([event([], before)])


async def test_reset_twice(stores: Stores) -> None:
    """Resetting an empty store, or again on the same day, raises the generation each time and loses no position."""
    async with stores.opened() as store:
        await store.reset()
        await append(store, [], 2)
        await store.reset()
        await store.reset()
        assert (await store.head(0)).generation == 4
        assert await append(store, []) == [3]
