"""Pages of journals on PostgreSQL, whatever holes their positions have and however many days they reach over."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from eventmill.model import Lane
from eventmill.store.base import Store
from eventmill.store.postgres.packing import pack_rest
from tests.store.builders import DAY_MS, START_MS, Stores, append, open_lane
from tests.store.conftest import ENGINES
from tests.store.postgres import database_of

pytestmark = pytest.mark.anyio

DAY = START_MS // DAY_MS
POSTINGS = (
    (DAY, [2]),
    (DAY, [3, 4, 5, 6]),
    (DAY, [10, 12, 265]),
    (DAY, [300, 555, 556]),
    (DAY, [600, 856, 66_135]),
    (DAY + 1, [70_000, 70_255, 135_535]),
    (DAY + 1, [200_000, 265_536, 20_000_000]),
    (DAY + 2, [20_000_001, 20_000_002]),
)
"""Positions as distances of one, two and four bytes, up to what each can tell."""
SEQS = [seq for _, seqs in POSTINGS for seq in seqs]


async def fill(connection: asyncpg.Connection[Any], shard: int, lane: int) -> None:
    """Events at these positions only."""
    origin = await connection.fetchval("SELECT id FROM eventmill.origin")
    for day in (DAY, DAY + 1, DAY + 2):
        await connection.execute("SELECT eventmill.make_day_1($1)", day)
    for day, seqs in POSTINGS:
        await connection.execute(
            "INSERT INTO eventmill.event (day, shard, seq, ts_ms, event_id, origin, lanes, body)"
            " SELECT $1, $2, seq, 0, '', $3, '', convert_to(seq::text, 'UTF8') FROM unnest($4::bigint[]) AS seq",
            *(day, shard, origin, seqs),
        )
        await connection.execute(
            "INSERT INTO eventmill.posting (day, lane, first_seq, last_seq, rest) VALUES ($1, $2, $3, $4, $5)",
            *(day, lane, seqs[0], seqs[-1], pack_rest(seqs)),
        )
    for day in (DAY + 1, DAY + 2):
        first_seq = min(seqs[0] for at_day, seqs in POSTINGS if at_day == day)
        await connection.execute("INSERT INTO eventmill.shard_day VALUES ($1, $2, $3)", shard, day, first_seq)


async def check_pages(store: Store, lane: Lane) -> None:
    for after in (1, 2, 4, 11, 12, 264, 300, 555, 599, 856, 69_999, 70_255, 199_999, 265_536, 20_000_001, 20_000_002):
        rest = [seq for seq in SEQS if seq > after]
        for limit in (1, 2, 3, 5, 100):
            page = await store.journal_page(lane, after, limit, 1 << 30)
            assert (page.seqs, page.more) == (rest[:limit], len(rest) > limit), (after, limit)
            for stretch in page.stretches:
                assert stretch.bodies == tuple(b"%d" % seq for seq in stretch.seqs)


async def test_pages_over_holes_and_days(tmp_path: Path) -> None:
    """Each page holds exactly the next events, under the day of each, and is cut by bytes across days too."""
    stores = Stores(ENGINES["postgres"], tmp_path / "data")
    async with stores.opened() as store:
        lane = await open_lane(store)
        await append(store, [])
        connection = await asyncpg.connect(database_of(str(stores.data)))
        shard = await connection.fetchval("SELECT id FROM eventmill.shard WHERE head > 0")
        await connection.execute("UPDATE eventmill.lane SET opened = 1")
        await fill(connection, shard, lane)
        await connection.close()
        await check_pages(store, lane)
        page = await store.journal_page(lane, 600, 100, 1 << 30)
        assert [stretch.day for stretch in page.stretches] == [20260101, 20260102, 20260103]
        for bytes_max in range(1, 70):
            page = await store.journal_page(lane, 1, 100, bytes_max)
            sizes = list(accumulate(len(str(seq)) for seq in SEQS))
            assert page.seqs == SEQS[: max(1, bisect_right(sizes, bytes_max))], bytes_max
