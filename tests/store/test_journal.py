"""Conformance: journal pages, counts and seeking, against a plain dictionary."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventmill.model import Lane
from eventmill.store.base import Store
from tests.store.builders import (
    DAY_MS,
    ORG,
    START_MS,
    Stores,
    append,
    append_batch,
    event,
    open_lane,
    positions,
)
from tests.store.conftest import ENGINES

pytestmark = pytest.mark.anyio
NO_LIMIT = 1 << 40


async def test_a_page_is_exact(stores: Stores) -> None:
    """A page holds min(limit, remaining) events strictly after the position, and tells whether more follow."""
    async with stores.opened() as store:
        lane, other = await open_lane(store), await open_lane(store)
        for _ in range(10):
            await append_batch(store, [[lane], [other], [lane, other]])
        mine = [seq for seq in range(1, 31) if seq % 3 != 2]
        for after in range(32):
            for limit in (1, 2, 5, 100):
                page = await store.journal_page(lane, after, limit, NO_LIMIT)
                rest = [seq for seq in mine if seq > after]
                assert page.seqs == rest[:limit]
                assert page.more == (len(rest) > limit)


async def test_a_page_is_cut_by_bytes(stores: Stores) -> None:
    """The page ends before its bodies exceed the bytes asked for, but never before its first event."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        for size in (50, 50, 50, 500, 10):
            await append(store, [lane], body=b"x" * size)
        for after, bytes_max, wanted in (
            (0, 149, [1, 2]),
            (0, 150, [1, 2, 3]),
            (0, 151, [1, 2, 3]),
            (0, 1, [1]),
            (3, 100, [4]),
            (2, 550, [3, 4]),
            (4, 9, [5]),
        ):
            page = await store.journal_page(lane, after, 100, bytes_max)
            assert page.seqs == wanted
            assert page.more == (wanted[-1] < 5)


async def test_large_pages_are_cut_by_bytes_too(stores: Stores) -> None:
    """The same over hundreds of scattered events, where a page takes several queries."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        for _ in range(20):
            await append_batch(store, [[lane], []] * 30)
        page = await store.journal_page(lane, 0, 1000, 6 * 555)
        assert page.seqs == list(range(1, 1110, 2))
        assert page.more


async def test_an_empty_journal_has_no_page(stores: Stores) -> None:
    """A new lane, and a lane read to its end, give nothing and no more."""
    async with stores.opened() as store:
        await append(store, [])
        lane = await open_lane(store)
        assert await store.journal_page(lane, 0, 10, NO_LIMIT) == await store.journal_page(lane, 99, 10, NO_LIMIT)
        assert not (await store.journal_page(lane, 0, 10, NO_LIMIT)).more
        assert (await store.journal_page(Lane(9999), 0, 10, NO_LIMIT)).stretches == []


async def test_a_journal_begins_at_the_head(stores: Stores) -> None:
    """A lane opened later shows nothing from before, even if its number was in the log."""
    async with stores.opened() as store:
        await open_lane(store)
        await append(store, [1002], 5)
        lane = await open_lane(store)
        assert lane == 1002
        await append(store, [lane])
        assert await positions(store, lane) == [6]
        assert await store.count_after(lane, 0, 100) == 1


async def test_counting(stores: Stores) -> None:
    """Counts are exact up to the cap, from any position, over days and restarts."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        for day in range(3):
            stores.clock.at_ms = START_MS + day * DAY_MS
            for _ in range(5):
                await append_batch(store, [[lane], [], [lane]])
    async with stores.opened() as store:
        await append_batch(store, [[lane], [], [lane]])
        mine = [seq for seq in range(1, 49) if seq % 3 != 2]
        for after in range(50):
            left = sum(seq > after for seq in mine)
            assert await store.count_after(lane, after, 1000) == left
            assert await store.count_after(lane, after, 7) == min(7, left)


