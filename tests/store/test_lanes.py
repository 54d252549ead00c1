"""Conformance: lanes of registrations: opening, gaps while disabled, closing with a tombstone."""

from __future__ import annotations

import pytest

from eventmill.errors import Conflict
from eventmill.model import Lane
from eventmill.store.control import CloseLane, DisableLane, EnableLane, OpenLane
from tests.store.builders import (
    ORG,
    START_MS,
    Stores,
    append,
    commit,
    journal,
    open_lane,
    positions,
    progress,
    trace,
    tried,
    unit,
)

pytestmark = pytest.mark.anyio


async def test_a_lane_opens_at_the_head(stores: Stores) -> None:
    """A new lane has nothing to deliver and nothing settled; opening it twice is a conflict."""
    async with stores.opened() as store:
        await append(store, [], 3)
        lane = await open_lane(store)
        record = await store.lane(lane)
        assert record is not None
        assert (record.org, record.registration_id, record.shard) == (ORG, f"r{lane}", 0)
        assert (record.mark, record.done, record.disabled) == (3, (), False)
        assert (record.tombstone, record.next_due_ms) == (None, None)
        with pytest.raises(Conflict):
            await store.write([OpenLane(lane, ORG, "again")])


async def test_lanes_come_by_slot(stores: Stores) -> None:
    """A slot's lanes are those with its remainder; together the slots have every lane once."""
    async with stores.opened() as store:
        lanes = [await open_lane(store) for _ in range(5)]
        assert [record.lane for record in await store.lanes(range(1024))] == lanes
        assert [record.lane for record in await store.lanes([lanes[1], lanes[3]])] == [lanes[1], lanes[3]]
        assert await store.lanes([5]) == []


async def test_a_lane_that_is_behind_says_so(stores: Stores) -> None:
    """Whoever takes a lane over need not look for events where it says that there are none above the mark."""
    async with stores.opened() as store:
        waiting, settled, partly = [await open_lane(store) for _ in range(3)]
        await append(store, [waiting, settled, partly], 4)
        await commit(store, progress(settled, 4), progress(partly, 1, [3]))
        records = {record.lane: record for record in await store.lanes(range(1024))}
        assert records[waiting].behind
        assert records[partly].behind
        for lane, record in records.items():
            found = await store.lane(lane)
            assert found is not None
            assert found.behind == record.behind
            assert record.behind or not await store.lane_page(lane, record.mark, 1)


async def test_disabling_opens_a_gap_at_the_mark(stores: Stores) -> None:
    """The gap begins after the last position settled without holes and knows those settled above; the journal goes on;
    a second disable changes nothing."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        await append(store, [lane], 6)
        await commit(store, progress(lane, 2, [4]))
        await store.write([DisableLane(lane, "hook_unreachable", START_MS)])
        await store.write([DisableLane(lane, "again", START_MS + 1)])
        await append(store, [lane], 2)
    async with stores.opened() as store:
        (gap,) = await store.gaps(lane)
        assert (gap.from_seq, gap.to_seq, gap.settled) == (3, None, (4,))
        assert (gap.cause, gap.opened_ms, gap.closed_ms) == ("hook_unreachable", START_MS, None)
        record = await store.lane(lane)
        assert record is not None
        assert record.disabled
        assert await positions(store, lane) == list(range(1, 9))


async def test_attempts_in_flight_settle_inside_the_gap(stores: Stores) -> None:
    """What was under way at the disable is noted in the gap, whether it ends before or after the enable, and only
    there; progress of a late commit never takes the mark back."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        await append(store, [lane], 6)
        await store.write([DisableLane(lane, "user", START_MS)])
        await commit(store, progress(lane, 1, [3], settled=(1, 3)))
        await append(store, [lane], 2)
        await store.write([EnableLane(lane, START_MS + 5)])
        await append(store, [lane], 2)
        await commit(store, progress(lane, 4, [6], settled=(2, 4, 6, 9)))
        (gap,) = await store.gaps(lane)
        assert (gap.from_seq, gap.to_seq, gap.closed_ms) == (1, 8, START_MS + 5)
        assert gap.settled == (1, 2, 3, 4, 6)
        record = await store.lane(lane)
        assert record is not None
        assert (record.mark, record.done, record.disabled) == (8, (), False)


async def test_enabling_resumes_at_the_head(stores: Stores) -> None:
    """After the gap the lane delivers what comes, not what passed; without a gap enabling changes nothing."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        await append(store, [lane], 3)
        await store.write([EnableLane(lane, START_MS)])
        record = await store.lane(lane)
        assert record is not None
        assert record.mark == 0
        assert await store.gaps(lane) == []
        await store.write([DisableLane(lane, "user", START_MS)])
        await store.write([EnableLane(lane, START_MS)])
        await append(store, [lane])
        record = await store.lane(lane)
        assert record is not None
        assert await store.lane_page(lane, record.mark, 10) == [4]


async def test_a_lane_may_have_many_gaps(stores: Stores) -> None:
    """Each disable is a gap of its own, also when nothing passed; settled positions go into the gap they lie in."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        for _ in range(2):
            await store.write([DisableLane(lane, "user", START_MS), EnableLane(lane, START_MS)])
        for _ in range(3):
            await append(store, [lane])
            await store.write([DisableLane(lane, "user", START_MS)])
            await append(store, [lane])
            await store.write([EnableLane(lane, START_MS)])
        await commit(store, progress(lane, 0, [], settled=(3, 6)))
        gaps = await store.gaps(lane)
        assert [(gap.from_seq, gap.to_seq) for gap in gaps] == [(1, 0), (1, 0), (1, 2), (3, 4), (5, 6)]
        assert [gap.settled for gap in gaps] == [(), (), (), (3,), (6,)]


