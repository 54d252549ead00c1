"""Retention: what must be on record before a segment is dropped. Nothing expires unseen."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing

import msgspec
import structlog

from eventmill import telemetry
from eventmill.model import Lane
from eventmill.store.sqlite.audit import PhiAudit
from eventmill.store.sqlite.connect import open_reader
from eventmill.store.sqlite.control import put_progress
from eventmill.store.sqlite.memory import LaneState, Memory, Outcome, get_meta
from eventmill.store.sqlite.packing import unpack_seqs
from eventmill.store.sqlite.queries import load_queries
from eventmill.store.sqlite.recovery import cut_gap, read_gaps
from eventmill.store.sqlite.segments import SegmentFile
from eventmill.store.sqlite.units import ENDED_POSITIONS_MAX, end_units, insert_ended
from eventmill.store.work import PULLED, Ended

_log = structlog.get_logger()
_SQL = load_queries("state")
_LOG = load_queries("log")


class Expiry:
    """One expiry under way, inside a state transaction of the caller's; `outcome` counts once that is committed."""

    def __init__(self, state: sqlite3.Connection, memory: Memory, phi: PhiAudit, before_ms: int) -> None:
        self._state = state
        self._phi = phi
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
        self._state.execute(_SQL["drop_old_replay_tallies"], (self._before_ms,))
        self._state.execute(_SQL["drop_old_gaps"], (self._before_ms, get_meta(self._state, "dropped_seq", 0)))

    def _pass_lane(self, connection: sqlite3.Connection, state: LaneState, last_seq: int, now_ms: int) -> None:
        """Floor and mark move past `last_seq`; what was still to be pushed below it, or passed in a gap and could be
        replayed until now, is recorded as expired."""
        if self.outcome.has_gaps(state.lane):
            self._pass_gaps(connection, state, last_seq, now_ms)
        if state.mark < last_seq and not state.disabled and state.tombstone is None:
            self._record(connection, state, range(state.mark + 1, last_seq + 1), state.done, now_ms)
        mark = max(state.mark, last_seq)
        done = tuple(seq for seq in state.done if seq > mark)
        self._state.execute(_SQL["set_lane_floor"], (last_seq, state.lane))
        put_progress(self._state, state.lane, mark, done)
        self.outcome.lanes[state.lane] = msgspec.structs.replace(state, floor=last_seq, mark=mark, done=done)

    def _pass_gaps(self, connection: sqlite3.Connection, state: LaneState, last_seq: int, now_ms: int) -> None:
        for gap in read_gaps(self._state, state.lane):
            last = min(gap.end, last_seq)
            if gap.from_seq > last or gap.cause == PULLED:
                continue
            self._record(connection, state, range(gap.from_seq, last + 1), gap.settled, now_ms)
            cut_gap(self._state, state.lane, gap, gap.from_seq, last)

    def _record(
        self,
        connection: sqlite3.Connection,
        state: LaneState,
        within: range,
        settled: Collection[int],
        now_ms: int,
    ) -> None:
        """The lane's positions of the segment that nothing has settled, as expired."""
        count = 0
        for positions in _unsettled(connection, state.lane, within, frozenset(settled)):
            ended = Ended(positions, "expired", 0, now_ms)
            insert_ended(self._state, [(state.lane, ended)])
            self._phi.note_ended(ended, state.registration_id)
            count += len(positions)
        if count:
            _log.warning(telemetry.EVENTS_EXPIRED, registration=state.registration_id, count=count)

    def _end_lost_units(self, end_seq: int, now_ms: int) -> None:
        """A unit ends when any of its events is gone: its membership never changes."""
        ends: list[bytes] = []
        lost: list[tuple[Lane, Ended]] = []
        for unit_id, lane, positions, cause, replay in self._state.execute(_SQL["units_from"], (end_seq,)):
            ends.append(unit_id)
            ended = Ended(tuple(unpack_seqs(positions)), "expired", cause, now_ms, replay)
            lost.append((Lane(lane), ended))
            state = self.outcome.lane(Lane(lane))
            self._phi.note_ended(ended, "" if state is None else state.registration_id)
        insert_ended(self._state, lost)
        end_units(self._state, ends)


def _unsettled(
    connection: sqlite3.Connection, lane: Lane, within: range, settled: frozenset[int]
) -> Iterator[tuple[int, ...]]:
    """In rows of bounded size."""
    pending: list[int] = []
    for _, chunk in connection.execute(_LOG["chunks"], (lane, within.start - 1)):
        pending.extend(seq for seq in unpack_seqs(chunk) if seq in within and seq not in settled)
        while len(pending) >= ENDED_POSITIONS_MAX:
            yield tuple(pending[:ENDED_POSITIONS_MAX])
            del pending[:ENDED_POSITIONS_MAX]
    if pending:
        yield tuple(pending)
