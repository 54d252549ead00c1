"""Conformance: what is kept for looking back: traces, give-ups, attempt blocks, counters."""

from __future__ import annotations

import pytest

from eventmill.core.attempts import Attempt, pack_attempts, unpack_attempts
from eventmill.ids import uuid_text
from eventmill.model import Lane, OrgId
from eventmill.store.base import Store
from eventmill.store.observe import UnmatchedBatch, UnmatchedEvent
from tests.store.builders import (
    DAY_MS,
    ORG,
    OTHER_ORG,
    START_MS,
    Stores,
    append,
    commit,
    ended,
    open_lane,
    progress,
    trace,
    tried,
)

pytestmark = pytest.mark.anyio


async def test_traces_are_a_ring_of_each_kind(stores: Stores) -> None:
    """The newest of successes and of failures are kept, each by its own count, newest first, over restarts."""
    lane = None
    for part in range(3):
        async with stores.opened(traces_kept=5) as store:
            if lane is None:
                lane = await open_lane(store)
            for number in range(part * 10, part * 10 + 10):
                await commit(store, progress(lane, traces=(trace(number % 5 != 0, number),)))
            kept = await store.traces(lane)
            assert kept == sorted(kept, key=lambda each: -each.ts_ms)
            seen = range(part * 10 + 10)
            assert [each.ts_ms - START_MS for each in kept if each.ok] == [n for n in seen if n % 5][:-6:-1]
            assert [each.ts_ms - START_MS for each in kept if not each.ok] == [n for n in seen if not n % 5][:-6:-1]


async def test_a_flood_of_traces_keeps_the_newest(stores: Stores) -> None:
    """More traces in one commit than the ring holds leave the last ones, and do not push out the other kind."""
    async with stores.opened(traces_kept=4) as store:
        lane = await open_lane(store)
        await commit(store, progress(lane, traces=(trace(False, 0),)))
        await commit(store, progress(lane, traces=tuple(trace(True, n) for n in range(1, 50))))
        assert [each.ts_ms - START_MS for each in await store.traces(lane)] == [49, 48, 47, 46, 0]
        assert (await store.traces(lane))[0] == trace(True, 49)


async def test_a_smaller_ring_forgets_the_surplus(stores: Stores) -> None:
    """Fewer traces to keep after a restart: the ring shrinks and goes on turning."""
    async with stores.opened(traces_kept=8) as store:
        lane = await open_lane(store)
        await commit(store, progress(lane, traces=tuple(trace(True, n) for n in range(8))))
    async with stores.opened(traces_kept=3) as store:
        assert len(await store.traces(lane)) == 3
        await commit(store, progress(lane, traces=tuple(trace(True, n) for n in range(10, 13))))
        assert [each.ts_ms - START_MS for each in await store.traces(lane)] == [12, 11, 10]


async def test_challenges_leave_traces(stores: Stores) -> None:
    """Traces made outside delivery need no lease and join the same ring."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        await store.add_traces(lane, [trace(False, 1), trace(True, 2)])
        await commit(store, progress(lane, traces=(trace(True, 3),)))
        assert await store.traces(lane) == [trace(True, 3), trace(True, 2), trace(False, 1)]


async def test_ended_units_stay_in_view(stores: Stores) -> None:
    """What ended without delivery is listed newest first, with all its positions."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        await append(store, [lane], 9)
        await commit(store, progress(lane, 3, ended=(ended([1]), ended([2, 3]))))
        await commit(store, progress(lane, 9, ended=(ended([5, 9], START_MS + 1),)))
    async with stores.opened() as store:
        assert await store.ended(lane, 10) == [ended([5, 9], START_MS + 1), ended([2, 3]), ended([1])]
        assert await store.ended(lane, 2) == [ended([5, 9], START_MS + 1), ended([2, 3])]


async def test_attempt_blocks_come_newest_first(stores: Stores) -> None:
    """Blocks are kept per lane, across days and restarts."""
    async with stores.opened() as store:
        lane, other = await open_lane(store), await open_lane(store)
        for day in range(3):
            stores.clock.at_ms = START_MS + day * DAY_MS
            await append(store, [lane])
            for part in (b"a", b"b"):
                await commit(store, progress(lane, attempts=b"%d" % day + part), progress(other, attempts=b"other"))
    async with stores.opened() as store:
        blocks = await store.attempts(lane, 10)
        assert [block.attempts for block in blocks] == [b"2b", b"2a", b"1b", b"1a", b"0b", b"0a"]
        assert {block.lane for block in blocks} == {lane}
        assert [block.attempts for block in await store.attempts(lane, 3)] == [b"2b", b"2a", b"1b"]


