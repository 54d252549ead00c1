"""What an event takes: on disk, and in the database's log of changes, which standbys and archives get too.

    python bench/sizes.py DATA EVENTS FAN_OUT [DSN]

Appends 1 KB events to an empty store, each for so many of 100 lanes. Prints one JSON object: bytes for each event.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from pathlib import Path

from postgres_server import postgres
from processes import run_tool
from report import Row, progress

_LANES = 100
_APPENDED_AT_ONCE = 100
_UNDER_WAY = 16
_BODY = b"x" * 1024
_STORED = """
SELECT sum(pg_total_relation_size(oid)) FROM pg_class
WHERE relnamespace = 'eventmill'::regnamespace AND relkind = 'r'
"""


def bench_sizes(directory: Path, events: int) -> list[Row]:
    rows = []
    for fan_out in (1, 3):
        progress(f"sizes: fan-out {fan_out}")
        files = run_tool("sizes.py", directory / f"sizes-{fan_out}", events, fan_out, seconds_max=300)
        rows.append(Row(f"stored for a 1 KB event, fan-out {fan_out}, SQLite", "bytes", None))
        rows[-1].add(files["stored"])
        with postgres() as server:
            found = run_tool("sizes.py", directory / "sizes", events, fan_out, server.dsn, seconds_max=300)
        rows.append(Row(f"stored for a 1 KB event, fan-out {fan_out}, PostgreSQL", "bytes", None))
        rows[-1].add(found["stored"])
        rows.append(Row("its log of changes", "bytes", None))
        rows[-1].add(found["log"])
    return rows


async def measure(data: str, events: int, fan_out: int, dsn: str) -> dict[str, float]:
    import asyncpg

    from eventmill import telemetry
    from eventmill.clock import SystemClock
    from eventmill.config import Config
    from eventmill.ids import IdSource
    from eventmill.model import Lane, OrgId, Origin
    from eventmill.store.log import NewEvent
    from eventmill.store.open import make_store

    clock, ids, numbers = SystemClock(), IdSource(), itertools.count()
    config = Config(data=data, store=dsn, log_level="error")
    telemetry.setup_logging(config)
    store = make_store(config, clock)
    await store.open()
    origin = Origin(OrgId("1001"), "p", "com.acme.stock.low", "p", "Stock", "cloud_events_v1", "client")

    def make() -> NewEvent:
        first = next(numbers) * fan_out
        lanes = tuple(Lane(1001 + (first + at) % _LANES) for at in range(fan_out))
        return NewEvent(OrgId("1001"), ids.event_id(clock.now_ms()), origin, _BODY, lanes, 1 << 40)

    connection = await asyncpg.connect(dsn) if dsn else None
    before = 0.0
    log = await connection.fetchval("SELECT pg_current_wal_lsn()") if connection else None
    if connection is not None:
        before = float(await connection.fetchval(_STORED))
    for _ in range(0, events, _APPENDED_AT_ONCE * _UNDER_WAY):
        batches = [[make() for _ in range(_APPENDED_AT_ONCE)] for _ in range(_UNDER_WAY)]
        await asyncio.gather(*map(store.append_durable, batches))
    count = next(numbers)
    await store.close()
    if connection is None:
        return {"stored": bytes_in(Path(data)) / count}
    stored = float(await connection.fetchval(_STORED)) - before
    written = await connection.fetchval("SELECT pg_current_wal_lsn() - $1::pg_lsn", log)
    await connection.close()
    return {"stored": stored / count, "log": float(written) / count}


def bytes_in(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


if __name__ == "__main__":
    where, many, out, *rest = sys.argv[1:]
    print(json.dumps(asyncio.run(measure(where, int(many), int(out), rest[0] if rest else ""))))