async def test_operations_in_one_write_see_each_other(stores: Stores) -> None:
    """A registration may be opened and disabled in one write."""
    async with stores.opened() as store:
        lane = Lane(1001)
        await store.write([OpenLane(lane, ORG, "r"), DisableLane(lane, "journal", START_MS)])
        record = await store.lane(lane)
        assert record is not None
        assert record.disabled


async def test_lane_operations_change_the_routing(stores: Stores) -> None:
    """Each lane operation is a change of its registration, so that every process learns of it."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        before = await store.epoch()
        await store.write([DisableLane(lane, "user", START_MS), EnableLane(lane, START_MS)])
        await store.write([CloseLane(lane, b"t", START_MS)])
        changes = await store.changes(before, 10)
        assert [(change.kind, change.org, change.id) for change in changes] == [("registration", ORG, f"r{lane}")] * 3


async def test_closing_ends_the_journal_at_once(stores: Stores) -> None:
    """The journal of a deleted registration is empty for good; other lanes keep the shared events."""
    async with stores.opened() as store:
        lane, other = await open_lane(store), await open_lane(store)
        await append(store, [lane, other], 10)
        await store.write([CloseLane(lane, b"target", START_MS)])
        assert await journal(store, lane) == []
        assert await store.count_after(lane, 0, 10) == 0
        assert len(await journal(store, other)) == 10
    async with stores.opened() as store:
        assert await journal(store, lane) == []


async def test_units_run_on_under_the_tombstone(stores: Stores) -> None:
    """Scheduled retries outlive the registration, over restarts, with what delivery needs for them; when the last unit
    ended and nothing is under way, lane, tombstone and traces are gone."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        await append(store, [lane], 3)
        first, second = unit(lane, [1]), unit(lane, [2, 3], due_ms=START_MS + 9)
        await commit(store, progress(lane, 3, put_units=(first, second), traces=(trace(False, 1),)))
        await store.write([CloseLane(lane, b"target", START_MS)])
    async with stores.opened() as store:
        record = await store.lane(lane)
        assert record is not None
        assert (record.tombstone, record.next_due_ms) == (b"target", START_MS)
        assert [each.lane for each in await store.lanes([lane % 1024])] == [lane]
        await commit(store, progress(lane, 3, end_units=(first.unit_id,), finished=True))
        assert await store.due_units(lane, START_MS + 9, 10) == [second]
        await commit(store, progress(lane, 3, end_units=(second.unit_id,)))
        assert await store.lane(lane) is not None
        await commit(store, progress(lane, 3, finished=True))
        assert await store.lane(lane) is None
        assert await store.lanes([lane % 1024]) == []
        assert await store.traces(lane) == []


async def test_an_attempt_under_way_at_the_delete_may_be_retried(stores: Stores) -> None:
    """Closing a lane without units keeps its tombstone until delivery says that nothing is under way: a first attempt
    that fails afterwards still becomes a unit."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        await append(store, [lane])
        await store.write([CloseLane(lane, b"target", START_MS)])
        late = unit(lane, [1])
        await commit(store, progress(lane, 1, put_units=(late,), finished=True))
        assert await store.due_units(lane, START_MS, 10) == [late]
        await commit(store, progress(lane, 1, end_units=(late.unit_id,), finished=True))
        assert await store.lane(lane) is None


async def test_nothing_is_under_way_after_a_restart(stores: Stores) -> None:
    """A tombstone without units does not outlive the process that could still have needed it."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        await store.write([CloseLane(lane, b"target", START_MS)])
        assert await store.lane(lane) is not None
    async with stores.opened() as store:
        assert await store.lane(lane) is None


async def test_closing_without_a_tombstone_drops_the_units(stores: Stores) -> None:
    """Retries may be cancelled with the registration: nothing is left, and late results change nothing."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        await append(store, [lane], 2)
        await commit(store, progress(lane, 2, put_units=(unit(lane, [1]),)))
        await store.write([CloseLane(lane, b"", START_MS)])
        assert await store.lane(lane) is None
        await commit(
            store, progress(lane, 2, put_units=(unit(lane, [2]),), traces=(trace(True, 1),), counts=(tried(1, 0),))
        )
        assert await store.due_units(lane, START_MS, 10) == []
        assert await store.traces(lane) == []
        assert await store.counts(lane, 0) == (0, 0)


async def test_a_closed_lane_takes_no_more_operations(stores: Stores) -> None:
    """Racing with the deletion, disabling, enabling and closing again are without effect."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        await store.write([CloseLane(lane, b"target", START_MS)])
        before = await store.epoch()
        await store.write(
            [DisableLane(lane, "user", START_MS), EnableLane(lane, START_MS), CloseLane(lane, b"", START_MS)]
        )
        record = await store.lane(lane)
        assert record is not None
        assert (record.tombstone, record.disabled) == (b"target", False)
        assert await store.gaps(lane) == []
        assert await store.epoch() == before
