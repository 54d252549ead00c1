"""Fills the database of a gateway that does not run with what would take too long to make through its API.

    python bench/postgres_filling.py DSN registrations COUNT
    python bench/postgres_filling.py DSN units COUNT LANES

`registrations` copies the rows that the gateway has made for its only registration. `units` makes lanes, and retries of
them that fall due within a day. Prints null.
"""

from __future__ import annotations

import asyncio
import sys

import asyncpg

_MADE = """
CREATE TEMPORARY TABLE made ON COMMIT DROP AS
SELECT 1001 + n AS lane, md5(n::text)::uuid::text COLLATE "C" AS id, n FROM generate_series(1, {count}::bigint) AS n
"""
_REGISTRATIONS = (
    """
INSERT INTO eventmill.doc (kind, org, id, version, doc, created)
SELECT kind, org, made.id, 1, convert_to(
    replace(replace(replace(replace(convert_from(doc, 'UTF8'),
        doc.id, made.id),
        '"id":1001,', '"id":' || lane || ','),
        'made0"', 'made' || n % 10 || '"'),
        '/copied"', '/copied' || n || '"'),
    'UTF8'), created + n
FROM eventmill.doc CROSS JOIN made WHERE kind = 'registration'
""",
    """
INSERT INTO eventmill.doc_key (kind, name, value, org, id)
SELECT kind, name, CASE name WHEN 'name' THEN value || convert_to(n::text, 'UTF8') ELSE value END, org, made.id
FROM eventmill.doc_key CROSS JOIN made WHERE kind = 'registration'
""",
    """
INSERT INTO eventmill.lane (lane, mark, opened, shard, slot, org, registration_id)
SELECT made.lane, mark, opened, shard, made.lane % 1024, org, made.id
FROM eventmill.lane CROSS JOIN made WHERE lane.lane = 1001
""",
    "UPDATE eventmill.gateway SET epoch = epoch + (SELECT count(*) FROM made)",
    "UPDATE eventmill.org SET epoch = gateway.epoch FROM eventmill.gateway WHERE org.org <> ''",
    "UPDATE eventmill.counter SET value = (SELECT max(lane) FROM eventmill.lane) WHERE name = 'lane'",
)
_UNITS = (
    """
INSERT INTO eventmill.lane (lane, mark, opened, shard, slot, org, registration_id)
SELECT lane, {count}, 0, 0, lane % 1024, '1001', md5(lane::text)::uuid::text
FROM generate_series(1001, 1000 + {lanes}) AS lane
""",
    """
INSERT INTO eventmill.unit
    (unit_id, lane, first_seq, span, first_ms, due_ms, size, retries, cause, batch, replay, positions)
SELECT decode(md5(n::text), 'hex'), 1001 + n % {lanes}, n, 0, now_ms, now_ms + hashint8(n) & 67108863, 1, 1, 500,
    false, '', ARRAY[n]
FROM generate_series(1, {count}::bigint) AS n, (SELECT (extract(epoch FROM now()) * 1000)::bigint AS now_ms) AS clock
""",
)


async def fill(dsn: str, statements: tuple[str, ...], numbers: dict[str, int]) -> None:
    connection = await asyncpg.connect(dsn)
    async with connection.transaction():
        for statement in statements:
            await connection.execute(statement.format(**numbers))
    await connection.execute("VACUUM (ANALYZE)")
    await connection.execute("CHECKPOINT")
    await connection.close()


if __name__ == "__main__":
    dsn, what, *counts = sys.argv[1:]
    given = dict(zip(("count", "lanes"), map(int, counts), strict=False))
    asyncio.run(fill(dsn, (_MADE, *_REGISTRATIONS) if what == "registrations" else _UNITS, given))
    print("null")
