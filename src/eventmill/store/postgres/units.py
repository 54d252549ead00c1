"""Rows of units and of ended ones: written many at a time, and found by the positions they hold."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Protocol

import asyncpg

from eventmill.model import Lane
from eventmill.store.observe import EndedPosition
from eventmill.store.postgres.connect import Connection
from eventmill.store.postgres.queries import load_queries
from eventmill.store.postgres.rows import array, put_rows
from eventmill.store.work import Ended, EndedOutcome, RetryUnit

_SQL = load_queries("work")

ENDED_POSITIONS_MAX = 4096
"""Positions of one `ended` row; longer ranges take several rows."""
_ROWS_AT_ONCE = 500


class Asked(Protocol):
    """A connection, or what reads over a pool."""

    async def fetch(self, query: str, *values: Any) -> list[asyncpg.Record]: ...

    async def fetchval(self, query: str, *values: Any) -> Any: ...


async def put_units(connection: Connection, units: Iterable[RetryUnit]) -> None:
    await put_rows(connection, _SQL["put_units"], [_unit_row(unit) for unit in units])


async def insert_ended(connection: Connection, ended: Sequence[tuple[Lane, Ended]]) -> None:
    """Records ends, and counts those of replays with their replay."""
    rows = [row for lane, each in ended for row in _ended_rows(lane, each)]
    await put_rows(connection, _SQL["insert_ended"], rows)
    failed: Counter[bytes] = Counter()
    for _, each in ended:
        if each.replay:
            failed[each.replay] += len(each.positions)
    if failed:
        at_ms = max(each.at_ms for _, each in ended)
        tallies = [(replay, count, at_ms) for replay, count in sorted(failed.items())]
        await put_rows(connection, _SQL["fail_of_replays"], tallies)


def read_unit(row: asyncpg.Record) -> RetryUnit:
    unit_id, lane, positions, *rest = row
    return RetryUnit(unit_id, lane, tuple(positions), *rest)


async def units_at(asked: Asked, lane: Lane, positions: Sequence[int]) -> list[RetryUnit]:
    """Units that hold any of the positions, which ascend."""
    if not positions:
        return []
    rows = await asked.fetch(_SQL["units_at"], lane, list(positions), positions[0], positions[-1])
    wanted = frozenset(positions)
    return [unit for unit in map(read_unit, rows) if not wanted.isdisjoint(unit.positions)]


async def ended_at(asked: Asked, lane: Lane, positions: Sequence[int]) -> Mapping[int, Sequence[int]]:
    """The `ended` rows that may hold any of the positions, which ascend: id -> all positions of the row."""
    rows = await asked.fetch(_SQL["ended_at"], lane, list(positions), positions[0], positions[-1])
    return {row["id"]: row["positions"] for row in rows}


async def take_ended(connection: Connection, row_id: int, left: Sequence[int]) -> None:
    """Leave these positions in the row; it goes when there are none."""
    if left:
        values = (list(left), min(left), max(left) - min(left), len(left))
        await connection.execute(_SQL["take_ended"], row_id, *values)
    else:
        await connection.execute(_SQL["end_view"], row_id)


async def ended_after(asked: Asked, lane: Lane, after: int, limit: int) -> list[EndedPosition]:
    """The lowest positions above `after`, ascending. Rows come by their first position, and may overlap."""
    open_rows: list[tuple[int, int, EndedPosition]] = []
    found: list[EndedPosition] = []
    number = 0
    async for first_seq, _, positions, outcome, cause, at_ms, replay in _ended_rows_from(asked, lane, after):
        _settle_below(first_seq, open_rows, found)
        if len(found) >= limit:
            return found[:limit]
        for seq in positions:
            if seq > after:
                number += 1
                heapq.heappush(open_rows, (seq, number, EndedPosition(seq, outcome, cause, at_ms, replay)))
    _settle_below(1 << 63, open_rows, found)
    return found[:limit]


async def count_ended(asked: Asked, lane: Lane, after: int, upto: int) -> dict[EndedOutcome, int]:
    """Rows within (after, upto] by their sizes, those across its ends by their positions."""
    counts: Counter[EndedOutcome] = Counter()
    for row in await asked.fetch(_SQL["count_ended"], lane, after, upto):
        counts[row["outcome"]] += row["positions"]
    longest = await asked.fetchval(_SQL["longest_ended"], lane)
    if longest is not None:
        across = {}
        for at in (after, upto):
            for row in await asked.fetch(_SQL["ended_across"], lane, at - longest - 1, at):
                across[row["id"]] = row
        for row in across.values():
            counts[row["outcome"]] += sum(after < seq <= upto for seq in row["positions"])
    return {outcome: count for outcome, count in counts.items() if count}


async def _ended_rows_from(asked: Asked, lane: Lane, after: int) -> AsyncIterator[asyncpg.Record]:
    """All that hold a position above `after`, by their first ones."""
    longest = await asked.fetchval(_SQL["longest_ended"], lane) or 0
    first_seq, row_id = after - longest, 0
    while True:
        rows = await asked.fetch(_SQL["ended_from"], lane, first_seq, row_id, after, _ROWS_AT_ONCE)
        for row in rows:
            yield row
        if len(rows) < _ROWS_AT_ONCE:
            return
        first_seq, row_id = rows[-1]["first_seq"], rows[-1]["id"]


def _settle_below(first_seq: int, open_rows: list[tuple[int, int, EndedPosition]], found: list[EndedPosition]) -> None:
    """Nothing that comes later lies below `first_seq`."""
    while open_rows and open_rows[0][0] < first_seq:
        each = heapq.heappop(open_rows)[2]
        if not found or found[-1].seq != each.seq:
            found.append(each)


def _unit_row(unit: RetryUnit) -> tuple[object, ...]:
    first, last = min(unit.positions), max(unit.positions)
    return (
        *(unit.unit_id, unit.lane, first, last - first, unit.first_ms, unit.due_ms, len(unit.positions)),
        *(unit.retries, unit.cause, unit.batch, unit.replay, array(unit.positions)),
    )


def _ended_rows(lane: Lane, ended: Ended) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for at in range(0, len(ended.positions), ENDED_POSITIONS_MAX):
        part = ended.positions[at : at + ENDED_POSITIONS_MAX]
        first, last = min(part), max(part)
        row = (lane, first, last - first, ended.at_ms, len(part), ended.cause, ended.outcome, ended.replay)
        rows.append((*row, array(part)))
    return rows
