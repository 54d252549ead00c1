"""Reads of events and journals from the segment files, for the front and for delivery children.

Reads run on the caller's thread: each is one or two short queries. Which segments exist and which positions are not in
a chunk yet is the subclass's knowledge (`_segments`, `_tail`).
"""

from __future__ import annotations

import asyncio
import sqlite3
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, groupby
from typing import Any, TypeVar

from eventmill.core.attempts import seq_mark
from eventmill.model import Lane, OrgId
from eventmill.store.log import EventOutline, JournalPage, JournalStretch, LogEntry, StoredEvent
from eventmill.store.observe import AttemptBlock
from eventmill.store.sqlite.layout import SHARD
from eventmill.store.sqlite.packing import count_seqs, unpack_lanes, unpack_seqs
from eventmill.store.sqlite.queries import InList, load_queries
from eventmill.store.sqlite.segments import SegmentFile, SegmentReader, SegmentReaders

_SQL = load_queries("log")
_EVENTS_BETWEEN, _EVENTS_IN = _SQL["events_between"], InList(_SQL["events_in"])
_OUTLINES_BETWEEN, _OUTLINES_IN = _SQL["outlines_between"], InList(_SQL["outlines_in"])
_BODIES_BETWEEN, _BODIES_IN = _SQL["bodies_between"], InList(_SQL["bodies_in"])
_ROWS_AT_FIRST = 4
_BLOCKS_PER_STEP = 512
"""Attempt blocks of a lane that are searched at a time; a busy lane's have a few kilobytes each."""

_PageRow = tuple[int, int, bytes]
_Kept = TypeVar("_Kept", StoredEvent, EventOutline)


