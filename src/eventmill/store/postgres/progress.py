"""Applies work commits and traces inside one transaction; nothing here commits.

Rows are locked in the order of their keys: slots first, then lanes. A lease is good while its row says so; the share
lock on the row keeps another node from claiming the slot until this is committed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from eventmill.model import Lane
from eventmill.store.postgres.audit import Happening, happenings_of, note_happenings
from eventmill.store.postgres.connect import Connection
from eventmill.store.postgres.control import forget_lane
from eventmill.store.postgres.queries import load_queries
from eventmill.store.postgres.recovery import GapRow, read_gap, settle_in_gaps, write_settled
from eventmill.store.postgres.rows import array, put_rows
from eventmill.store.postgres.units import insert_ended, put_units
from eventmill.store.replayed import without_replayed
from eventmill.store.work import SLOTS, Ended, LaneProgress, RetryUnit, TraceRecord, WorkCommit

_SQL = load_queries("work")
BUCKET_MS = 300_000


class LaneState(msgspec.Struct):
    """What the row of a lane says, and what this transaction makes of it."""

    lane: Lane
    shard: int
    registration_id: str
    mark: int
    done: list[int]
    split_ms: int
    traces_ok: int
    traces_failed: int
    disabled: bool
    gapped: bool
    closed: bool
    audited: bool
    """Whether any event at all is audited."""
    changed: bool = False


class WorkWrite:
    """The progress of a group of commits, gathered and then written in few statements.

    Later progress of a lane or unit replaces earlier, so the order of commits is kept.
    """

    def __init__(self, connection: Connection, owner: object, traces_kept: int, day: int) -> None:
        self._connection = connection
        self._owner = owner
        self._traces_kept = traces_kept
        self._day = day
        self._states: dict[Lane, LaneState] = {}
        self._gaps: dict[Lane, list[GapRow]] = {}
        self._gaps_changed: dict[int, GapRow] = {}
        self._units: dict[bytes, RetryUnit | None] = {}
        self._ended: list[tuple[Lane, Ended]] = []
        self._happenings: list[Happening] = []
        self._traces: dict[tuple[Lane, bool, int], tuple[object, ...]] = {}
        self._attempts: list[tuple[Lane, bytes]] = []
        self._tallies: dict[tuple[Lane, int], list[int]] = {}
        """Lane and start of the bucket -> successes, failures, units given up."""
        self.sums: Counter[str] = Counter()
        """What `Totals` counts."""
        self._closing: set[Lane] = set()

    async def write(
        self, works: Sequence[WorkCommit], traces: Sequence[tuple[Lane, Sequence[TraceRecord]]]
    ) -> list[frozenset[int]]:
        """The lost slots of each commit."""
        held = await self._hold({lease.slot for work in works for lease in work.leases})
        lost = [lost_slots(work, held) for work in works]
        kept = [
            progress
            for work, gone in zip(works, lost, strict=True)
            for progress in work.lanes
            if progress.lane % SLOTS not in gone
        ]
        await self._load({progress.lane for progress in kept} | {lane for lane, _ in traces})
        await self._load_gaps({progress.lane for progress in kept if progress.settled})
        for progress in kept:
            self._add(progress)
        for lane, records in traces:
            if lane in self._states:
                self._add_traces(self._states[lane], records)
        await self._flush()
        return lost

    async def _hold(self, slots: Iterable[int]) -> dict[int, int]:
        rows = await self._connection.fetch(_SQL["hold_slots"], sorted(slots), self._owner)
        return {row["slot"]: row["epoch"] for row in rows}

    async def _load(self, lanes: Iterable[Lane]) -> None:
        for row in await self._connection.fetch(_SQL["lock_lanes"], sorted(lanes)):
            self._states[row["lane"]] = LaneState(*row)

    async def _load_gaps(self, lanes: Iterable[Lane]) -> None:
        gapped = [lane for lane in lanes if lane in self._states and self._states[lane].gapped]
        if gapped:
            for lane, *gap in await self._connection.fetch(_SQL["gaps_of"], gapped):
                self._gaps.setdefault(lane, []).append(read_gap(gap))

    def _add(self, progress: LaneProgress) -> None:
        """Nothing is kept for a lane that is gone: its registration was deleted and no unit of it was left."""
        state = self._states.get(progress.lane)
        if state is None:
            return
        lane = state.lane
        if progress.settled and lane in self._gaps:
            progress = self._note_in_gaps(state, progress)
        if not state.closed:
            mark = max(state.mark, progress.mark)
            done = [seq for seq in sorted(progress.done) if seq > mark]
            if mark != state.mark or done != state.done:
                state.mark, state.done, state.changed = mark, done, True
        elif progress.finished:
            self._closing.add(lane)
        if state.audited:
            self._happenings.extend(happenings_of(progress, state.shard, state.registration_id))
        self._units.update((unit.unit_id, unit) for unit in progress.put_units)
        self._units.update((unit_id, None) for unit_id in progress.end_units)
        self._ended.extend((lane, ended) for ended in progress.ended)
        if progress.attempts:
            self._attempts.append((lane, progress.attempts))
        self._add_traces(state, progress.traces)
        if progress.counts or progress.ended:
            self._tally(progress, state.split_ms)

    def _add_traces(self, state: LaneState, traces: Sequence[TraceRecord]) -> None:
        """Each takes the place of the oldest of its kind."""
        if not self._traces_kept:
            return
        for trace in traces:
            count = state.traces_ok if trace.ok else state.traces_failed
            slot, n = count % self._traces_kept, state.traces_ok + state.traces_failed
            self._traces[state.lane, trace.ok, slot] = (
                *(state.lane, n, trace.ts_ms, slot, trace.ok, array(trace.positions), trace.detail),
            )
            if trace.ok:
                state.traces_ok += 1
            else:
                state.traces_failed += 1
            state.changed = True

    def _tally(self, progress: LaneProgress, split_ms: int) -> None:
        lane = progress.lane
        for count in progress.counts:
            self.sums["succeeded"] += count.ok
            self.sums["failed"] += count.failed
            if count.ok:
                self._bucket(lane, max(count.at_ms, split_ms), split_ms)[0] += count.ok
            if count.failed:
                self._bucket(lane, count.at_ms, split_ms)[1] += count.failed
        for ended in progress.ended:
            self.sums[ended.outcome] += len(ended.positions)
            if ended.outcome == "gave_up":
                self._bucket(lane, ended.at_ms, split_ms)[2] += 1

    def _bucket(self, lane: Lane, at_ms: int, split_ms: int) -> list[int]:
        """The sums of the bucket of a time: of 5 minutes, but cut in two where a split lies."""
        start_ms = at_ms - at_ms % BUCKET_MS
        if at_ms >= split_ms:
            start_ms = max(start_ms, split_ms)
        return self._tallies.setdefault((lane, start_ms), [0, 0, 0])

    async def _flush(self) -> None:
        states = [state for state in self._states.values() if state.changed]
        rows = [(each.lane, each.mark, array(each.done), each.traces_ok, each.traces_failed) for each in states]
        await self._put("put_progress", rows)
        await write_settled(self._connection, self._gaps_changed.values())
        await put_units(self._connection, [unit for unit in self._units.values() if unit is not None])
        ends = [unit_id for unit_id, unit in self._units.items() if unit is None]
        if ends:
            await self._connection.execute(_SQL["end_units"], ends)
        await insert_ended(self._connection, self._ended)
        await note_happenings(self._connection, self._happenings)
        await self._put("insert_attempts", [(self._day, lane, block) for lane, block in self._attempts])
        await self._put("put_traces", list(self._traces.values()))
        await self._put("add_tallies", [(*bucket, *sums) for bucket, sums in sorted(self._tallies.items())])
        for lane in sorted(self._closing):
            if not await self._connection.fetchval(_SQL["has_units"], lane):
                await forget_lane(self._connection, lane)

    async def _put(self, query: str, rows: Sequence[tuple[object, ...]]) -> None:
        await put_rows(self._connection, _SQL[query], rows)

    def _note_in_gaps(self, state: LaneState, progress: LaneProgress) -> LaneProgress:
        """Without what became of positions that are replayed since they passed: they are the replay's now."""
        held, changed = settle_in_gaps(self._gaps[state.lane], progress.settled)
        self._gaps_changed.update((gap.id, gap) for gap in changed)
        taken = {
            seq
            for seq in progress.settled
            if seq not in held and (state.disabled or seq <= state.mark or seq in state.done)
        }
        return without_replayed(progress, taken)


def lost_slots(work: WorkCommit, held: dict[int, int]) -> frozenset[int]:
    """Touched slots whose lease is not current; their lanes must not be written."""
    good = {lease.slot for lease in work.leases if held.get(lease.slot) == lease.epoch}
    return frozenset(slot for slot in (progress.lane % SLOTS for progress in work.lanes) if slot not in good)
