"""How long what is still to be delivered has been waiting, lane by lane, by what the writing process has in memory.

Anything is read from files only for lanes that are behind.
"""

from __future__ import annotations

import asyncio
from heapq import nsmallest

from eventmill.model import Lane
from eventmill.store.observe import Backlog, Totals, Waiting
from eventmill.store.sqlite.engine import Engine
from eventmill.store.sqlite.logreads import LogReads, split_by_segment
from eventmill.store.sqlite.memory import LaneState
from eventmill.store.sqlite.queries import load_queries
from eventmill.store.sqlite.statereads import StateReads

_LOG, _UNITS = load_queries("log"), load_queries("backlog")
_LANES_PER_STEP = 128
"""Looked at before others get the event loop."""


class BacklogReads(LogReads, StateReads):
    _engine: Engine

    def __init__(self) -> None:
        super().__init__()
        self._behind: dict[Lane, tuple[LaneState, int]] = {}
        """First waiting positions as found last: only a change of the lane's state changes them."""

    async def backlog(self, limit: int) -> Backlog:
        states = list(self._engine.memory.lanes.values())
        before, behind = self._behind, dict[Lane, tuple[LaneState, int]]()
        for at in range(0, len(states), _LANES_PER_STEP):
            for state in states[at : at + _LANES_PER_STEP]:
                known, seq = before.get(state.lane, (None, None))
                if known is not state:
                    seq = self._first_waiting(state)
                if seq is not None:
                    behind[state.lane] = state, seq
            await asyncio.sleep(0)
        self._behind = behind
        found: dict[Lane, Waiting] = {}
        # Time never falls along positions, so the lowest are the oldest.
        for state, seq in nsmallest(limit, behind.values(), key=lambda each: each[1]):
            since_ms = self._time_of(seq)
            if since_ms is not None:
                found[state.lane] = Waiting(state.lane, state.registration_id, since_ms)
        units = 0
        for lane, registration_id, count, first_ms in self._reader.execute(_UNITS["waiting_units"]):
            units += count
            if lane not in found or first_ms < found[lane].since_ms:
                found[lane] = Waiting(lane, registration_id, first_ms)
        return Backlog(units, tuple(nsmallest(limit, found.values(), key=lambda each: each.since_ms)))

    async def waiting_since(self, lane: Lane) -> int | None:
        state = self._engine.memory.lanes.get(lane)
        seq = None if state is None else self._first_waiting(state)
        since_ms = None if seq is None else self._time_of(seq)
        first_ms = self._reader.execute(_UNITS["first_unit"], (lane,)).fetchone()[0]
        return min((at_ms for at_ms in (since_ms, first_ms) if at_ms is not None), default=None)

    async def totals(self) -> Totals:
        return self._engine.totals_now()

    def _first_waiting(self, state: LaneState) -> int | None:
        """The first position above the mark that is not settled. A lane's gaps lie below its mark while it pushes."""
        if state.disabled or state.tombstone is not None or self._last_of(state.lane) <= state.mark:
            return None
        done = set(state.done)
        page = self._engine.log.tails.all_after(state.lane, state.mark)
        if page is None:
            page = self._positions(state.lane, state.mark, len(done) + 1)
        return next((seq for seq in page if seq not in done), None)

    def _last_of(self, lane: Lane) -> int:
        """Its last position; 0: it has none. What was all in chunks at the open is looked up once."""
        known = self._engine.log.last_seqs
        if lane not in known:
            last = 0
            for reader in self._reading(reversed(self._segments())):
                last = reader.connection.execute(_LOG["last_posting"], (lane,)).fetchone()[0] or 0
                if last:
                    break
            known.setdefault(lane, last)
        return known[lane]

    def _time_of(self, seq: int) -> int | None:
        for segment, _ in split_by_segment(self._segments(), [seq]):
            reader = self._readers.find(segment)
            row = None if reader is None else reader.connection.execute(_LOG["time_at"], (seq,)).fetchone()
            if row is not None:
                return int(row[1])
        return None
