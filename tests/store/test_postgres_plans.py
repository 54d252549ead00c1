"""How PostgreSQL finds what is read most: from a position on it reads that and no more, however much lies before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from eventmill.store.postgres.connect import Hosts
from eventmill.store.postgres.queries import load_queries
from eventmill.store.postgres.reading import Reading
from tests.store.builders import DAY_MS, START_MS
from tests.store.postgres import database_of
from tests.waiting import eventually

pytestmark = pytest.mark.anyio

DAY = START_MS // DAY_MS
SHARD = 1
LANES = 200
PER_DAY = 5000
PAGES_MAX = 60
"""Of the tables and their indexes, for a hundred rows; each day holds hundreds of pages of events."""
CATALOGUE, LOG, WORK = load_queries("catalogue"), load_queries("log"), load_queries("work")


async def filled(tmp_path: Path) -> asyncpg.Connection[Any]:
    connection = await asyncpg.connect(database_of(str(tmp_path)))
    await fill(connection)
    await connection.execute("ANALYZE")
    return connection


async def fill(connection: asyncpg.Connection[Any]) -> None:
    """Two days of events, of two shards and for one lane each in turn; all lanes but one have delivered everything."""
    for day in (DAY, DAY + 1):
        seqs = f"generate_series({(day - DAY) * PER_DAY + 1}, {(day - DAY + 1) * PER_DAY}) AS seq"
        await connection.execute(f"""
            INSERT INTO eventmill.event (day, shard, seq, ts_ms, event_id, origin, lanes, body)
            SELECT {day}, {SHARD} + seq % 2, seq, 0, decode(md5(seq::text), 'hex'), 1, '', repeat('x', 1000)::bytea
            FROM {seqs};
            INSERT INTO eventmill.posting (day, lane, first_seq, last_seq)
            SELECT {day}, seq % {LANES}, seq, seq FROM {seqs}
        """)
    await connection.execute(f"""
        INSERT INTO eventmill.lane (lane, mark, opened, shard, slot, org, registration_id)
        SELECT lane, {2 * PER_DAY} - CASE lane WHEN 7 THEN {PER_DAY // 2} ELSE 0 END, 0, {SHARD}, lane, 'o', lane::text
        FROM generate_series(0, {LANES - 1}) AS lane
    """)


async def read_pages(connection: asyncpg.Connection[Any], query: str, *values: object) -> tuple[int, int]:
    """Pages and rows that the query read, with a plan made without knowing the values, as of a prepared one."""
    await connection.execute("SET plan_cache_mode = force_generic_plan")
    await connection.execute(f"PREPARE asked AS {query}")
    arguments = f"({', '.join(map(str, values))})" if values else ""
    found = await connection.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE asked{arguments}")
    await connection.execute("DEALLOCATE asked")
    plan = json.loads(found)[0]["Plan"]
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"], plan["Actual Rows"]


async def test_reading_on_costs_the_same_anywhere(tmp_path: Path) -> None:
    """The log, and the journal of a lane: a page of it reads its rows and their place in the index, at the end of a day
    as at its beginning."""
    connection = await filled(tmp_path)
    try:
        for after in (0, PER_DAY // 2, PER_DAY - 2000, 2 * PER_DAY - 50):
            day = DAY + after // PER_DAY
            pages, rows = await read_pages(connection, LOG["log"], SHARD, day, after, 100)
            assert (rows, pages <= PAGES_MAX) == (min(100, (2 * PER_DAY - after) // 2), True), (after, pages)
            for name in ("postings", "lane_postings"):
                pages, rows = await read_pages(connection, LOG[name], 7, day, after, 10)
                assert (rows <= 10, pages <= PAGES_MAX) == (True, True), (name, after, pages)
    finally:
        await connection.close()


async def test_pages_cost_the_same_anywhere(tmp_path: Path) -> None:
    """A page of a journal whose events lie far apart, at the end of a day as at its beginning: also with plans that
    were made while there was nothing, and without statistics."""
    connection = await asyncpg.connect(database_of(str(tmp_path)))
    try:
        await connection.execute("INSERT INTO eventmill.shard_day VALUES ($1, $2, 1)", SHARD, DAY)
        page = f"eventmill.journal_page_1({LANES - 2}, $1, 10, 1000000)"
        for _ in range(10):
            assert await connection.fetch(f"SELECT FROM {page}", 0) == []
        await fill(connection)
        for after in (0, PER_DAY // 2, PER_DAY - 2000, 2 * PER_DAY - 2200):
            assert await connection.fetchval(f"SELECT sum(cardinality(seqs)) FROM {page}", after) == 10
            found = await connection.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT FROM {page}", after)
            plan = json.loads(found)[0]["Plan"]
            assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] <= 2 * PAGES_MAX, after
    finally:
        await connection.close()


async def test_lanes_with_nothing_new_cost_a_look_each(tmp_path: Path) -> None:
    """Which lanes wait is found without reading what they have delivered: a look into the index of each day."""
    connection = await filled(tmp_path)
    try:
        pages, rows = await read_pages(connection, WORK["waiting_lanes"])
        assert (rows, pages <= LANES * 4 * 4) == (1, True), pages
    finally:
        await connection.close()


async def test_a_mountain_of_retries_costs_a_look(tmp_path: Path) -> None:
    """When a lane's next retry is due is told from the index, however many units wait there for their time."""
    connection = await filled(tmp_path)
    try:
        await connection.execute(f"""
            INSERT INTO eventmill.unit
                (unit_id, lane, first_seq, span, first_ms, due_ms, size, retries, cause, batch, replay, positions)
            SELECT decode(md5(seq::text), 'hex'), 7, seq, 0, seq, seq, 1, 1, 500, false, '', ARRAY[seq]
            FROM generate_series(1, {2 * PER_DAY}) AS seq
        """)
        await connection.execute("ANALYZE")
        for name in ("next_due", "lane_record"):
            pages, rows = await read_pages(connection, WORK[name], 7)
            assert (rows, pages <= PAGES_MAX) == (1, True), (name, pages)
    finally:
        await connection.close()


async def test_a_write_looks_for_its_own_organizations_only(tmp_path: Path) -> None:
    """Which shards they have: it holds the lock that all writes of the catalogue wait for."""
    connection = await asyncpg.connect(database_of(str(tmp_path)))
    try:
        orgs = "SELECT 'o' || n, n % 256, 0 FROM generate_series(1, 20000) AS n"
        await connection.execute(f"INSERT INTO eventmill.org {orgs}")
        await connection.execute("ANALYZE")
        pages, rows = await read_pages(connection, CATALOGUE["shards_of"], "'{o7,o8,missing}'::text[]")
        assert (rows, pages <= PAGES_MAX) == (2, True), pages
        assert (await read_pages(connection, CATALOGUE["shards_of"], "NULL"))[1] == 20000
    finally:
        await connection.close()


@pytest.mark.parametrize("window", [(0, 1 << 62), (PER_DAY - 50, PER_DAY)])
async def test_an_audit_trail_is_read_by_what_narrows_it(tmp_path: Path, window: tuple[int, int]) -> None:
    """By number where all times are asked for, by time where few are: a page costs its rows, in a long trail too."""
    connection = await asyncpg.connect(database_of(str(tmp_path)))
    try:
        await connection.execute(f"""
            INSERT INTO eventmill.phi_audit
                (at_ms, status, org, event_id, id, provider_id, event_code, client_id, registration_id, outcome)
            SELECT n, 200, 'o', '', '', '', '', '', '', 'received' FROM generate_series(1, {2 * PER_DAY}) AS n
        """)
        await connection.execute("ANALYZE")
        reading = Reading()
        await reading.open(Hosts(database_of(str(tmp_path))))
        page = await reading.fetch_planned(WORK["phi_audit"], "o", 10, *window, 20)
        await reading.close()
        assert len(page) == 20
        read = "SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE relname = 'phi_audit'"
        await eventually(lambda: connection.fetchval(read), "the reader's counts are written")
        assert await connection.fetchval(read) <= 10 * len(page)
    finally:
        await connection.close()