class LogReads:
    """The reading half of `EventLog` and `WorkStore` that needs no state file."""

    def __init__(self) -> None:
        self._readers = SegmentReaders()

    def _segments(self) -> Sequence[SegmentFile]:
        """Segments now, oldest first."""
        raise LookupError

    def _tail(self, lane: int, after: int) -> Sequence[int]:
        """A copy of the positions above `after` that may not be in a chunk yet."""
        raise LookupError

    async def shard(self, org: OrgId) -> int:
        return SHARD

    async def lane_page(self, lane: Lane, after: int, limit: int) -> list[int]:
        return self._positions(lane, after, limit)

    async def fetch(self, shard: int, seqs: Sequence[int]) -> list[StoredEvent]:
        return self._kept(StoredEvent, _EVENTS_BETWEEN, _EVENTS_IN, seqs)

    async def outlines(self, shard: int, seqs: Sequence[int]) -> list[EventOutline]:
        return self._kept(EventOutline, _OUTLINES_BETWEEN, _OUTLINES_IN, seqs)

    async def find_event(self, org: OrgId, event_id: bytes) -> StoredEvent | None:
        for reader in self._reading(reversed(self._segments())):
            row = reader.connection.execute(_SQL["event_by_id"], (event_id, org)).fetchone()
            if row is not None:
                return _built(StoredEvent, reader, [row])[0]
        return None

    async def attempts(self, lane: Lane, limit: int) -> list[AttemptBlock]:
        found: list[AttemptBlock] = []
        for reader in self._reading(reversed(self._segments())):
            rows = reader.connection.execute(_SQL["attempts"], (lane, limit - len(found))).fetchall()
            found.extend(AttemptBlock(lane, block) for (block,) in rows)
            if len(found) >= limit:
                break
        return found

    async def attempts_at(self, lane: Lane, seq: int) -> list[AttemptBlock]:
        found: list[AttemptBlock] = []
        mark = seq_mark(seq)
        for reader in self._reading(segments_from(self._segments(), seq)):
            after, more = 0, True
            while more:
                wanted = (lane, after, mark, _BLOCKS_PER_STEP)
                rows = reader.connection.execute(_SQL["attempts_with"], wanted).fetchall()
                found.extend(AttemptBlock(lane, block) for _, block in rows if block is not None)
                await asyncio.sleep(0)
                more = len(rows) == _BLOCKS_PER_STEP
                after = rows[-1][0] if rows else 0
        return found

    def _reading(self, segments: Iterable[SegmentFile]) -> Iterator[SegmentReader]:
        """Readers of those segments that were not dropped meanwhile."""
        for segment in segments:
            reader = self._readers.find(segment)
            if reader is not None:
                yield reader

    def _page(self, lane: Lane, after: int, limit: int, bytes_max: int) -> JournalPage:
        """Cut before the bodies exceed `bytes_max`, but at least one."""
        positions = self._positions(lane, after, limit + 1)
        stretches: list[JournalStretch] = []
        left = bytes_max
        for segment, part in split_by_segment(self._segments(), positions[:limit]):
            reader = self._readers.find(segment)
            if reader is None:
                continue
            for at in range(0, len(part), InList.BATCH):
                wanted = part[at : at + InList.BATCH]
                rows = _rows_within(_select(reader.connection, _BODIES_BETWEEN, _BODIES_IN, wanted), left, len(wanted))
                if not rows:
                    continue
                seqs, origins, bodies = zip(*rows, strict=True)
                left -= sum(map(len, bodies))
                if left < 0:
                    kept = _fitting(bodies, left + sum(map(len, bodies))) or (0 if stretches else 1)
                    stretches += _stretches(reader, seqs[:kept], origins[:kept], bodies[:kept])
                    return JournalPage(stretches, positions[-1] > stretches[-1].seqs[-1])
                stretches += _stretches(reader, seqs, origins, bodies)
        return JournalPage(stretches, bool(stretches) and positions[-1] > stretches[-1].seqs[-1])

    def _positions(self, lane: int, after: int, limit: int) -> list[int]:
        """The tail is read before the chunks: a chunk written in between shows a position twice, never not at all."""
        tail = self._tail(lane, after)
        found: list[int] = []
        for reader in self._reading(segments_from(self._segments(), after + 1)):
            for _, chunk in reader.connection.execute(_SQL["chunks"], (lane, after)):
                seqs = unpack_seqs(chunk)
                found.extend(seqs[bisect_right(seqs, after) :])
                if len(found) >= limit:
                    return found[:limit]
        last = found[-1] if found else after
        found.extend(seq for seq in tail if seq > last)
        return found[:limit]

    def _count(self, lane: int, after: int, at_most: int) -> int:
        tail = self._tail(lane, after)
        count, last = 0, after
        for reader in self._reading(segments_from(self._segments(), after + 1)):
            for last_seq, chunk in reader.connection.execute(_SQL["chunks"], (lane, after)):
                if count:
                    count += count_seqs(chunk)
                else:
                    seqs = unpack_seqs(chunk)
                    count = len(seqs) - bisect_right(seqs, after)
                last = last_seq
                if count >= at_most:
                    return at_most
        return min(at_most, count + sum(seq > last for seq in tail))

    def _count_range(self, lane: int, after: int, upto: int) -> int:
        """Of chunks that lie within, only the lengths are read."""
        tail = self._tail(lane, after)
        count, last = 0, after
        for reader in self._reading(segments_from(self._segments(), after + 1)):
            for last_seq, chunk in reader.connection.execute(_SQL["chunks"], (lane, after)):
                if last >= upto:
                    return count
                if last == after or last_seq > upto:
                    count += sum(after < seq <= upto for seq in unpack_seqs(chunk))
                else:
                    count += count_seqs(chunk)
                last = last_seq
        return count + sum(last < seq <= upto for seq in tail)

    def _kept(self, kind: type[_Kept], between: str, within: InList, seqs: Sequence[int]) -> list[_Kept]:
        found: list[_Kept] = []
        for segment, part in split_by_segment(self._segments(), seqs):
            reader = self._readers.find(segment)
            if reader is None:
                continue
            for at in range(0, len(part), InList.BATCH):
                rows = _select(reader.connection, between, within, part[at : at + InList.BATCH])
                found.extend(_built(kind, reader, rows.fetchall()))
        return found

    def _log(self, after: int, upto: int, limit: int) -> list[LogEntry]:
        """Every event in (after, upto], oldest first."""
        entries: list[LogEntry] = []
        for reader in self._reading(segments_from(self._segments(), after + 1)):
            rows = reader.connection.execute(_SQL["log"], (after, upto, limit - len(entries))).fetchall()
            entries.extend([LogEntry(seq, unpack_lanes(lanes)) for seq, lanes in rows])
            if len(entries) >= limit:
                break
        return entries

    def _seek(self, ts_ms: int) -> int | None:
        """The position before the first event at or after `ts_ms`; None when there is no such event."""
        for reader in self._reading(self._segments()):
            newest = reader.connection.execute(_SQL["last_event"]).fetchone()
            if newest is not None and newest[1] >= ts_ms:
                return _first_at(reader.connection, reader.segment.first_seq, newest[0], ts_ms) - 1
        return None


