"""Conformance: what is kept for looking back: traces, give-ups, attempt blocks, counters."""

from __future__ import annotations

import pytest

from tests.store.builders import DAY_MS, START_MS, Stores, append, commit, ended, open_lane, progress, trace, tried

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