async def test_seek_finds_the_first_event_of_a_time(stores: Stores) -> None:
    """Every event after the answer was appended at or after the asked time, and none of that time is left out."""
    async with stores.opened() as store:
        assert await store.seek(0, START_MS) == 0
        times = []
        for step in range(40):
            stores.clock.at_ms = START_MS + step * DAY_MS // 10
            times += [stores.clock.at_ms] * 2
            await append(store, [], 2)
        for asked in [START_MS - 1, *times, *(at + 1 for at in times)]:
            assert await store.seek(0, asked) == sum(at < asked for at in times)


async def test_pages_while_appends_run(stores: Stores) -> None:
    """A reader following the end of a journal under load sees every event once, in order."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        epoch = await store.epoch()

        async def publish() -> None:
            for i in range(100):
                await store.append_durable([event([lane] if i % 2 else [], epoch), event([lane], epoch)])

        publishing = asyncio.gather(publish(), publish(), publish())
        seen: list[int] = []
        while not publishing.done():
            page = await store.journal_page(lane, seen[-1] if seen else 0, 7, NO_LIMIT)
            seen.extend(page.seqs)
            await asyncio.sleep(0)
        seen.extend((await store.journal_page(lane, seen[-1], 1000, NO_LIMIT)).seqs)
        assert seen == await positions(store, lane)
        assert len(seen) == 450


async def check_model(stores: Stores, steps: list[tuple[str, list[tuple[int, ...]]]]) -> None:
    """Carry out the steps on a store and on a dictionary of lists; afterwards they agree from every position."""
    model: dict[int, list[int]] = {1001: [], 1002: [], 1003: []}
    seq = 0
    store: Store
    opened = stores.opened()
    store = await opened.__aenter__()
    try:
        for lane in model:
            assert await open_lane(store) == lane
        for action, batch in steps:
            match action:
                case "append" if batch:
                    await append_batch(store, batch)
                    for lanes in batch:
                        seq += 1
                        for lane in lanes:
                            model[lane].append(seq)
                case "restart":
                    await opened.__aexit__(None, None, None)
                    opened = stores.opened()
                    store = await opened.__aenter__()
                case "next day":
                    stores.clock.at_ms += DAY_MS
        for lane, wanted in model.items():
            assert await positions(store, lane, page=3) == wanted
            assert await store.lane_page(Lane(lane), 0, 1000) == wanted
            for after in range(0, seq + 1, 3):
                assert await store.count_after(Lane(lane), after, 1000) == sum(each > after for each in wanted)
    finally:
        await opened.__aexit__(None, None, None)


lanes_of_event = st.sets(st.sampled_from([1001, 1002, 1003])).map(lambda lanes: tuple(sorted(lanes)))
steps = st.lists(
    st.tuples(
        st.sampled_from(["append", "append", "append", "restart", "next day"]), st.lists(lanes_of_event, max_size=12)
    ),
    max_size=12,
)


@pytest.mark.parametrize("engine", list(ENGINES))
@settings(max_examples=12)
@given(steps=steps)
def test_journals_match_a_dictionary(engine: str, steps: list[tuple[str, list[tuple[int, ...]]]]) -> None:
    """Any mix of appends, restarts and days leaves every lane with exactly its events, in order."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(check_model(Stores(ENGINES[engine], Path(folder) / "data"), steps))


async def test_the_log_pages_through_everything(stores: Stores) -> None:
    """`read_log` gives every event with its lanes in pages of any size, with an epoch that knows all those lanes."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        for day in range(3):
            stores.clock.at_ms = START_MS + day * DAY_MS
            await append_batch(store, [[lane], [], [lane]] * 4)
        for limit in (1, 5, 12, 100):
            found: list[tuple[int, tuple[int, ...]]] = []
            while True:
                page = await store.read_log(0, found[-1][0] if found else 0, limit)
                assert page.epoch == await store.epoch()
                assert len(page.entries) <= limit
                if not page.entries:
                    break
                found += [(entry.seq, entry.lanes) for entry in page.entries]
            assert found == [(seq, () if seq % 3 == 2 else (lane,)) for seq in range(1, 37)]
        assert await store.shard(ORG) == 0
        assert (await store.heads())[0] == (await store.head(0)).seq == 36
