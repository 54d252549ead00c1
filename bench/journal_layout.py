"""Chooses the journal layout of the SQLite engine by measurement. Does not import the engine: it came first.

    python bench/journal_layout.py [--rows N] [--fanouts 1,10,100] [--layouts rows,postings] [--dir D] [--json] [--full]

`rows`      a row per registration and event: journal(lane, seq) beside event(seq, ...).
`postings`  lane numbers packed into the event row, and posting lists: what a lane collects in memory (its tail) is
            written as one chunk when it is full, in the transaction of the event that filled it, and all tails together
            every `FLUSH_EVENTS` events. Opening replays the event rows since the last flush to get the tails back.
`spread`    the same, but a small slice of the tails goes out with every 128th event, each tail once in `FLUSH_EVENTS`.

All write the same events with the same multi-row statements, groups and pragmas. The appending process ends without
closing its file, so that opening includes what recovery costs after a crash. Making up events is not timed; checkpoints
are timed, and counted into events/s, but not into a commit's latency.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import resource
import sqlite3
import statistics
import sys
import tempfile
import time
from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from itertools import accumulate, chain, cycle, islice, starmap
from pathlib import Path
from typing import Any, NamedTuple, Protocol

LANES, LANE_STRIDE = 10_000, 7_919  # the stride: neighbours in rank are far apart in the b-tree
GROUP_EVENTS, BODY_BYTES = 128, 1_024
CHUNK_SEQS, FLUSH_EVENTS, STATEMENT_ROWS_MAX, CHECKPOINT_FRAMES = 128, 65_536, 512, 16_384
PAGE_EVENTS, LOG_TAIL_EVENTS, SAMPLE_LANES = 100, 1_000, 50
SMALL_ROWS, FULL_ROWS, FULL_SECONDS_MAX = 50_000, 10_000_000, 360
PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=0", "cache_size=-32768")

Measures = dict[str, float]


class Connection(Protocol):
    def execute(self, sql: str, params: Sequence[Any] = ..., /) -> Iterable[Any]: ...
    def close(self) -> None: ...


class Event(NamedTuple):
    seq: int
    ts_ms: int
    event_id: bytes
    origin: bytes
    body: bytes
    lanes: list[int]


@cache
def insert_sql(table: str, columns: int, rows: int) -> str:
    return f"INSERT INTO {table} VALUES " + ",".join([f"({','.join('?' * columns)})"] * rows)


def insert(conn: Connection, table: str, columns: int, values: list[Any]) -> None:
    """Multi-row statements of power-of-two sizes, so that few distinct ones are prepared."""
    start, left = 0, len(values) // columns
    while left:
        rows = min(1 << (left.bit_length() - 1), STATEMENT_ROWS_MAX)
        conn.execute(insert_sql(table, columns, rows), values[start : start + rows * columns])
        start, left = start + rows * columns, left - rows


class Rows:
    schema = (
        "CREATE TABLE event(seq INTEGER PRIMARY KEY, ts_ms INTEGER, event_id BLOB, origin BLOB, body BLOB)",
        "CREATE INDEX event_by_id ON event(event_id)",
        "CREATE TABLE journal(lane INTEGER, seq INTEGER, PRIMARY KEY(lane, seq)) WITHOUT ROWID",
    )

    def __init__(self, conn: Connection) -> None:
        self.conn = conn

    def append(self, group: list[Event]) -> None:
        """In lane order, which spares the b-tree some descents."""
        insert(self.conn, "event", 5, list(chain.from_iterable(event[:5] for event in group)))
        pairs = sorted((lane, event.seq) for event in group for lane in event.lanes)
        insert(self.conn, "journal", 2, list(chain.from_iterable(pairs)))

    def rebuild(self) -> int:
        return 0

    def page(self, lane: int, after: int) -> list[Any]:
        sql = """SELECT e.seq, e.ts_ms, e.event_id, e.origin, e.body FROM journal j JOIN event e ON e.seq = j.seq
                 WHERE j.lane = ? AND j.seq > ? ORDER BY j.seq LIMIT ?"""
        return list(self.conn.execute(sql, (lane, after, PAGE_EVENTS)))

    def log_tail(self, after: int) -> dict[int, list[int]]:
        """Lanes of each event above `after`: this layout can only ask every lane."""
        lanes: dict[int, list[int]] = {}
        for lane in range(LANES):
            for (seq,) in self.conn.execute("SELECT seq FROM journal WHERE lane = ? AND seq > ?", (lane, after)):
                lanes.setdefault(seq, []).append(lane)
        return lanes

    def last_of(self, lane: int) -> int | None:
        return first_value(self.conn, "SELECT max(seq) FROM journal WHERE lane = ?", lane)


class Postings:
    """Seqs are 32-bit within a segment file, so a chunk is a plain array of them."""

    flush_parts = 1

    schema = (
        "CREATE TABLE event(seq INTEGER PRIMARY KEY, ts_ms INTEGER, event_id BLOB, origin BLOB, lanes BLOB, body BLOB)",
        "CREATE INDEX event_by_id ON event(event_id)",
        "CREATE TABLE posting(lane INTEGER, last_seq INTEGER, seqs BLOB, PRIMARY KEY(lane, last_seq)) WITHOUT ROWID",
    )

    def __init__(self, conn: Connection) -> None:
        self.conn, self.flush_step = conn, FLUSH_EVENTS // self.flush_parts
        self.tails = [array("I") for _ in range(LANES)]

    def append(self, group: list[Event]) -> None:
        rows, chunks = list[Any](), list[tuple[int, int, bytes]]()
        for seq, ts_ms, event_id, origin, body, lanes in group:
            rows += (seq, ts_ms, event_id, origin, array("I", lanes).tobytes(), body)
            for lane in self.collect(seq, lanes):
                chunks.append((lane, self.tails[lane][-1], self.tails[lane].tobytes()))
                self.tails[lane] = array("I")
        insert(self.conn, "event", 6, rows)
        insert(self.conn, "posting", 3, list(chain.from_iterable(sorted(chunks))))

    def collect(self, seq: int, lanes: Iterable[int]) -> list[int]:
        """Puts an event into the tails; returns the lanes whose tail must go out, by a rule on seqs alone."""
        full = []
        for lane in lanes:
            self.tails[lane].append(seq)
            if len(self.tails[lane]) == CHUNK_SEQS:
                full.append(lane)
        if seq % self.flush_step:
            return full
        part, parts = seq // self.flush_step % self.flush_parts, self.flush_parts
        flushed = range(part * LANES // parts, (part + 1) * LANES // parts)
        return [lane for lane in full if lane not in flushed] + [lane for lane in flushed if self.tails[lane]]

    def rebuild(self) -> int:
        """Replays from where the last whole round of flushes began: what was in a tail before went out since."""
        last = first_value(self.conn, "SELECT max(seq) FROM event WHERE seq > ?", 0) or 0
        start = max(0, last - last % self.flush_step - FLUSH_EVENTS + self.flush_step)
        for seq, lanes in self.conn.execute("SELECT seq, lanes FROM event WHERE seq > ? ORDER BY seq", (start,)):
            for lane in self.collect(seq, array("I", lanes)):
                self.tails[lane] = array("I")
        return last - start

    def page(self, lane: int, after: int) -> list[Any]:
        seqs = self.seqs(lane, after)
        sql = "SELECT seq, ts_ms, event_id, origin, body FROM event WHERE seq IN (%s) ORDER BY seq"
        return list(self.conn.execute(sql % ",".join("?" * len(seqs)), seqs.tolist()))

    def seqs(self, lane: int, after: int) -> array[int]:
        found = array("I")
        sql = "SELECT seqs FROM posting WHERE lane = ? AND last_seq > ? ORDER BY last_seq"
        for (chunk,) in self.conn.execute(sql, (lane, after)):
            part = array("I", chunk)
            found += part if found else part[bisect_right(part, after) :]
            if len(found) >= PAGE_EVENTS:
                return found[:PAGE_EVENTS]
        tail = self.tails[lane]
        return (found + tail[bisect_right(tail, after) :])[:PAGE_EVENTS]

    def log_tail(self, after: int) -> dict[int, list[int]]:
        rows = self.conn.execute("SELECT seq, lanes FROM event WHERE seq > ? ORDER BY seq", (after,))
        return {seq: array("I", packed).tolist() for seq, packed in rows}

    def last_of(self, lane: int) -> int | None:
        if self.tails[lane]:
            return self.tails[lane][-1]
        return first_value(self.conn, "SELECT max(last_seq) FROM posting WHERE lane = ?", lane)


class Spread(Postings):
    flush_parts = FLUSH_EVENTS // 128


Layout = Rows | Postings
LAYOUTS: dict[str, type[Rows] | type[Postings]] = {"rows": Rows, "postings": Postings, "spread": Spread}


def first_value(conn: Connection, sql: str, value: int) -> int | None:
    return next((row[0] for row in conn.execute(sql, (value,))), None)


def groups(fanout: int) -> Iterator[list[Event]]:
    """Half of the registrations of an event by a skewed draw (Zipf, exponent 0.9), the rest in turn."""
    draw = random.Random(20261122)
    bodies = [b'{"data":"' + draw.randbytes(BODY_BYTES // 2 - 5).hex().encode() + b'"' for _ in range(2_048)]
    weights = list(accumulate(1 / (rank + 1) ** 0.9 for rank in range(LANES)))
    ranks, seq, turn = range(LANES), 0, 0
    while True:
        group = []
        skewed = draw.choices(ranks, cum_weights=weights, k=GROUP_EVENTS * max(1, fanout // 2))
        noise = draw.randbytes(10 * GROUP_EVENTS)
        for index in range(GROUP_EVENTS):
            seq += 1
            size = fanout // 2 if fanout > 1 else seq % 2
            chosen = set(skewed[index * size : (index + 1) * size])
            while len(chosen) < fanout:
                turn = (turn + 1) % LANES
                chosen.add(turn)
            ts_ms, lanes = 1_795_000_000_000 + seq // 20, sorted(rank * LANE_STRIDE % LANES for rank in chosen)
            event_id = ts_ms.to_bytes(6, "big") + noise[index * 10 : index * 10 + 10]
            group.append(Event(seq, ts_ms, event_id, b"\x01", bodies[seq * 31 % len(bodies)], lanes))
        yield group


def open_sqlite3(path: Path) -> Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False)


class Writer:
    """A new file being appended to, group by group, with checkpoints between commits."""

    def __init__(self, path: Path, layout: str, connect: Callable[[Path], Connection] = open_sqlite3) -> None:
        self.conn = connect(path)
        for statement in (*(f"PRAGMA {pragma}" for pragma in PRAGMAS), *LAYOUTS[layout].schema):
            list(self.conn.execute(statement))
        self.layout = LAYOUTS[layout](self.conn)
        self.wal_index = os.open(f"{path}-shm", os.O_RDONLY)
        self.commit_s, self.group_s = list[float](), list[float]()
        self.frames_copied = 0

    def write(self, group: list[Event]) -> None:
        start = time.perf_counter()
        self.conn.execute("BEGIN IMMEDIATE")
        self.layout.append(group)
        self.conn.execute("COMMIT")
        self.commit_s.append(time.perf_counter() - start)
        if self.frames() > CHECKPOINT_FRAMES:
            self.frames_copied += self.frames()
            list(self.conn.execute("PRAGMA wal_checkpoint(RESTART)"))
        self.group_s.append(time.perf_counter() - start)

    def frames(self) -> int:
        """In the log now: mxFrame of the WAL-index header (SQLite, "WAL-mode File Format")."""
        return int.from_bytes(os.pread(self.wal_index, 4, 16), sys.byteorder)


def append_all(writer: Writer, source: Iterator[list[Event]], count: int, seconds_max: float, label: str) -> Measures:
    spent_s, shown_s = 0.0, 0.0
    while len(writer.group_s) < count and spent_s <= seconds_max:
        writer.write(next(source))
        spent_s += writer.group_s[-1]
        if spent_s > shown_s + 0.5:
            shown_s = spent_s
            progress(f"{label}: {len(writer.group_s) * GROUP_EVENTS:,} events in {spent_s:.0f} s")
    groups_s, commits_s = writer.group_s, sorted(writer.commit_s)
    events, tenth = len(groups_s) * GROUP_EVENTS, max(1, len(groups_s) // 10)
    return {
        "events appended": events,
        "append, events/s": events / spent_s,
        "… first tenth": tenth * GROUP_EVENTS / sum(groups_s[:tenth]),
        "… last tenth": tenth * GROUP_EVENTS / sum(groups_s[-tenth:]),
        "commit, median, ms": statistics.median(commits_s) * 1e3,
        "commit, 99th percentile, ms": commits_s[len(commits_s) * 99 // 100] * 1e3,
        "commit, 99.9th percentile, ms": commits_s[len(commits_s) * 999 // 1000] * 1e3,
        "commit, slowest, ms": commits_s[-1] * 1e3,
        "checkpoints, share of time": 1 - sum(commits_s) / spent_s,
        "write-ahead log, bytes/event": (writer.frames_copied + writer.frames()) * 4_120 / events,
        "writer's peak RSS, MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    }


def in_crashing_process(work: Callable[[], Measures]) -> Measures:
    """Runs `work` in a fork that ends without closing anything."""
    source, sink = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.write(sink, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(sink)
    with open(source, "rb") as stream:
        found = json.load(stream)
    os.waitpid(child, 0)
    return {**found}


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start, result = time.perf_counter(), work()
    return time.perf_counter() - start, result


def open_file(path: Path, name: str) -> tuple[Layout, Measures]:
    layout = LAYOUTS[name](open_sqlite3(path))
    recover_s, last = timed(lambda: first_value(layout.conn, "SELECT max(seq) FROM event WHERE seq > ?", 0))
    rebuild_s, replayed = timed(layout.rebuild)
    list(layout.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)"))
    return layout, {
        "open, SQLite's recovery, ms": recover_s * 1e3,
        "open, tails rebuilt, ms": rebuild_s * 1e3,
        "… events replayed": replayed,
        "disk, bytes/event": path.stat().st_size / last,
    }


def catch_up(layout: Layout, lane: int) -> list[int]:
    """Seqs of the whole journal, by pages."""
    seqs = [0]
    while page := layout.page(lane, seqs[-1]):
        seqs += [row[0] for row in page]
    return seqs


def read_pages(layout: Layout, pages: int) -> Measures:
    found: Measures = {}
    for kind, ranks in (("dense", range(SAMPLE_LANES)), ("sparse", range(LANES - SAMPLE_LANES, LANES))):
        lanes = [rank * LANE_STRIDE % LANES for rank in ranks]
        spent_s, journals = timed(partial(list, map(partial(catch_up, layout), lanes)))
        events = sum(len(seqs) - 1 for seqs in journals)
        found |= {f"{kind}: whole journals, events/s": events / spent_s, f"{kind}: … events read": events}
        at_end = [seqs[-PAGE_EVENTS - 1 :][0] for seqs in journals]
        behind = [seqs[len(seqs) // 10] for seqs in journals]
        for where, starts in (("at the end", at_end), ("far behind", behind)):
            turns = islice(cycle(zip(lanes, starts, strict=True)), pages)
            spent_s, _ = timed(partial(deque, starmap(layout.page, turns), maxlen=0))
            found[f"{kind}: page of {PAGE_EVENTS} {where}, pages/s"] = pages / spent_s
    return found


def measure(directory: Path, name: str, fanout: int, events: int, seconds_max: float) -> Measures:
    path, label = directory / f"{name}-{fanout}.db", f"{name}, fan-out {fanout}"
    source, count = groups(fanout), math.ceil(events / GROUP_EVENTS)
    found = in_crashing_process(lambda: append_all(Writer(path, name), source, count, seconds_max, label))
    progress(f"{label}: reading")
    layout, measures = open_file(path, name)
    found |= measures | read_pages(layout, pages=200 if events < FULL_ROWS // 100 else 4_000)
    tail_s, _ = timed(lambda: layout.log_tail(int(found["events appended"]) - LOG_TAIL_EVENTS))
    floors_s, _ = timed(lambda: [layout.last_of(lane) for lane in range(LANES)])
    layout.conn.close()
    return found | {
        f"log: last {LOG_TAIL_EVENTS:,} events with their lanes, ms": tail_s * 1e3,
        "drop a segment: last seq of every lane, ms": floors_s * 1e3,
        "drop a segment: unlink, ms": timed(path.unlink)[0] * 1e3,
    }


def progress(text: str) -> None:
    print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def print_table(title: str, columns: dict[str, Measures]) -> None:
    """Markdown, a row per measure; with two columns also second / first."""
    names = [*columns, *(["ratio"] if len(columns) == 2 else [])]
    print(f"\n{title}\n\n| | {' | '.join(names)} |\n|---|{'---:|' * len(names)}")
    for row in next(iter(columns.values())):
        values = [column[row] for column in columns.values()]
        cells = [f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}" for value in values]
        if len(values) == 2:
            cells.append(f"{values[1] / values[0]:.2f}" if min(values) > 0 else "")
        print(f"| {row} | {' | '.join(cells)} |")


def run(directory: Path, args: argparse.Namespace) -> dict[str, dict[str, Measures]]:
    rows = args.rows or (FULL_ROWS if args.full else SMALL_ROWS)
    names, seconds_max = args.layouts.split(","), FULL_SECONDS_MAX if args.full else math.inf
    found = {
        f"Fan-out {fanout}": {name: measure(directory, name, fanout, rows // fanout, seconds_max) for name in names}
        for fanout in map(int, args.fanouts.split(","))
    }
    if args.full:
        best = max(names, key=lambda name: math.prod(columns[name]["append, events/s"] for columns in found.values()))
        found[f"Once more, fan-out 1, all {rows:,} events"] = {best: measure(directory, best, 1, rows, math.inf)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Journal layouts of the SQLite engine, measured.")
    parser.add_argument("--rows", type=int, help=f"journal rows per layout and fan-out (default {SMALL_ROWS:,})")
    parser.add_argument("--fanouts", default="1,10,100")
    parser.add_argument("--layouts", default="rows,postings")
    parser.add_argument("--dir", type=Path, help="where the files go (default: the temporary directory)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--full", action="store_true", help="the recorded run: 10 M rows each, half an hour, 15 GB")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="journal-layout-", dir=args.dir) as directory:
        found = run(Path(directory), args)
    progress("")
    if args.json:
        print(json.dumps(found, indent=1))
        return
    for title, columns in found.items():
        print_table(title, columns)


if __name__ == "__main__":
    main()
