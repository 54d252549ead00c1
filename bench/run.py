"""Measures the event path and the control plane against the machine's own limits, and says what was met.

    python bench/run.py [publish deliver journal longpoll memory ... | postgres] [--rounds 5] [--quick] [--json]

Each figure with a baseline is measured beside it in the same run, in pairs of rounds, so that a slow or shared machine
slows both. A complete run of at least five rounds rewrites the table in bench/RESULTS.md; any other only prints it.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import signal
import sys
import tempfile
from pathlib import Path

from console import bench_console
from control_plane import bench_listing, bench_tokens
from database import bench_pgappend, bench_pgdrain, bench_pgdrop, bench_pgretries
from deliveries import bench_deliver
from drain import bench_drain
from footprint import bench_memory, bench_start
from http_paths import bench_journal, bench_publish
from longpoll import bench_longpoll
from matching import bench_filters
from neighbours import bench_idle, bench_neighbour
from postgres_nodes import bench_pgnodes, bench_pgstart
from processes import BENCH
from report import Row, progress, record, table
from sizes import bench_sizes

POSTGRES = ("pgappend", "pgnodes", "pgretries", "pgstart", "pgdrop", "pgdrain", "sizes")
"""What `postgres` stands for."""
NAMES = (
    *("publish", "deliver", "batch", "neighbour", "journal", "drain", "longpoll", "tokens", "listing"),
    *("filters", "console", "memory", "idle", "start", *POSTGRES),
)
RECORDED_ROUNDS = 5


def run(directory: Path, names: list[str], rounds: int, quick: bool) -> list[Row]:
    seconds = 1.0 if quick else 4.0
    rows: list[Row] = []
    if "publish" in names:
        rows += bench_publish(directory, rounds, seconds)
    if "deliver" in names or "batch" in names:
        rows += bench_deliver(directory, rounds, seconds, names)
    if "neighbour" in names:
        rows += bench_neighbour(directory, rounds, 2 * seconds, 10_000 if quick else 100_000)
    if "journal" in names:
        rows += bench_journal(directory, rounds, seconds)
    if "drain" in names:
        rows += bench_drain(directory, rounds, 50_000 if quick else 1_000_000)
    if "longpoll" in names:
        rows += bench_longpoll(directory, rounds, seconds)
    if "tokens" in names:
        rows += bench_tokens(directory, rounds)
    if "listing" in names:
        rows += bench_listing(directory, rounds, seconds)
    if "filters" in names:
        rows += bench_filters(rounds, seconds)
    return rows + run_stores(directory, names, rounds, quick)


def run_stores(directory: Path, names: list[str], rounds: int, quick: bool) -> list[Row]:
    """What concerns the process and its store, not the event path."""
    rows: list[Row] = []
    if "memory" in names:
        rows += bench_memory(directory, 50_000 if quick else 1_000_000)
    if "idle" in names:
        rows += bench_idle(directory, 1000 if quick else 10_000)
    if "start" in names:
        rows += bench_start(directory, rounds)
    if "console" in names:
        rows += bench_console(directory, rounds, 1000 if quick else 10_000, 20_000 if quick else 1_000_000)
    return rows + run_postgres(directory, names, rounds, quick)


def run_postgres(directory: Path, names: list[str], rounds: int, quick: bool) -> list[Row]:
    """Where a round takes long, there are fewer."""
    rows: list[Row] = []
    few = min(rounds, 3)
    if "pgappend" in names:
        rows += bench_pgappend(rounds, 1.0 if quick else 2.5)
    if "pgnodes" in names:
        rows += bench_pgnodes(directory, 2 * rounds, 1000 if quick else 6000)
    if "pgretries" in names:
        rows += bench_pgretries(few, 1.0 if quick else 5.0, 50_000 if quick else 1_000_000)
    if "pgstart" in names:
        rows += bench_pgstart(directory, 10_000 if quick else 100_000)
    if "pgdrop" in names:
        rows += bench_pgdrop(few, 51_200 if quick else 204_800)
    if "pgdrain" in names:
        rows += bench_pgdrain(directory, min(rounds, 2), 20_000 if quick else 1_000_000)
    if "sizes" in names:
        rows += bench_sizes(directory, 20_000 if quick else 100_000)
    return rows


def machine() -> str:
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cpu = "unknown CPU"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
    python = f"{platform.python_implementation()} {platform.python_version()}"
    date = datetime.datetime.now(tz=datetime.UTC).date()
    return f"{date}, {os.cpu_count()} cores of {cpu}, {memory_gib:.0f} GiB, Linux {platform.release()}, {python}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure against the machine's own limits.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(NAMES)}, postgres; default: all")
    parser.add_argument("--rounds", type=int, default=RECORDED_ROUNDS)
    parser.add_argument("--quick", action="store_true", help="short rounds, small numbers of events and lanes")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--dir", type=Path, help="where data goes (default: the temporary directory); needs 4 GB")
    args = parser.parse_args()
    names = [each for name in args.names for each in (POSTGRES if name == "postgres" else (name,))] or list(NAMES)
    unknown = set(names) - set(NAMES)
    if unknown:
        parser.error(f"no such bench: {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that started processes are ended
    with tempfile.TemporaryDirectory(prefix="eventmill-bench-", dir=args.dir) as directory:
        rows = run(Path(directory), names, args.rounds, args.quick)
    progress("")
    if args.json:
        found = [vars(row) | {"ratios": row.ratios, "passed": row.passed} for row in rows]
        print(json.dumps({"machine": machine(), "rows": found}, indent=1))
    else:
        print(f"{machine()}\n\n{table(rows)}")
    if set(names) == set(NAMES) and args.rounds >= RECORDED_ROUNDS and not args.quick:
        record(BENCH / "RESULTS.md", f"{machine()}; medians of {args.rounds} rounds (least-most).\n\n{table(rows)}")


if __name__ == "__main__":
    main()
