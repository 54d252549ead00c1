"""Conformance: having events delivered again, and what is in view as undelivered."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from eventmill.errors import StaleVersion
from eventmill.model import Lane
from eventmill.store.base import Store
from eventmill.store.control import CloseLane, Create, DisableLane, EnableLane, HastenUnit, PutUnits
from eventmill.store.observe import ReplayTally
from eventmill.store.work import Ended, RetryUnit
from tests.store.builders import DAY_MS, ORG, START_MS, Stores, append, commit, open_lane, progress, unit

pytestmark = pytest.mark.anyio

REPLAY = bytes(range(16))


def replayed(lane: int, seqs: Sequence[int], replay: bytes = REPLAY) -> RetryUnit:
    return msgspec.structs.replace(unit(lane, seqs, retries=0), cause=0, replay=replay)


def put(lane: Lane, *groups: Sequence[int], replay: bytes = REPLAY, **fields: object) -> PutUnits:
    units = tuple(replayed(lane, seqs, replay) for seqs in groups)
    return msgspec.structs.replace(PutUnits(lane, units, START_MS), **fields)


async def gap_ranges(store: Store, lane: Lane) -> list[tuple[int, int | None, tuple[int, ...]]]:
    return [(gap.from_seq, gap.to_seq, gap.settled) for gap in await store.gaps(lane)]


async def standing(store: Store, lane: Lane) -> list[tuple[int, ...]]:
    return sorted(each.positions for each in await store.due_units(lane, 1 << 60, 1000, of_replays=True))


async def in_ended(store: Store, lane: Lane, after: int = 0, limit: int = 1000) -> list[int]:
    return [each.seq for each in await store.ended_after(lane, after, limit)]


async def gapped(store: Store, number: int = 10) -> Lane:
    """A lane with one closed gap over `number` positions, and one event after it."""
    lane = await open_lane(store)
    await store.write([DisableLane(lane, "disabled", START_MS)])
    await append(store, [lane], number)
    await store.write([EnableLane(lane, START_MS)])
    await append(store, [lane])
    return lane


def ends(*groups: Sequence[int], replay: bytes = b"") -> tuple[Ended, ...]:
    return tuple(Ended(tuple(seqs), "gave_up", 503, START_MS, replay) for seqs in groups)


async def test_ended_positions_leave_the_view_for_a_unit(stores: Stores) -> None:
    """Positions of records of ends, alone and among others, become units; the others stay, in order."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        await append(store, [lane], 8)
        await commit(store, progress(lane, 8, ended=ends([2, 4, 6], [3], [5, 7])))
        assert await in_ended(store, lane) == [2, 3, 4, 5, 6, 7]
        await store.write([put(lane, [3, 4], [7])])
    async with stores.opened() as store:
        assert await in_ended(store, lane) == [2, 5, 6]
        assert await in_ended(store, lane, after=2, limit=1) == [5]
        assert await standing(store, lane) == [(3, 4), (7,)]
        assert await store.count_ended(lane, 0, 100) == {"gave_up": 3}
        assert await store.count_ended(lane, 2, 5) == {"gave_up": 1}


async def test_counting_cuts_records_at_the_ends_of_a_range(stores: Stores) -> None:
    """Records that reach across an end of the range count by their positions, once."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        await append(store, [lane], 12)
        await commit(store, progress(lane, 12, ended=ends([1, 5, 9], [2, 12], [3], [6, 7])))
        for after in range(13):
            for upto in range(after, 13):
                within = [seq for seq in (1, 2, 3, 5, 6, 7, 9, 12) if after < seq <= upto]
                assert sum((await store.count_ended(lane, after, upto)).values()) == len(within)


@pytest.mark.parametrize(
    ("cleared", "left"),
    [
        ((1, 4), [(5, 10, ())]),
        ((4, 6), [(1, 3, ()), (7, 10, ())]),
        ((7, 10), [(1, 6, ())]),
        ((1, 10), []),
        (None, [(1, 10, (4, 5))]),
    ],
)
async def test_gaps_shrink_where_they_are_cleared(
    stores: Stores, cleared: tuple[int, int] | None, left: list[tuple[int, int, tuple[int, ...]]]
) -> None:
    """A cleared range is cut off, or out; without one the positions are noted as settled."""
    async with stores.opened() as store:
        lane = await gapped(store)
        groups = [[seq] for seq in range(cleared[0], cleared[1] + 1)] if cleared else [[4, 5]]
        await store.write([put(lane, *groups, cleared=(cleared,) if cleared else ())])
    async with stores.opened() as store:
        assert await gap_ranges(store, lane) == left
        assert await standing(store, lane) == [tuple(group) for group in groups]


async def test_an_open_gap_stays_open(stores: Stores) -> None:
    """What is replayed of a disabled lane leaves the rest of its gap, which ends where the lane is enabled."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        await store.write([DisableLane(lane, "disabled", START_MS)])
        await append(store, [lane], 4)
        with pytest.raises(StaleVersion):
            await store.write([put(lane, [2])])
        await store.write([put(lane, [2], while_disabled=True)])
        await store.write([put(lane, [1], [3], [4], cleared=((3, 4), (1, 1)), while_disabled=True)])
        assert await gap_ranges(store, lane) == [(2, 2, (2,)), (5, None, ())]
        await append(store, [lane], 2)
        await store.write([EnableLane(lane, START_MS)])
        assert (await gap_ranges(store, lane))[-1] == (5, 6, ())


