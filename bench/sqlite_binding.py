"""Chooses the SQLite binding of the writer thread: `sqlite3` or `apsw`, beside threads that want the interpreter lock.

    python bench/sqlite_binding.py [--groups N] [--rounds N] [--dir D]

Appends with the layout chosen by `journal_layout.py`, fan-out 10, in a thread, while the main thread does nothing, runs
an asyncio loop that never idles, or computes in Python without a pause. Reports the medians of the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import apsw
from journal_layout import GROUP_EVENTS, Connection, Event, Measures, Writer, groups, open_sqlite3, print_table, timed

SWITCH_INTERVALS_MS = (5.0, 0.5)


def open_apsw(path: Path) -> Connection:
    return apsw.Connection(str(path))


def idle(stop: threading.Event) -> int:
    stop.wait()
    return 0


def busy_loop(stop: threading.Event) -> int:
    """As much work per turn as answering a few dozen requests, then a poll of the selector."""

    async def turns() -> int:
        count, text = 0, json.dumps({"data": "x" * 500})
        while not stop.is_set():
            for _ in range(64):
                json.loads(text)
            count += 1
            await asyncio.sleep(0)
        return count

    return asyncio.run(turns())


def busy_python(stop: threading.Event) -> int:
    """Never gives the interpreter lock away by itself."""
    count = 0
    while not stop.is_set():
        count += sum(range(100)) > 0
    return count


def beside(companion: Callable[[threading.Event], int], work: Callable[[], object]) -> tuple[float, float]:
    """Runs `work` in a thread; returns its seconds and the companion's turns per second meanwhile."""
    stop, spent_s = threading.Event(), [0.0]

    def run() -> None:
        try:
            spent_s[0] = timed(work)[0]
        finally:
            stop.set()

    thread = threading.Thread(target=run)
    thread.start()
    turns = companion(stop)
    thread.join()
    return spent_s[0], turns / spent_s[0]


def append(directory: Path, connect: Callable[[Path], Connection], work: list[list[Event]],
           companion: Callable[[threading.Event], int]) -> tuple[float, float]:  # fmt: skip
    """Events/s, and the part of its own speed that the companion kept."""
    path = directory / "binding.db"
    _, free = beside(companion, lambda: time.sleep(0.3))
    writer = Writer(path, "postings", connect)
    spent_s, turns = beside(companion, lambda: deque(map(writer.write, work), maxlen=0))
    writer.conn.close()
    path.unlink()
    return len(work) * GROUP_EVENTS / spent_s, turns / free if free else 1.0


def compare(directory: Path, group_count: int, rounds: int, companion: Callable[[threading.Event], int]) -> Measures:
    source = groups(10)
    work = [next(source) for _ in range(group_count)]
    bindings = {"sqlite3": open_sqlite3, "apsw": open_apsw}
    runs = [(name, *append(directory, connect, work, companion))
            for _ in range(rounds) for name, connect in bindings.items()]  # fmt: skip
    found = {f"{name}, events/s": statistics.median(run[1] for run in runs if run[0] == name) for name in bindings}
    worst = {f"… {name}, slowest round": min(run[1] for run in runs if run[0] == name) for name in bindings}
    kept = {f"beside {name}, companion's speed": statistics.median(run[2] for run in runs if run[0] == name)
            for name in bindings}  # fmt: skip
    return found | {"apsw / sqlite3": found["apsw, events/s"] / found["sqlite3, events/s"]} | worst | kept


def main() -> None:
    parser = argparse.ArgumentParser(description="SQLite bindings for the writer thread, measured.")
    parser.add_argument("--groups", type=int, default=40, help=f"commits of {GROUP_EVENTS} events per round")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--dir", type=Path, help="where the files go (default: the temporary directory)")
    args = parser.parse_args()
    companions = {"alone": idle, "asyncio loop": busy_loop, "Python thread": busy_python}
    with tempfile.TemporaryDirectory(prefix="sqlite-binding-", dir=args.dir) as directory:
        for interval_ms in SWITCH_INTERVALS_MS:
            sys.setswitchinterval(interval_ms / 1e3)
            columns = {
                name: compare(Path(directory), args.groups, args.rounds, companion)
                for name, companion in companions.items()
            }
            print_table(f"Switch interval {interval_ms} ms", columns)


if __name__ == "__main__":
    main()
