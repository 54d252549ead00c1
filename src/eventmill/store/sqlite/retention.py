"""Retention: what must be on record before a segment is dropped. Nothing expires unseen."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing

import msgspec
import structlog

from eventmill import telemetry
from eventmill.model import Lane
from eventmill.store.sqlite.connect import open_reader
from eventmill.store.sqlite.control import put_progress
from eventmill.store.sqlite.memory import LaneState, Memory, Outcome, get_meta
from eventmill.store.sqlite.packing import unpack_seqs
from eventmill.store.sqlite.progress import ENDED_POSITIONS_MAX, end_units, ended_rows, insert_ended
from eventmill.store.sqlite.queries import load_queries
from eventmill.store.sqlite.segments import SegmentFile
from eventmill.store.work import Ended

_log = structlog.get_logger()
_SQL = load_queries("state")
_LOG = load_queries("log")


class Expiry:
    """One expiry under way, inside a state transaction of the caller's; `outcome` counts once that is committed."""

    def __init__(self, state: sqlite3.Connection, memory: Memory, before_ms: int) -> None:
        self._state = state
        self._before_ms = before_ms
        self.outcome = Outcome(memory)

    def choose(self, segments: Sequence[SegmentFile]) -> list[SegmentFile]:
        """The oldest segments whose last event is older than asked."""
        chosen = []
        for index, segment in enumerate(segments):
            with closing(open_reader(segment.path)) as connection:
                newest = connection.execute(_LOG["last_event"]).fetchone()
            if newest is None and index == len(segments) - 1:
                break
            if newest is not None and newest[1] >= self._before_ms:
                break
            chosen.append(segment)
        return chosen

    def drop(self, segments: Sequence[SegmentFile], end_seq: int, now_ms: int) -> None:
        """Record what the segments take with them; `end_seq` is their last position."""
        for segment in segments:
            with closing(open_reader(segment.path)) as connection:
                for lane, last_seq in connection.execute(_LOG["last_postings"]).fetchall():
                    state = self.outcome.lane(lane)
                    if state is not None and last_seq > state.opened:
                        self._pass_lane(connection, state, last_seq, now_ms)
        self._end_lost_units(end_seq, now_ms)

    def prune(self) -> None:
        """Records that are as old as the events they speak of may be."""
        self._state.execute(_SQL["drop_old_ended"], (self._before_ms,))
        self._state.execute(_SQL["drop_old_tallies"], (self._before_ms,))
        self._state.execute(_SQL["drop_old_gaps"], (self._before_ms, get_meta(self._state, "dropped_seq", 0)))

    def _pass_lane(self, connection: sqlite3.Connection, state: LaneState, last_seq: int, now_ms: int) -> None:
        """Floor and mark move past `last_seq`; what was still to be pushed below it is recorded as expired."""
        if state.mark < last_seq and not state.disabled and state.tombstone is None:
            count = 0
            for positions in self._undelivered(connection, state, last_seq):
                insert_ended(self._state, ended_rows(state.lane, Ended(positions, "expired", 0, now_ms)))
                count += len(positions)
            if count:
                _log.warning(telemetry.EVENTS_EXPIRED, registration=state.registration_id, count=count)
        mark = max(state.mark, last_seq)
        done = tuple(seq for seq in state.done if seq > mark)
        self._state.execute(_SQL["set_lane_floor"], (last_seq, state.lane))
        put_progress(self._state, state.lane, mark, done)
        self.outcome.lanes[state.lane] = msgspec.structs.replace(state, floor=last_seq, mark=mark, done=done)

    def _undelivered(
        self, connection: sqlite3.Connection, state: LaneState, last_seq: int
    ) -> Iterator[tuple[int, ...]]:
        """Positions above the mark and not settled, in rows of bounded size. Gaps lie below the mark or are open."""
        settled = set(state.done)
        pending: list[int] = []
        for _, chunk in connection.execute(_LOG["chunks"], (state.lane, state.mark)):
            pending.extend(seq for seq in unpack_seqs(chunk) if state.mark < seq <= last_seq and seq not in settled)
            while len(pending) >= ENDED_POSITIONS_MAX:
                yield tuple(pending[:ENDED_POSITIONS_MAX])
                del pending[:ENDED_POSITIONS_MAX]
        if pending:
            yield tuple(pending)

    def _end_lost_units(self, end_seq: int, now_ms: int) -> None:
        """A unit ends when any of its events is gone: its membership never changes."""
        ends: list[bytes] = []
        rows: list[tuple[object, ...]] = []
        for unit_id, lane, positions, cause in self._state.execute(_SQL["units_from"], (end_seq,)):
            ends.append(unit_id)
            rows.extend(ended_rows(Lane(lane), Ended(tuple(unpack_seqs(positions)), "expired", cause, now_ms)))
        insert_ended(self._state, rows)
        end_units(self._state, ends)