@pytest.mark.parametrize("seq", [1, 2, 3, 11, 12])
async def test_positions_that_are_not_free_refuse_the_whole_write(stores: Stores, seq: int) -> None:
    """One that is delivered, has a unit (alone or in a batch), is waiting or does not exist; documents beside it are
    not written either."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        await append(store, [lane], 3)
        await commit(store, progress(lane, 3, put_units=(unit(lane, [2]), unit(lane, [1, 3]))))
        await store.write([DisableLane(lane, "disabled", START_MS)])
        await append(store, [lane], 7)
        await store.write([EnableLane(lane, START_MS)])
        await append(store, [lane], 1)
        with pytest.raises(StaleVersion):
            await store.write([Create("replay", ORG, "job", b"{}"), put(lane, *sorted([[seq], [5]]))])
        assert await store.get("replay", ORG, "job") is None
        assert await standing(store, lane) == []
        assert await gap_ranges(store, lane) == [(4, 10, ())]


async def test_delivered_positions_go_again_when_all_may(stores: Stores) -> None:
    """Not only what is in view; but never what has a unit or waits for its first attempt."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        await append(store, [lane], 4)
        await commit(store, progress(lane, 1, [3], settled=(1, 3)))
        await store.write([put(lane, [1], [3], from_view=False)])
        for seq in (1, 2, 3, 4):
            with pytest.raises(StaleVersion):
                await store.write([put(lane, [seq], from_view=False)])
        assert await standing(store, lane) == [(1,), (3,)]


async def test_deleted_lanes_replay_nothing(stores: Stores) -> None:
    """Neither closed ones nor those that are gone."""
    async with stores.opened() as store:
        lane = await gapped(store)
        await store.write([CloseLane(lane, b"tombstone", START_MS)])
        for each in (lane, Lane(9)):
            with pytest.raises(StaleVersion):
                await store.write([put(each, [1])])
            with pytest.raises(StaleVersion):
                await store.write([HastenUnit(each, b"u" * 16, START_MS)])


async def test_late_first_attempts_are_void_for_replayed_positions(stores: Stores) -> None:
    """Attempts under way when the gap opened settle after a replay took their events: no second unit, no record of an
    end; those that no replay took count."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        await append(store, [lane], 6)
        await store.write([DisableLane(lane, "disabled", START_MS)])
        await store.write([EnableLane(lane, START_MS)])
        await store.write([put(lane, [1], [2], [3], cleared=((1, 3),))])
        await store.write([put(lane, [5])])
        late = (unit(lane, [1]), unit(lane, [3, 4, 5]))
        await commit(store, progress(lane, 6, settled=(1, 2, 3, 4, 5, 6), put_units=late, ended=ends([2], [6])))
        others = await store.due_units(lane, 1 << 60, 10)
        assert [each.positions for each in others] == [(4,)]
        assert await standing(store, lane) == [(1,), (2,), (3,), (5,)]
        assert await in_ended(store, lane) == [6]


async def test_due_units_of_replays_are_apart(stores: Stores) -> None:
    """Retries and replays are read by themselves, earliest and lowest first, and a lane knows when each is due."""
    async with stores.opened() as store:
        lane = await gapped(store)
        await commit(store, progress(lane, 11, put_units=(unit(lane, [11], due_ms=START_MS + 5),)))
        await store.write([put(lane, [3], [1, 2], units=tuple(replayed(lane, [seq]) for seq in (1, 2, 3)))])
        assert [each.positions for each in await store.due_units(lane, START_MS + 5, 10)] == [(11,)]
        found = await store.due_units(lane, START_MS + 5, 2, of_replays=True)
        assert [each.positions for each in found] == [(1,), (2,)]
        assert found[0].replay == REPLAY
        record = await store.lane(lane)
        assert record is not None
        assert (record.next_due_ms, record.next_replay_ms) == (START_MS + 5, START_MS)
        assert await store.next_due(lane) == START_MS


async def test_hastened_units_are_due_earlier_and_otherwise_the_same(stores: Stores) -> None:
    """A later time changes nothing; a unit that is gone is told."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        await append(store, [lane], 1)
        late = unit(lane, [1], due_ms=START_MS + 900)
        await commit(store, progress(lane, 1, put_units=(late,)))
        await store.write([HastenUnit(lane, late.unit_id, START_MS + 5)])
        await store.write([HastenUnit(lane, late.unit_id, START_MS + 7)])
        (found,) = await store.due_units(lane, START_MS + 5, 10)
        assert found == msgspec.structs.replace(late, due_ms=START_MS + 5)
        with pytest.raises(StaleVersion):
            await store.write([HastenUnit(lane, b"x" * 16, START_MS)])


