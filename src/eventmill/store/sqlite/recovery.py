"""Applies what has events delivered again, inside one state transaction: units in, their positions out of view.

Also what becomes of gaps when positions in them are settled, replayed or expire. Nothing here commits.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import chain

import msgspec

from eventmill.errors import StaleVersion
from eventmill.model import Lane
from eventmill.store.control import HastenUnit, PutUnits
from eventmill.store.sqlite.memory import LaneState
from eventmill.store.sqlite.packing import pack_seqs, unpack_seqs
from eventmill.store.sqlite.queries import load_queries
from eventmill.store.sqlite.units import ended_at, put_units, take_ended, units_at

_SQL = load_queries("state")
_OPEN_END = 1 << 62


class GapRow(msgspec.Struct, frozen=True):
    id: int
    from_seq: int
    to_seq: int | None
    cause: str
    opened_ms: int
    closed_ms: int | None
    settled: frozenset[int]

    @property
    def end(self) -> int:
        return _OPEN_END if self.to_seq is None else self.to_seq

    def holds(self, seq: int) -> bool:
        """Whether the position passed here, and nothing has settled it since."""
        return self.from_seq <= seq <= self.end and seq not in self.settled


def read_gaps(connection: sqlite3.Connection, lane: Lane) -> list[GapRow]:
    return [
        GapRow(gap_id, from_seq, to_seq, cause, opened_ms, closed_ms, frozenset(unpack_seqs(settled)))
        for gap_id, from_seq, to_seq, cause, opened_ms, closed_ms, settled in connection.execute(_SQL["gaps"], (lane,))
    ]


def settle_in_gaps(connection: sqlite3.Connection, gaps: Iterable[GapRow], settled: Iterable[int]) -> set[int]:
    """Notes positions in the gaps that hold them; returns those that were held."""
    held: set[int] = set()
    for gap in gaps:
        fresh = {seq for seq in settled if gap.holds(seq)}
        if fresh:
            connection.execute(_SQL["set_gap_settled"], (pack_seqs(sorted(gap.settled | fresh)), gap.id))
            held |= fresh
    return held


def cut_gap(connection: sqlite3.Connection, lane: Lane, gap: GapRow, first: int, last: int) -> None:
    """Positions from `first` to `last` are no longer the gap's. What lies before stays a gap of its own; the rest of
    an open one stays open, be it empty."""
    before = _settled_within(gap, gap.from_seq, first - 1)
    after = _settled_within(gap, last + 1, gap.end)
    closed_ms = gap.opened_ms if gap.closed_ms is None else gap.closed_ms
    if last < gap.end:
        connection.execute(_SQL["cut_gap"], (last + 1, gap.to_seq, after, gap.id))
        if gap.from_seq < first:
            part = (lane, gap.from_seq, first - 1, gap.cause, gap.opened_ms, closed_ms, before)
            connection.execute(_SQL["insert_gap_part"], part)
    elif gap.from_seq < first:
        connection.execute(_SQL["cut_gap"], (gap.from_seq, first - 1, before, gap.id))
    else:
        connection.execute(_SQL["drop_gap"], (gap.id,))


def apply_units(connection: sqlite3.Connection, state: LaneState, op: PutUnits) -> None:
    """Raises `StaleVersion` as `PutUnits` says; `state` is that of a lane which is there and not closed."""
    positions = [seq for unit in op.units for seq in unit.positions]
    gaps = read_gaps(connection, op.lane)
    rows = ended_at(connection, op.lane, positions)
    wanted = set(positions)
    ended = wanted.intersection(chain.from_iterable(rows.values()))
    passed = {seq for gap in gaps for seq in wanted if gap.holds(seq)}
    if (
        (state.disabled and not op.while_disabled)
        or (op.from_view and wanted - ended - passed)
        or any(seq > state.mark and seq not in state.done for seq in ([] if state.disabled else positions))
        or units_at(connection, op.lane, positions)
    ):
        raise StaleVersion("registration", state.registration_id)
    for row_id, held in rows.items():
        left = [seq for seq in held if seq not in wanted]
        if len(left) < len(held):
            take_ended(connection, row_id, left)
    _leave_gaps(connection, op, gaps, passed)
    put_units(connection, op.units)
    connection.execute(_SQL["hand_out"], (op.units[0].replay, op.lane, len(positions), op.now_ms))


def hasten_unit(connection: sqlite3.Connection, state: LaneState, op: HastenUnit) -> None:
    if connection.execute(_SQL["hasten_unit"], (op.due_ms, op.unit_id, op.lane)).rowcount == 0:
        raise StaleVersion("registration", state.registration_id)


def _leave_gaps(connection: sqlite3.Connection, op: PutUnits, gaps: Sequence[GapRow], passed: set[int]) -> None:
    """Cleared ranges are cut off, other positions noted as settled."""
    for first, last in op.cleared:
        for gap in read_gaps(connection, op.lane):
            low, high = max(first, gap.from_seq), min(last, gap.end)
            if low <= high:
                cut_gap(connection, op.lane, gap, low, high)
    single = {seq for seq in passed if not any(first <= seq <= last for first, last in op.cleared)}
    if single:
        settle_in_gaps(connection, read_gaps(connection, op.lane) if op.cleared else gaps, single)


def _settled_within(gap: GapRow, first: int, last: int) -> bytes:
    return pack_seqs(sorted(seq for seq in gap.settled if first <= seq <= last))
