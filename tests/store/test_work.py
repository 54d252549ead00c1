"""Conformance: work commits, their fences, and retry units."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from eventmill.model import Lane
from eventmill.store.control import OpenLane
from eventmill.store.work import SLOTS, SlotLease, WorkCommit
from tests.store.builders import ORG, START_MS, Stores, append, commit, ended, open_lane, progress, trace, tried, unit

pytestmark = pytest.mark.anyio


async def test_progress_survives_a_restart(stores: Stores) -> None:
    """Mark and settled positions above it are what the next process takes over."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        await append(store, [lane], 20)
        assert await commit(store, progress(lane, 3, [5, 9, 20])) == frozenset()
    async with stores.opened() as store:
        record = await store.lane(lane)
        assert record is not None
        assert (record.mark, record.done) == (3, (5, 9, 20))
        await commit(store, progress(lane, 9, [9, 11]))
        record = await store.lane(lane)
        assert record is not None
        assert (record.mark, record.done) == (9, (11,))


async def test_a_mark_never_falls_back(stores: Stores) -> None:
    """A commit that repeats after an unknown outcome, or comes late, changes nothing for the worse."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        await append(store, [lane], 9)
        retried = unit(lane, [4])
        work = progress(lane, 5, [7], put_units=(retried,))
        await commit(store, work)
        await commit(store, work)
        await commit(store, progress(lane, 2, [3, 8]))
        record = await store.lane(lane)
        assert record is not None
        assert (record.mark, record.done) == (5, (8,))
        assert await store.due_units(lane, START_MS, 10) == [retried]


async def test_a_lost_lease_writes_nothing(stores: Stores) -> None:
    """Lanes of slots without a current lease are left out whole, and named; the others of the commit are written."""
    async with stores.opened() as store:
        kept, lost, missing = [await open_lane(store) for _ in range(3)]
        await append(store, [kept, lost, missing], 3)
        lease = {each.slot: each for each in await store.leases()}
        leases = (lease[kept % SLOTS], SlotLease(lost % SLOTS, lease[lost % SLOTS].epoch + 1))
        fields: dict[str, Any] = {
            "put_units": (unit(lost, [1]),),
            "ended": (ended([2]),),
            "attempts": b"block",
            "traces": (trace(True, 1),),
            "counts": (tried(1, 0),),
        }
        work = WorkCommit(leases, (progress(kept, 3), progress(lost, 3, (), **fields), progress(missing, 3)))
        assert await store.commit(work) == {lost % SLOTS, missing % SLOTS}
        marks = {record.lane: record.mark for record in await store.lanes(range(SLOTS))}
        assert marks == {kept: 3, lost: 0, missing: 0}
        assert await store.due_units(lost, START_MS, 10) == []
        assert await store.ended(lost, 10) == []
        assert await store.attempts(lost, 10) == []
        assert await store.traces(lost) == []
        assert await store.counts(lost, 0) == (0, 0)


async def test_an_earlier_process_is_fenced(stores: Stores) -> None:
    """Opening the store voids leases: a commit under those of the process before is refused unless granted anew."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        await append(store, [lane])
        old = tuple(lease for lease in await store.leases() if lease.slot == lane % SLOTS)
    async with stores.opened(dev=False) as store:
        assert await store.commit(WorkCommit(old, (progress(lane, 1),))) == {lane % SLOTS}


async def test_units_come_by_due_time(stores: Stores) -> None:
    """Only what is due, earliest first, as it was put; the next due time is the lane's earliest."""
    async with stores.opened() as store:
        lane, other = await open_lane(store), await open_lane(store)
        await append(store, [lane, other], 9)
        late, early = unit(lane, [1], due_ms=START_MS + 60), unit(lane, [2, 5, 9], due_ms=START_MS + 10, retries=3)
        foreign = unit(other, [3], due_ms=START_MS)
        await commit(store, progress(lane, 9, put_units=(late, early)), progress(other, 9, put_units=(foreign,)))
    async with stores.opened() as store:
        assert await store.due_units(lane, START_MS + 9, 10) == []
        assert await store.due_units(lane, START_MS + 10, 10) == [early]
        assert await store.due_units(lane, START_MS + 60, 10) == [early, late]
        assert await store.due_units(lane, START_MS + 60, 1) == [early]
        assert await store.next_due(lane) == START_MS + 10
        record = await store.lane(lane)
        assert record is not None
        assert record.next_due_ms == START_MS + 10


async def test_a_unit_is_rescheduled_until_it_ends(stores: Stores) -> None:
    """Putting a unit again moves its schedule and keeps its members; ending removes it."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        await append(store, [lane], 3)
        await commit(store, progress(lane, 3, put_units=(unit(lane, [1, 2], key=77),)))
        again = unit(lane, [1, 2], key=77, due_ms=START_MS + 120, retries=2)
        await commit(store, progress(lane, 3, put_units=(again,)))
        assert await store.due_units(lane, START_MS + 120, 10) == [again]
        await commit(store, progress(lane, 3, end_units=(again.unit_id,)))
        assert await store.due_units(lane, START_MS + 120, 10) == []
        assert await store.next_due(lane) is None


async def test_queued_commits_apply_in_order(stores: Stores) -> None:
    """Commits sent without waiting, which share a transaction, end as if they came one by one."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        await append(store, [lane], 30)
        calls = []
        for number in range(1, 30):
            ends = ((number - 1).to_bytes(16, "big"),) if number % 3 else ()
            put = (unit(lane, [number], key=number),)
            calls.append(
                commit(
                    store, progress(lane, number, [number + 1], put_units=put, end_units=ends, counts=(tried(1, 0),))
                )
            )
        await asyncio.gather(*calls)
        record = await store.lane(lane)
        assert record is not None
        assert (record.mark, record.done) == (29, (30,))
        left = {each.positions[0] for each in await store.due_units(lane, START_MS, 100)}
        assert left == {number for number in range(1, 30) if number == 29 or (number + 1) % 3 == 0}
        assert await store.counts(lane, 0) == (29, 0)


async def test_many_lanes_in_one_commit(stores: Stores) -> None:
    """A checkpoint of hundreds of lanes is one transaction."""
    async with stores.opened() as store:
        lanes = [Lane(number) for number in range(1001, 1301)]
        await store.write([OpenLane(lane, ORG, f"r{lane}") for lane in lanes])
        await append(store, lanes)
        await commit(store, *[progress(lane, 1, put_units=(unit(lane, [1]),)) for lane in lanes])
        records = await store.lanes(range(SLOTS))
        assert {(record.mark, record.next_due_ms) for record in records} == {(1, START_MS)}
        ends = {record.lane: (await store.due_units(record.lane, START_MS, 9))[0].unit_id for record in records}
        await commit(store, *[progress(lane, 1, end_units=(ends[lane],)) for lane in lanes])
        assert {record.next_due_ms for record in await store.lanes(range(SLOTS))} == {None}


async def test_the_log_covers_the_lane_pages(stores: Stores) -> None:
    """A lane page holds everything of the lane that the log has shown."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        for _ in range(12):
            await append(store, [lane], 3)
            entries = (await store.read_log(0, 0, 1000)).entries
            assert await store.lane_page(lane, 0, 1000) == [entry.seq for entry in entries]
            assert await store.lane_page(lane, 2, 2) == [entry.seq for entry in entries if entry.seq > 2][:2]