async def test_counts_add_up_by_bucket(stores: Stores) -> None:
    """Successes and failures are summed over the buckets from the asked time on."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        for bucket in range(4):
            for _ in range(2):
                await commit(store, progress(lane, counts=(tried(10, bucket, START_MS + bucket * 300_000 + bucket),)))
        assert await store.counts(lane, 0) == (80, 12)
        assert await store.counts(lane, START_MS + 600_000) == (40, 10)
        assert await store.counts(lane, START_MS + 600_001) == (20, 6)
        assert await store.counts(lane, START_MS + 900_001) == (0, 0)


async def test_attempts_of_a_position(stores: Stores) -> None:
    """Blocks of the lane that hold it, across days and restarts, oldest first; no neighbour's, no other lane's."""
    async with stores.opened() as store:
        lane, other = await open_lane(store), await open_lane(store)
        for day in range(3):
            stores.clock.at_ms = START_MS + day * DAY_MS
            await append(store, [lane, other], 2)
            for seqs in ((1, 2 + day), (300 + day,)):
                block = pack_attempts([Attempt(seq, day, 503, 5, stores.clock.at_ms) for seq in seqs])
                await commit(store, progress(lane, attempts=block))
            await commit(store, progress(other, attempts=pack_attempts([Attempt(1, 9, 200, 5, stores.clock.at_ms)])))
    async with stores.opened() as store:
        assert await tried_at(store, lane, 1) == [0, 1, 2]
        assert await tried_at(store, lane, 3) == [1]
        assert await tried_at(store, lane, 302) == [2]
        assert await tried_at(store, lane, 5) == []
        assert await tried_at(store, other, 1) == [9, 9, 9]


async def tried_at(store: Store, lane: Lane, seq: int) -> list[int]:
    """Retry numbers of the attempts at a position."""
    blocks = await store.attempts_at(lane, seq)
    return [each.retry for block in blocks for each in unpack_attempts(block.attempts) if each.seq == seq]


async def test_old_traces_go(stores: Stores) -> None:
    """Those before the given time are deleted, of every lane; what comes after takes its place in the ring."""
    async with stores.opened(traces_kept=3) as store:
        lane, other = await open_lane(store), await open_lane(store)
        for each in (lane, other):
            await store.add_traces(each, [trace(True, 1), trace(False, 2), trace(True, 3)])
        await store.drop_observed(START_MS + 2, 0)
        assert await store.traces(lane) == await store.traces(other) == [trace(True, 3), trace(False, 2)]
    async with stores.opened(traces_kept=3) as store:
        await store.add_traces(lane, [trace(True, number) for number in (4, 5, 6)])
        assert await store.traces(lane) == [trace(True, 6), trace(True, 5), trace(True, 4), trace(False, 2)]


# --- Events that nobody was to get ---


def unheard(number: int) -> UnmatchedEvent:
    at_ms = START_MS + number * 1000
    return UnmatchedEvent(
        bytes(15) + bytes([number]), f"p{number}", at_ms, "p1", "Stock", "a.b", "key", "no_registration"
    )


async def note(store: Store, org: OrgId, *numbers: int, count: int = 0) -> None:
    await store.note_unmatched([UnmatchedBatch(org, tuple(map(unheard, numbers)), count or len(numbers))])


async def test_unmatched_events_are_a_ring_of_each_organization(stores: Stores) -> None:
    """The newest of each are kept, over restarts, one organization never at another's cost; all are counted."""
    async with stores.opened(unmatched_kept=3) as store:
        await note(store, OTHER_ORG, 0)
        await note(store, ORG, 1, 2)
        await note(store, ORG, 3, 4, 5, count=100)
    async with stores.opened(unmatched_kept=3) as store:
        assert await store.unmatched(ORG, 0, 10) == [unheard(5), unheard(4), unheard(3)]
        assert await store.unmatched(ORG, 0, 2) == [unheard(5), unheard(4)]
        assert await store.unmatched(ORG, START_MS + 5000, 10) == [unheard(5)]
        assert await store.unmatched(OTHER_ORG, 0, 10) == [unheard(0)]
        assert [await store.count_unmatched(org, 0) for org in (ORG, OTHER_ORG, OrgId("9"))] == [102, 1, 0]


async def test_unmatched_events_are_found_by_either_id(stores: Stores) -> None:
    """By ours or by their publisher's, the newest of a name, and only in their own organization."""
    async with stores.opened() as store:
        await note(store, ORG, 1, 2)
        assert await store.find_unmatched(ORG, 0, uuid_text(unheard(1).event_id)) == unheard(1)
        assert await store.find_unmatched(ORG, 0, "p2") == unheard(2)
        assert await store.find_unmatched(ORG, START_MS + 2001, "p2") is None
        assert await store.find_unmatched(ORG, 0, "p3") is None
        assert await store.find_unmatched(OTHER_ORG, 0, "p2") is None


async def test_old_and_spare_unmatched_events_go(stores: Stores) -> None:
    """What is older than asked goes, with its count; then the oldest of all organizations beyond the bound."""
    async with stores.opened(unmatched_kept_max=3) as store:
        await note(store, ORG, 1, 2, 3)
        await note(store, OTHER_ORG, 4, 5)
        await store.drop_observed(0, START_MS + 2000)
        assert await store.unmatched(ORG, 0, 10) == [unheard(3)]
        assert await store.unmatched(OTHER_ORG, 0, 10) == [unheard(5), unheard(4)]
        assert await store.count_unmatched(ORG, 0) == 3
        await store.drop_observed(0, START_MS + DAY_MS)
        assert await store.unmatched(ORG, 0, 10) == []
        assert await store.count_unmatched(ORG, 0) == 0


async def test_reset_forgets_unmatched_events(stores: Stores) -> None:
    """Nothing of them is left, nor of their count."""
    async with stores.opened() as store:
        await note(store, ORG, 1)
        await store.reset()
        assert (await store.unmatched(ORG, 0, 10), await store.count_unmatched(ORG, 0)) == ([], 0)
