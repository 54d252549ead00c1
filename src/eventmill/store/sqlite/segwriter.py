"""Writes the current segment: events, posting chunks, attempt blocks; rolls it when the business day changes.

Owned by the writer thread, except `segments`, `head_seq`, `tails` and `stored_bytes`, which others read. They move only
after the commit that made them true, `head_seq` last.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import structlog

from eventmill import telemetry
from eventmill.model import OrgId, Origin
from eventmill.store.log import NewEvent
from eventmill.store.sqlite.connect import open_reader, open_writer, transaction
from eventmill.store.sqlite.layout import Layout, day_of
from eventmill.store.sqlite.packing import pack_ascending, pack_lanes, unpack_lanes
from eventmill.store.sqlite.queries import ManyRows, load_queries
from eventmill.store.sqlite.segments import (
    SegmentFile,
    check_format,
    create_segment,
    list_segments,
    org_bytes_of,
    remove_segment,
)
from eventmill.store.sqlite.tails import TailIndex

_log = structlog.get_logger()
_SQL = load_queries("log")
_INSERT_EVENTS = ManyRows(_SQL["insert_events"], 6)
_INSERT_POSTINGS = ManyRows(_SQL["insert_postings"], 3)
_INSERT_ORIGINS = ManyRows(_SQL["insert_origins"], 3)
_INSERT_ATTEMPTS = ManyRows(_SQL["insert_attempts"], 2)
_PUT_ORG_BYTES = ManyRows(_SQL["put_org_bytes"], 2)
_encode = msgspec.json.encode


class SegmentWriter:
    def __init__(self, directory: Path, layout: Layout) -> None:
        self._directory = directory
        self._layout = layout
        self._connection: sqlite3.Connection | None = None
        self._origins: dict[tuple[OrgId, Origin], int] = {}
        self._org_bytes: dict[OrgId, int] = defaultdict(int)
        """Of the current segment."""
        self._unsaved = 0
        self.tails = TailIndex()
        self.last_seqs: dict[int, int] = {}
        """Last position of each lane that got one since the open, or that had a tail then."""
        self.segments: tuple[SegmentFile, ...] = ()
        self.segments_version = 0
        """Raised whenever `segments` changes."""
        self.head_seq = 0
        self.last_ts_ms = 0
        self.stored_bytes: dict[OrgId, int] = defaultdict(int)
        """Of all segments."""
        self.written_bytes = 0
        """Bodies and attempts written since the store opened, to pace checkpoints."""

    def open(self, next_seq: int, last_ts_ms: int) -> None:
        """Continue the newest segment. The given numbers are what the state file knows; segments may know more."""
        self.head_seq, self.last_ts_ms = next_seq - 1, last_ts_ms
        self.segments = list_segments(self._directory)
        for segment in self.segments[:-1]:
            with closing(open_writer(segment.path)) as connection:
                self._take_over(connection, segment)
        if self.segments:
            self._connection = open_writer(self.segments[-1].path)
            self._take_over(self._connection, self.segments[-1])
            self._rebuild(self._connection)

    def write(self, events: Sequence[NewEvent], now_ms: int, attempts: Sequence[tuple[object, ...]] = ()) -> int:
        """All of it in one durable commit; returns the first position given to the events."""
        ts_ms = max(self.last_ts_ms, now_ms)
        connection = self._current(day_of(ts_ms)) if events or self._connection is None else self._connection
        batch = _Batch(self.head_seq, ts_ms, self._origins)
        for event in events:
            batch.add(event)
        full = [lane for lane, seqs in batch.positions.items() if self._is_full(lane, seqs)]
        with transaction(connection):
            _INSERT_ORIGINS.run(connection, batch.origin_rows())
            _INSERT_EVENTS.run(connection, batch.rows)
            _INSERT_POSTINGS.run(connection, [self._chunk(lane, batch.positions[lane]) for lane in full])
            _INSERT_ATTEMPTS.run(connection, attempts)
        first_seq = self.head_seq + 1
        if events:
            self._publish(batch, full)
        self.written_bytes += sum(batch.org_bytes.values()) + 128 * len(events) + 256 * len(attempts)
        return first_seq

    def save_snapshot(self) -> None:
        """Save tails and bytes per organisation, so that nothing before is scanned at the next open."""
        if self._connection is None:
            return
        with transaction(self._connection):
            self._put_snapshot(self._connection, self.tails.pack())
        self._unsaved = 0

    def _put_snapshot(self, connection: sqlite3.Connection, tails: bytes) -> None:
        _PUT_ORG_BYTES.run(connection, list(self._org_bytes.items()))
        connection.execute(_SQL["set_snapshot"], (self.head_seq, tails))

    def _finish(self, connection: sqlite3.Connection) -> None:
        """The segment gets no more events: all its positions go into chunks."""
        tails = self.tails.items()
        with transaction(connection):
            _INSERT_POSTINGS.run(connection, [(lane, tail[-1], pack_ascending(tail)) for lane, tail in tails])
            self._put_snapshot(connection, b"")
        self.tails.clear()
        self._unsaved = 0

    def roll(self, day: int) -> None:
        """Finish the current segment and begin the next one; an empty one of that day goes on."""
        current = self.segments[-1] if self.segments else None
        if current is not None and current.day == day and current.first_seq == self.head_seq + 1:
            return
        if self._connection is not None:
            self._finish(self._connection)
        self.abandon()
        segment = create_segment(self._directory, day, self.head_seq + 1)
        self.segments = (*self.segments, segment)
        self.segments_version += 1
        _log.info(telemetry.SEGMENT_OPENED, segment=segment.path.name)
        self._connection = open_writer(segment.path)
        self._origins = {}
        self._org_bytes = defaultdict(int)

    def drop(self, dropped: Sequence[SegmentFile]) -> None:
        """Remove files that nothing refers to any more; never the current one."""
        self.segments = tuple(segment for segment in self.segments if segment not in dropped)
        for segment in dropped:
            with closing(open_reader(segment.path)) as connection:
                for org, count in org_bytes_of(connection).items():
                    self.stored_bytes[org] -= count
            remove_segment(segment)
            _log.info(telemetry.SEGMENT_DROPPED, segment=segment.path.name)
        self.segments_version += 1  # last: a child that looks earlier would still see the files, and not look again

    def restart_wal(self) -> None:
        """Let the next commit begin at the start of the log. The checkpointer has copied most of it already."""
        if self._connection is not None:
            self._connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()

    def close(self) -> None:
        if self._connection is not None:
            self.save_snapshot()
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self.abandon()

    def abandon(self) -> None:
        """Close without writing: the next open rebuilds from what is committed."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _current(self, day: int) -> sqlite3.Connection:
        """The connection for a commit of that day."""
        if self._connection is None or self.segments[-1].day != day:
            self.roll(day)
        elif self._unsaved >= self._layout.snapshot_events:
            self.save_snapshot()
        assert self._connection is not None
        return self._connection

    def _is_full(self, lane: int, seqs: Sequence[int]) -> bool:
        return self.tails.size(lane) + len(seqs) >= self._layout.chunk_positions

    def _chunk(self, lane: int, seqs: Sequence[int]) -> tuple[object, ...]:
        return lane, seqs[-1], pack_ascending([*self.tails.after(lane, 0), *seqs])

    def _publish(self, batch: _Batch, full: Sequence[int]) -> None:
        for lane, seqs in batch.positions.items():
            self.last_seqs[lane] = seqs[-1]
        for lane in full:
            self.tails.drop(lane)
            del batch.positions[lane]
        for lane, seqs in batch.positions.items():
            self.tails.extend(lane, seqs)
        for org, count in batch.org_bytes.items():
            self._org_bytes[org] += count
            self.stored_bytes[org] += count
        self._origins.update(batch.new_origins)
        self._unsaved += batch.last_seq - self.head_seq
        self.last_ts_ms = batch.ts_ms
        self.head_seq = batch.last_seq

    def _take_over(self, connection: sqlite3.Connection, segment: SegmentFile) -> None:
        check_format(connection, segment)
        for org, count in org_bytes_of(connection).items():
            self.stored_bytes[org] += count
        newest = connection.execute(_SQL["last_event"]).fetchone()
        if newest is not None:
            self.head_seq = max(self.head_seq, newest[0])
            self.last_ts_ms = max(self.last_ts_ms, newest[1])

    def _rebuild(self, connection: sqlite3.Connection) -> None:
        """What is only in the newest segment: its dictionary, its bytes, and the tails."""
        self._org_bytes = defaultdict(int, org_bytes_of(connection))
        for number, org, raw in connection.execute(_SQL["origins"]):
            self._origins[OrgId(org), msgspec.json.decode(raw, type=Origin)] = number
        saved, tails = connection.execute(_SQL["snapshot"]).fetchone()
        self.tails.load(tails)
        for org, count in self._scan_after(connection, saved).items():
            self._org_bytes[org] += count
            self.stored_bytes[org] += count
        self.last_seqs.update((lane, tail[-1]) for lane, tail in self.tails.items())
        self._unsaved = max(0, self.head_seq - max(saved, self.segments[-1].first_seq - 1))
        if self._unsaved:
            _log.warning(telemetry.STORE_RECOVERED, scanned_events=self._unsaved, head=self.head_seq)

    def _scan_after(self, connection: sqlite3.Connection, saved: int) -> dict[OrgId, int]:
        """Complete the tails from the events after the snapshot and drop from them what was written to chunks since;
        returns the events' bytes per organisation."""
        counted: dict[OrgId, int] = defaultdict(int)
        fresh: dict[int, list[int]] = defaultdict(list)
        for seq, lanes, org, size in connection.execute(_SQL["scan_after"], (saved,)):
            counted[org] += size
            for lane in unpack_lanes(lanes):
                fresh[lane].append(seq)
        for lane, seqs in fresh.items():
            self.tails.extend(lane, seqs)
            written = connection.execute(_SQL["last_posting"], (lane,)).fetchone()[0] or 0
            unwritten = self.tails.after(lane, written)
            if unwritten:
                self.tails.replace(lane, unwritten)
            else:
                self.tails.drop(lane)
        return counted


class _Batch:
    """Events on their way into one commit."""

    def __init__(self, head_seq: int, ts_ms: int, origins: Mapping[tuple[OrgId, Origin], int]) -> None:
        self.last_seq = head_seq
        self.ts_ms = ts_ms
        self.rows: list[tuple[object, ...]] = []
        self.positions: dict[int, list[int]] = defaultdict(list)
        self.org_bytes: dict[OrgId, int] = defaultdict(int)
        self.new_origins: dict[tuple[OrgId, Origin], int] = {}
        self._origins = origins

    def add(self, event: NewEvent) -> None:
        self.last_seq += 1
        seq, body = self.last_seq, event.body
        key = (event.org, event.origin)
        number = self._origins.get(key) or self.new_origins.get(key)
        if number is None:
            number = self.new_origins[key] = len(self._origins) + len(self.new_origins) + 1
        self.rows.append((seq, self.ts_ms, event.event_id, number, pack_lanes(event.lanes), body))
        self.org_bytes[event.org] += len(body)
        for lane in event.lanes:
            self.positions[lane].append(seq)

    def origin_rows(self) -> list[tuple[object, ...]]:
        return [(number, org, _encode(origin)) for (org, origin), number in self.new_origins.items()]
