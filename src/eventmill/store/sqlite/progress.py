"""Applies work commits and traces inside one state transaction; nothing here commits."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence

import msgspec

from eventmill.model import Lane
from eventmill.store.replayed import without_replayed
from eventmill.store.sqlite.audit import PhiAudit
from eventmill.store.sqlite.control import forget_lane
from eventmill.store.sqlite.memory import LaneState, Memory, Outcome
from eventmill.store.sqlite.packing import pack_seqs
from eventmill.store.sqlite.queries import ManyRows, load_queries
from eventmill.store.sqlite.recovery import read_gaps, settle_in_gaps
from eventmill.store.sqlite.units import end_units, insert_ended, put_units
from eventmill.store.work import SLOTS, Ended, LaneProgress, RetryUnit, TraceRecord, WorkCommit

_SQL = load_queries("state")
_PUT_PROGRESS = ManyRows(_SQL["put_progress"], 3)
_PUT_TRACES = ManyRows(_SQL["put_traces"], 7)
_ADD_TALLIES = ManyRows(_SQL["add_tallies"], 5)
BUCKET_MS = 300_000


def lost_slots(memory: Memory, work: WorkCommit) -> frozenset[int]:
    """Touched slots whose lease is not current; their lanes must not be written."""
    held = {lease.slot for lease in work.leases if memory.leases.get(lease.slot) == lease.epoch}
    return frozenset(slot for slot in (progress.lane % SLOTS for progress in work.lanes) if slot not in held)


class TraceRings:
    """Where the next trace of each lane goes."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._next: dict[Lane, tuple[int, int, int]] = {}
        """Lane -> (n, slot of failures, slot of successes)."""

    def rows(
        self, connection: sqlite3.Connection, lane: Lane, traces: Sequence[TraceRecord]
    ) -> list[tuple[object, ...]]:
        """Rows for the newest traces of each kind; older ones would be overwritten at once."""
        if not traces or not self._kept:
            return []
        if lane not in self._next:
            self._next[lane] = self._load(connection, lane)
        n, *slots = self._next[lane]
        rows: list[tuple[object, ...]] = []
        for trace in _newest(traces, self._kept):
            slot = slots[trace.ok]
            rows.append((lane, trace.ok, slot, n, trace.ts_ms, pack_seqs(trace.positions), trace.detail))
            slots[trace.ok] = (slot + 1) % self._kept
            n += 1
        self._next[lane] = (n, slots[False], slots[True])
        return rows

    def drop(self, lane: Lane) -> None:
        """The lane is gone."""
        self._next.pop(lane, None)

    def forget(self) -> None:
        """After a failed or emptying transaction: read the rings again."""
        self._next.clear()

    def _load(self, connection: sqlite3.Connection, lane: Lane) -> tuple[int, int, int]:
        last = [connection.execute(_SQL["last_trace"], (lane, ok)).fetchone() or (-1, -1) for ok in (False, True)]
        failed, succeeded = (int(slot + 1) % self._kept for _, slot in last)
        return max(n for n, _ in last) + 1, failed, succeeded


def apply_traces(connection: sqlite3.Connection, rings: TraceRings, lane: Lane, traces: Sequence[TraceRecord]) -> None:
    _PUT_TRACES.run(connection, rings.rows(connection, lane, traces))