async def test_units_are_found_by_their_positions(stores: Stores) -> None:
    """Single ones and batches, by any of what they hold."""
    async with stores.opened() as store:
        lane, other = await open_lane(store), await open_lane(store)
        await append(store, [lane, other], 9)
        units = [unit(lane, [2]), unit(lane, [1, 4, 9]), unit(lane, [5, 6])]
        await commit(
            store, progress(lane, 9, put_units=tuple(units)), progress(other, 9, put_units=(unit(other, [3]),))
        )
        for wanted, found in [([3], []), ([2], [0]), ([4], [1]), ([6, 9], [1, 2]), ([1, 2, 3, 5], [0, 1, 2])]:
            by_id = {each.unit_id: each for each in await store.units_at(lane, wanted)}
            assert by_id == {units[at].unit_id: units[at] for at in found}


async def test_replays_are_tallied(stores: Stores) -> None:
    """Handed out, waiting, retrying and failed; what is taken out of view again stays failed; the rest is delivered."""
    async with stores.opened() as store:
        lane = await gapped(store)
        op = put(lane, [1], [2, 3], [4], [5])
        one, batch, four, five = op.units
        await store.write([op])
        assert await store.replay_tally(REPLAY) == ReplayTally(5, 5, 0, 0)
        retried = msgspec.structs.replace(batch, retries=1, due_ms=START_MS + 60_000)
        gave_up = ends([4], replay=REPLAY)
        await commit(
            store, progress(lane, 10, put_units=(retried,), end_units=(one.unit_id, four.unit_id), ended=gave_up)
        )
    async with stores.opened() as store:
        tally = await store.replay_tally(REPLAY)
        assert (tally, tally.delivered) == (ReplayTally(5, 1, 2, 1), 1)
        await store.write([put(lane, [4], replay=b"r" * 16)])
        assert (await store.replay_tally(REPLAY)).failed == 1
        assert await store.replay_tally(b"n" * 16) == ReplayTally()
        assert five.positions == (5,)


async def test_replays_outlive_their_events_as_expired(stores: Stores) -> None:
    """Units of replays end as expired with their events, and are tallied as failed; tallies go a day after
    the records of ends."""
    async with stores.opened() as store:
        lane = await gapped(store, 3)
        await store.write([put(lane, [2])])
        stores.clock.at_ms = START_MS + 8 * DAY_MS
        await append(store, [lane])
        await store.expire(START_MS + 1)
        assert await store.replay_tally(REPLAY) == ReplayTally(1, 0, 0, 1)
        assert await in_ended(store, lane) == [1, 2, 3, 4]
        assert {each.outcome for each in await store.ended_after(lane, 0, 10)} == {"expired"}
        assert [each.replay for each in await store.ended_after(lane, 1, 1)] == [REPLAY]
        await store.expire(START_MS + 9 * DAY_MS)
        assert await store.ended_after(lane, 0, 10) == []
        assert await store.replay_tally(REPLAY) == ReplayTally(1, 0, 0, 1)
        await store.expire(START_MS + 10 * DAY_MS)
        assert await store.replay_tally(REPLAY) == ReplayTally()


async def test_replaying_raises_no_routing_epoch(stores: Stores) -> None:
    """Delivery learns of it by a change of the registration; publishing need not match again."""
    async with stores.opened() as store:
        lane = await gapped(store)
        before = await store.epoch()
        await store.write([put(lane, [1])])
        (change,) = await store.changes(before, 10)
        assert (change.kind, change.id) == ("registration", f"r{lane}")


async def test_counting_between_positions(stores: Stores) -> None:
    """Of one lane, with both ends anywhere."""
    async with stores.opened() as store:
        lane, other = await open_lane(store), await open_lane(store)
        for number in range(15):
            await append(store, [lane] if number % 3 else [other])
        own = [number + 1 for number in range(15) if number % 3]
        for after in range(16):
            for upto in range(after, 17):
                expected = sum(after < seq <= upto for seq in own)
                assert await store.count_between(lane, after, upto) == expected


async def test_a_long_gap_is_replayed_in_short_records(stores: Stores) -> None:
    """However many windows are handed out in order, the gap stays one range without a list."""
    async with stores.opened() as store:
        lane = await gapped(store, 300)
        for first in range(1, 291, 10):
            groups = [[seq] for seq in range(first, first + 10)]
            await store.write([put(lane, *groups, cleared=((first, first + 9),))])
            await commit(
                store,
                progress(
                    lane,
                    0,
                    end_units=tuple(
                        each.unit_id for each in await store.units_at(lane, [group[0] for group in groups])
                    ),
                ),
            )
        assert await gap_ranges(store, lane) == [(291, 300, ())]
        tally = await store.replay_tally(REPLAY)
        assert (tally.handed, tally.delivered) == (290, 290)
