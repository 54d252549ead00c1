"""What the store protocol costs over the bare statement on PostgreSQL. Starts a server of its own."""

from __future__ import annotations

from pathlib import Path

from processes import run_tool
from report import Row, progress

ACTIVE_SHARDS = (1, 32, 256)


def bench_pgappend(directory: Path, rounds: int, seconds: float) -> list[Row]:
    """Single events of as many organizations as there are active shards, acknowledged once they are durable."""
    rows = []
    for shards in ACTIVE_SHARDS:
        row = Row(f"append to PostgreSQL, {shards} active shards", "ev/s", 0.6, over="bare statement")
        for number in range(rounds):
            progress(f"pgappend: {shards} shards, round {number + 1} of {rounds}")
            place = directory / f"pgappend-{shards}-{number}"
            found = run_tool("postgres_append.py", place, str(shards), str(2 * seconds), seconds_max=180)
            row.add(found["store"], found["bare"])
        rows.append(row)
    return rows