class WorkWrite:
    """The progress of a group of commits, gathered and then written in few statements.

    Later progress of a lane or unit replaces earlier, so the order of commits is kept.
    """

    def __init__(self, connection: sqlite3.Connection, memory: Memory, rings: TraceRings, phi: PhiAudit) -> None:
        self._connection = connection
        self._rings = rings
        self._phi = phi
        self.outcome = Outcome(memory)
        self._marks: dict[Lane, tuple[object, ...]] = {}
        self._units: dict[bytes, RetryUnit | None] = {}
        self._ended: list[tuple[Lane, Ended]] = []
        self._traces: list[tuple[object, ...]] = []
        self._tallies: dict[tuple[Lane, int], list[int]] = {}
        """Lane and start of the bucket -> successes, failures, units given up."""
        self.counted: dict[Lane, bool] = {}
        """Lanes with new tallies; True where a failure is among them."""
        self.sums: Counter[str] = Counter()
        """What `Totals` counts."""
        self._closing: set[Lane] = set()

    def add_all(self, work: WorkCommit, lost: frozenset[int]) -> None:
        for progress in work.lanes:
            if progress.lane % SLOTS not in lost:
                self._add(progress)

    def _add(self, progress: LaneProgress) -> None:
        """Nothing is kept for a lane that is gone: its registration was deleted and no unit of it was left."""
        lane = progress.lane
        state = self.outcome.lane(lane)
        if state is None:
            return
        if progress.settled and self.outcome.has_gaps(lane):
            progress = self._note_in_gaps(state, progress)
        if state.tombstone is None:
            mark = max(state.mark, progress.mark)
            done = tuple(seq for seq in sorted(progress.done) if seq > mark)
            if mark != state.mark or done != state.done:
                self.outcome.lanes[lane] = msgspec.structs.replace(state, mark=mark, done=done)
                self._marks[lane] = (lane, mark, pack_seqs(done))
        elif progress.finished:
            self._closing.add(lane)
        self._phi.note_progress(progress, state.registration_id)
        self._units.update((unit.unit_id, unit) for unit in progress.put_units)
        self._units.update((unit_id, None) for unit_id in progress.end_units)
        self._ended.extend((lane, ended) for ended in progress.ended)
        self._traces.extend(self._rings.rows(self._connection, lane, progress.traces))
        if progress.counts or progress.ended:
            self._tally(progress, state.split_ms)

    def _tally(self, progress: LaneProgress, split_ms: int) -> None:
        lane, failed = progress.lane, False
        for count in progress.counts:
            self.sums["succeeded"] += count.ok
            self.sums["failed"] += count.failed
            if count.ok:
                self._bucket(lane, max(count.at_ms, split_ms), split_ms)[0] += count.ok
            if count.failed:
                self._bucket(lane, count.at_ms, split_ms)[1] += count.failed
                failed = True
        for ended in progress.ended:
            self.sums[ended.outcome] += len(ended.positions)
            if ended.outcome == "gave_up":
                self._bucket(lane, ended.at_ms, split_ms)[2] += 1
        self.counted[lane] = failed or self.counted.get(lane, False)

    def _bucket(self, lane: Lane, at_ms: int, split_ms: int) -> list[int]:
        """The sums of the bucket of a time: of 5 minutes, but cut in two where a split lies."""
        start_ms = at_ms - at_ms % BUCKET_MS
        if at_ms >= split_ms:
            start_ms = max(start_ms, split_ms)
        return self._tallies.setdefault((lane, start_ms), [0, 0, 0])

    def flush(self) -> None:
        connection = self._connection
        _PUT_PROGRESS.run(connection, list(self._marks.values()))
        put_units(connection, [unit for unit in self._units.values() if unit is not None])
        end_units(connection, [unit_id for unit_id, unit in self._units.items() if unit is None])
        insert_ended(connection, self._ended)
        _PUT_TRACES.run(connection, self._traces)
        _ADD_TALLIES.run(connection, [(*bucket, *sums) for bucket, sums in self._tallies.items()])
        for lane in self._closing:
            if not connection.execute(_SQL["has_units"], (lane,)).fetchone()[0]:
                forget_lane(connection, self.outcome, lane)
                self._rings.drop(lane)

    def _note_in_gaps(self, state: LaneState, progress: LaneProgress) -> LaneProgress:
        """Without what became of positions that are replayed since they passed: they are the replay's now."""
        gaps = read_gaps(self._connection, state.lane)
        held = settle_in_gaps(self._connection, gaps, progress.settled)
        taken = {
            seq
            for seq in progress.settled
            if seq not in held and (state.disabled or seq <= state.mark or seq in state.done)
        }
        return without_replayed(progress, taken)


def _newest(traces: Sequence[TraceRecord], kept: int) -> list[TraceRecord]:
    """The last `kept` of each kind, in order."""
    if len(traces) <= kept:
        return list(traces)
    left = {False: kept, True: kept}
    chosen = []
    for trace in reversed(traces):
        if left[trace.ok]:
            left[trace.ok] -= 1
            chosen.append(trace)
    return chosen[::-1]
