"""Retention on PostgreSQL: lanes pass a day first, and its tables go later, when nothing else uses them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from eventmill.errors import StoreUnavailable
from eventmill.model import Lane
from eventmill.store.base import Store
from eventmill.store.work import Ended
from tests.store.builders import DAY_MS, START_MS, Stores, append, commit, journal, open_lane, progress, unit
from tests.store.conftest import ENGINES
from tests.store.postgres import database_of

pytestmark = pytest.mark.anyio

DAY = START_MS // DAY_MS


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return Stores(ENGINES["postgres"], tmp_path / "data")


@asynccontextmanager
async def connected(stores: Stores) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(database_of(str(stores.data)))
    try:
        yield connection
    finally:
        await connection.close()


async def check_passed(store: Store, lane: Lane, now_ms: int) -> None:
    """The first day is over for the lane: what was not delivered of it is on record, once."""
    assert await store.floor(lane) == 5
    assert [stored.seq for stored in await journal(store, lane)] == [6]
    assert (await store.journal_page(lane, 2, 10, 1 << 20)).floor == 5
    assert await store.lane_page(lane, 0, 10) == [6]
    assert (await store.count_after(lane, 0, 100), await store.count_between(lane, 0, 6)) == (1, 1)
    found = await store.ended(lane, 10)
    assert sorted(found, key=lambda each: each.positions) == [
        Ended((1,), "expired", 503, now_ms),
        Ended((3, 5), "expired", 0, now_ms),
    ]


async def test_a_reader_of_the_tables_puts_the_drop_off(stores: Stores) -> None:
    """Something reads the events for long, a dump for one. The day is not dropped and publishing goes on; but all is
    on record, and readers of the journal find it as if the day were gone. The next pass drops it, and nothing is
    recorded twice."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        await append(store, [lane], 5)
        await commit(store, progress(lane, 2, [4], put_units=(unit(lane, [1]),)))
        stores.clock.at_ms = now_ms = START_MS + DAY_MS
        await append(store, [lane])
        async with connected(stores) as dump:
            async with dump.transaction():
                await dump.execute("SELECT FROM eventmill.event")
                with pytest.raises(StoreUnavailable):
                    await store.expire(START_MS + 1)
                await check_passed(store, lane, now_ms)
                assert await append(store, []) == [7]
            assert await dump.fetchval("SELECT count(*) FROM eventmill.event WHERE day = $1", DAY) == 5
        assert await store.expire(START_MS + 1) == 1
        await check_passed(store, lane, now_ms)
        assert (await store.totals()).expired == 3
        async with connected(stores) as connection:
            assert await connection.fetchval("SELECT to_regclass('eventmill.event_' || $1::integer)", DAY) is None
            assert await connection.fetchval("SELECT dropped FROM eventmill.shard WHERE head > 0") == 5


async def test_a_pass_that_was_cut_off_is_gone_on_with(stores: Stores) -> None:
    """A process that dies after the day was dropped leaves units without events, and shards that do not know: the next
    pass ends the ones and tells the others."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        await append(store, [lane], 2)
        await commit(store, progress(lane, 2, put_units=(unit(lane, [1]),)))
        stores.clock.at_ms = START_MS + DAY_MS
        await append(store, [lane])
        async with connected(stores) as connection:
            shard = await connection.fetchval("SELECT id FROM eventmill.shard WHERE head > 0")
            assert await connection.fetchval("SELECT eventmill.retire_day_1($1, $2, $3)", DAY, [shard], [2])
    async with stores.opened() as store:
        assert await store.expire(START_MS + 1) == 0
        assert [each.positions for each in await store.ended(lane, 10)] == [(1,)]
        assert await store.due_units(lane, START_MS + DAY_MS, 10) == []


async def test_a_day_that_goes_on_stays(stores: Stores) -> None:
    """What was appended to a day since its lanes passed it is not dropped unseen."""
    async with stores.opened() as store:
        lane = await open_lane(store)
        await append(store, [lane], 3)
        async with connected(stores) as connection:
            shard = await connection.fetchval("SELECT id FROM eventmill.shard WHERE head > 0")
            for shards, lasts in (([shard], [2]), ([], [])):
                assert not await connection.fetchval("SELECT eventmill.retire_day_1($1, $2, $3)", DAY, shards, lasts)
        assert [stored.seq for stored in await journal(store, lane)] == [1, 2, 3]
