"""PostgreSQL as the store: each part starts a server of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path

from drain import bench_drain
from postgres_server import BenchServer, postgres
from processes import run_tool
from report import Row, progress

ACTIVE_SHARDS = (1, 32, 256)
_DROPPED_LANES = 10_000
_RETRYING_LANES = 1000


def bench_pgappend(rounds: int, seconds: float) -> list[Row]:
    """Single events of as many organizations as there are active shards, acknowledged once they are durable."""
    rows = []
    with postgres() as server:
        for shards in ACTIVE_SHARDS:
            progress(f"pgappend: {shards} active shards, {rounds} rounds")
            row = Row(f"append to PostgreSQL, {shards} active shards", "ev/s", 0.6, over="bare statement")
            limit_s = 60 + 4 * seconds * (rounds + 1)
            for found in run_tool("postgres_append.py", server.dsn, shards, seconds, rounds, seconds_max=limit_s):
                row.add(found["store"], found["bare"])
            rows.append(row)
    return rows


def bench_pgretries(rounds: int, seconds: float, units: int) -> list[Row]:
    """Read and put off again, at the store protocol of one node."""
    row = Row(f"retries claimed on PostgreSQL, {units:,} delayed", "units/s", 10_000, at_most=False)
    with postgres() as server:
        progress(f"pgretries: making {units:,} retries")
        asyncio.run(_make_schema(server))
        run_tool("postgres_filling.py", server.dsn, "units", units, _RETRYING_LANES, seconds_max=300)
        for number in range(rounds):
            progress(f"pgretries: round {number + 1} of {rounds}")
            found = run_tool("postgres_store.py", server.dsn, "retries", seconds, seconds_max=60 + seconds)
            row.add(found["per_s"])
    return [row]


def bench_pgdrop(rounds: int, events: int) -> list[Row]:
    """Retention of a day while events are published; what a publish waits meanwhile beside what it waits before."""
    row = Row(f"a day of {events:,} events and {_DROPPED_LANES:,} lanes dropped on PostgreSQL", "s", 1, at_most=True)
    waits = Row("the longest wait of a publish meanwhile", "ms", None, over="in the 2 s before")
    for number in range(rounds):
        with postgres() as server:
            progress(f"pgdrop: round {number + 1} of {rounds}")
            found = run_tool("postgres_store.py", server.dsn, "drop", events, _DROPPED_LANES, seconds_max=300)
            row.add(found["drop_s"])
            waits.add(found["meanwhile_ms"], found["before_ms"])
    return [row, waits]


def bench_pgdrain(directory: Path, rounds: int, events: int) -> list[Row]:
    with postgres() as server:
        return bench_drain(directory / "pgdrain", rounds, events, server.dsn)


async def _make_schema(server: BenchServer) -> None:
    from eventmill import telemetry
    from eventmill.clock import SystemClock
    from eventmill.config import Config
    from eventmill.store.postgres.store import PostgresStore

    config = Config(store=server.dsn, log_level="error")
    telemetry.setup_logging(config)
    store = PostgresStore(config, SystemClock(), delivers=False)
    await store.open()
    await store.close()