def segments_from(segments: Sequence[SegmentFile], seq: int) -> Sequence[SegmentFile]:
    """The segments that may hold `seq` or later positions."""
    for index in range(len(segments) - 1, 0, -1):
        if segments[index].first_seq <= seq:
            return segments[index:]
    return segments


def split_by_segment(segments: Sequence[SegmentFile], seqs: Sequence[int]) -> list[tuple[SegmentFile, Sequence[int]]]:
    """Ascending positions, cut where a segment begins."""
    if not seqs:
        return []
    parts = []
    within = segments_from(segments, seqs[0])
    for index, segment in enumerate(within):
        end = within[index + 1].first_seq if index + 1 < len(within) else None
        if end is None or seqs[-1] < end:
            parts.append((segment, seqs))
            break
        part = [seq for seq in seqs if seq < end]
        parts.append((segment, part))
        seqs = seqs[len(part) :]
    return [(segment, part) for segment, part in parts if part]


def _select(connection: sqlite3.Connection, between: str, within: InList, seqs: Sequence[int]) -> sqlite3.Cursor:
    """Rows of ascending positions: one range when they are neighbours."""
    if seqs[-1] - seqs[0] == len(seqs) - 1:
        return connection.execute(between, (seqs[0], seqs[-1]))
    return within.run(connection, seqs)


def _rows_within(cursor: sqlite3.Cursor, bytes_left: int, count: int) -> list[_PageRow]:
    """Rows until their bodies exceed what is left, which they may do by as much as the first few let expect: so that
    neither a row costs a call, nor a page of the largest events all its memory."""
    rows: list[_PageRow] = cursor.fetchmany(_ROWS_AT_FIRST)
    size = sum([len(row[2]) for row in rows])
    while len(rows) < count and size <= bytes_left:
        expected = size // len(rows) + 1 if rows else 1
        more = cursor.fetchmany(min(count - len(rows), (bytes_left - size) // expected + 1))
        if not more:
            break
        rows += more
        size += sum([len(row[2]) for row in more])
    return rows


def _fitting(bodies: Sequence[bytes], bytes_left: int) -> int:
    """How many of the first bodies fit."""
    return bisect_right(list(accumulate(map(len, bodies))), bytes_left)


def _stretches(
    reader: SegmentReader, seqs: Sequence[int], origins: Sequence[int], bodies: Sequence[bytes]
) -> list[JournalStretch]:
    """Nearly always one: a new one begins where the format changes."""
    day = reader.segment.day
    formats = {origin: reader.origin(origin).delivery_format for origin in set(origins)}
    if len(set(formats.values())) == 1:
        return [JournalStretch(day, formats[origins[0]], seqs, bodies)]
    found, start = [], 0
    for form, group in groupby(origins, key=formats.__getitem__):
        end = start + len(list(group))
        found.append(JournalStretch(day, form, seqs[start:end], bodies[start:end]))
        start = end
    return found


def _built(kind: type[_Kept], reader: SegmentReader, rows: Sequence[tuple[int, int, bytes, int, Any]]) -> list[_Kept]:
    day = reader.segment.day
    origins = {number: reader.origin(number) for number in {row[3] for row in rows}}
    return [kind(seq, day, ts_ms, event_id, origins[number], last) for seq, ts_ms, event_id, number, last in rows]


def _first_at(connection: sqlite3.Connection, low: int, high: int, ts_ms: int) -> int:
    """Lowest position in [low, high] at or after `ts_ms`; `high` is known to be. Time never falls along positions."""
    while low < high:
        middle = (low + high) // 2
        seq, at_ms = connection.execute(_SQL["time_at"], (middle,)).fetchone()
        if at_ms < ts_ms:
            low = seq + 1
        else:
            high = min(middle, seq)
    return low
