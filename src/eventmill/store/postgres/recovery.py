"""Applies what has events delivered again, inside one transaction: units in, their positions out of view.

Also what becomes of gaps when positions in them are settled, replayed or expire. Nothing here commits. The row of the
lane is locked by whoever calls, and with it everything here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import asyncpg
import msgspec

from eventmill.errors import StaleVersion
from eventmill.model import Lane
from eventmill.store.control import HastenUnit, PutUnits
from eventmill.store.postgres.connect import Connection
from eventmill.store.postgres.queries import load_queries
from eventmill.store.postgres.units import ended_at, put_units, take_ended, units_at

_SQL = load_queries("work")
_OPEN_END = 1 << 62


class GapRow(msgspec.Struct):
    id: int
    from_seq: int
    to_seq: int | None
    cause: str
    opened_ms: int
    closed_ms: int | None
    settled: set[int]

    @property
    def end(self) -> int:
        return _OPEN_END if self.to_seq is None else self.to_seq

    def holds(self, seq: int) -> bool:
        """Whether the position passed here, and nothing has settled it since."""
        return self.from_seq <= seq <= self.end and seq not in self.settled

    def settled_within(self, first: int, last: int) -> list[int]:
        return sorted(seq for seq in self.settled if first <= seq <= last)


def read_gap(row: Iterable[Any]) -> GapRow:
    gap_id, from_seq, to_seq, cause, opened_ms, closed_ms, settled = row
    return GapRow(gap_id, from_seq, to_seq, cause, opened_ms, closed_ms, set(settled))


async def read_gaps(connection: Connection, lane: Lane) -> list[GapRow]:
    return [read_gap(row) for row in await connection.fetch(_SQL["gaps"], lane)]


def settle_in_gaps(gaps: Iterable[GapRow], settled: Iterable[int]) -> tuple[set[int], list[GapRow]]:
    """Notes positions in the gaps that hold them; returns those that were held, and the gaps that changed."""
    held: set[int] = set()
    changed = []
    for gap in gaps:
        fresh = {seq for seq in settled if gap.holds(seq)}
        if fresh:
            gap.settled |= fresh
            held |= fresh
            changed.append(gap)
    return held, changed


async def write_settled(connection: Connection, gaps: Iterable[GapRow]) -> None:
    for gap in gaps:
        await connection.execute(_SQL["set_gap_settled"], gap.id, sorted(gap.settled))


async def cut_gap(connection: Connection, lane: Lane, gap: GapRow, first: int, last: int) -> None:
    """Positions from `first` to `last` are no longer the gap's. What lies before stays a gap of its own; the rest of
    an open one stays open, be it empty."""
    before = gap.settled_within(gap.from_seq, first - 1)
    after = gap.settled_within(last + 1, gap.end)
    closed_ms = gap.opened_ms if gap.closed_ms is None else gap.closed_ms
    if last < gap.end:
        await connection.execute(_SQL["cut_gap"], gap.id, last + 1, gap.to_seq, after)
        if gap.from_seq < first:
            part = (lane, gap.from_seq, first - 1, gap.cause, gap.opened_ms, closed_ms, before)
            await connection.execute(_SQL["insert_gap_part"], *part)
    elif gap.from_seq < first:
        await connection.execute(_SQL["cut_gap"], gap.id, gap.from_seq, first - 1, before)
    else:
        await connection.execute(_SQL["drop_gap"], gap.id)


async def apply_units(connection: Connection, state: asyncpg.Record, op: PutUnits) -> None:
    """Raises `StaleVersion` as `PutUnits` says; `state` is that of a lane which is there and not closed."""
    positions = [seq for unit in op.units for seq in unit.positions]
    gaps = await read_gaps(connection, op.lane)
    rows = await ended_at(connection, op.lane, positions)
    wanted, done = set(positions), set(state["done"])
    ended = wanted.intersection(chain.from_iterable(rows.values()))
    passed = {seq for gap in gaps for seq in wanted if gap.holds(seq)}
    if (
        (state["disabled"] and not op.while_disabled)
        or (op.from_view and wanted - ended - passed)
        or any(seq > state["mark"] and seq not in done for seq in ([] if state["disabled"] else positions))
        or await units_at(connection, op.lane, positions)
    ):
        raise StaleVersion("registration", state["registration_id"])
    for row_id, held in rows.items():
        left = [seq for seq in held if seq not in wanted]
        if len(left) < len(held):
            await take_ended(connection, row_id, left)
    await _leave_gaps(connection, op, gaps, passed)
    await put_units(connection, op.units)
    await connection.execute(_SQL["hand_out"], op.units[0].replay, op.lane, len(positions), op.now_ms)


async def hasten_unit(connection: Connection, state: asyncpg.Record, op: HastenUnit) -> None:
    if not await connection.fetchval(_SQL["hasten_unit"], op.lane, op.unit_id, op.due_ms):
        raise StaleVersion("registration", state["registration_id"])


async def _leave_gaps(connection: Connection, op: PutUnits, gaps: Sequence[GapRow], passed: set[int]) -> None:
    """Cleared ranges are cut off, other positions noted as settled."""
    for first, last in op.cleared:
        for gap in await read_gaps(connection, op.lane):
            low, high = max(first, gap.from_seq), min(last, gap.end)
            if low <= high:
                await cut_gap(connection, op.lane, gap, low, high)
    single = {seq for seq in passed if not any(first <= seq <= last for first, last in op.cleared)}
    if single:
        _, changed = settle_in_gaps(await read_gaps(connection, op.lane) if op.cleared else gaps, single)
        await write_settled(connection, changed)
