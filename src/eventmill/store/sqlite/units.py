"""Rows of units and of ended ones: written many at a time, and found by the positions they hold.

Most hold a single position, and are found by it. Those of batches reach on from their first one, so that all are looked
at which begin no further below than the longest of the lane is long.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from eventmill.model import Lane
from eventmill.store.observe import EndedPosition
from eventmill.store.sqlite.packing import pack_seqs, unpack_seqs
from eventmill.store.sqlite.queries import InList, ManyRows, load_queries
from eventmill.store.work import Ended, EndedOutcome, RetryUnit

_SQL = load_queries("state")
_PUT_UNITS = ManyRows(_SQL["put_units"], 12)
_END_UNITS = InList(_SQL["end_units"])
_UNITS_AT = InList(_SQL["units_at"])
_INSERT_ENDED = ManyRows(_SQL["insert_ended"], 9)
_ENDED_AT = InList(_SQL["ended_at"])

ENDED_POSITIONS_MAX = 4096
"""Positions of one `ended` row; longer ranges take several rows."""


def put_units(connection: sqlite3.Connection, units: Iterable[RetryUnit]) -> None:
    _PUT_UNITS.run(connection, [_unit_row(unit) for unit in units])


def end_units(connection: sqlite3.Connection, unit_ids: Sequence[bytes]) -> None:
    for at in range(0, len(unit_ids), InList.BATCH):
        _END_UNITS.run(connection, unit_ids[at : at + InList.BATCH])


def insert_ended(connection: sqlite3.Connection, ended: Sequence[tuple[Lane, Ended]]) -> None:
    """Records ends, and counts those of replays with their replay."""
    _INSERT_ENDED.run(connection, [row for lane, each in ended for row in _ended_rows(lane, each)])
    failed: Counter[bytes] = Counter()
    for _, each in ended:
        if each.replay:
            failed[each.replay] += len(each.positions)
    if failed:
        at_ms = max(each.at_ms for _, each in ended)
        connection.executemany(_SQL["fail_of_replay"], [(count, at_ms, replay) for replay, count in failed.items()])


def read_unit(lane: Lane, row: Sequence[Any]) -> RetryUnit:
    unit_id, positions, batch, first_ms, retries, due_ms, cause, replay = row
    return RetryUnit(
        unit_id, lane, tuple(unpack_seqs(positions)), bool(batch), first_ms, retries, due_ms, cause, replay
    )


def units_at(connection: sqlite3.Connection, lane: Lane, positions: Sequence[int]) -> list[RetryUnit]:
    """Units that hold any of the positions, which ascend."""
    rows = _rows_at(connection, lane, positions, _UNITS_AT)
    longest = connection.execute(_SQL["longest_unit"], (lane,)).fetchone()[0]
    for low, high in _reaches(positions, longest):
        rows += connection.execute(_SQL["units_spanning"], (lane, low, high))
    wanted = frozenset(positions)
    found = {row[0]: read_unit(lane, row) for row in rows}
    return [unit for unit in found.values() if not wanted.isdisjoint(unit.positions)]


def ended_at(connection: sqlite3.Connection, lane: Lane, positions: Sequence[int]) -> Mapping[int, Sequence[int]]:
    """The `ended` rows that may hold any of the positions, which ascend: id -> all positions of the row."""
    rows = _rows_at(connection, lane, positions, _ENDED_AT)
    for low, high in _reaches(positions, _longest_ended(connection, lane)):
        rows += connection.execute(_SQL["ended_spanning"], (lane, low, high))
    return {row_id: unpack_seqs(blob) for row_id, blob in rows}


def take_ended(connection: sqlite3.Connection, row_id: int, left: Sequence[int]) -> None:
    """Leave these positions in the row; it goes when there are none."""
    if left:
        values = (pack_seqs(left), min(left), max(left) - min(left), len(left), row_id)
        connection.execute(_SQL["take_ended"], values)
    else:
        connection.execute(_SQL["end_view"], (row_id,))


def ended_after(connection: sqlite3.Connection, lane: Lane, after: int, limit: int) -> list[EndedPosition]:
    """The lowest positions above `after`, ascending. Rows come by their first position, and may overlap."""
    longest = _longest_ended(connection, lane) or 0
    open_rows: list[tuple[int, int, EndedPosition]] = []
    found: list[EndedPosition] = []
    rows = connection.execute(_SQL["ended_from"], (lane, after - longest - 1, after))
    for number, (first_seq, positions, outcome, cause, at_ms, replay) in enumerate(rows):
        _settle_below(first_seq, open_rows, found)
        if len(found) >= limit:
            break
        for seq in unpack_seqs(positions):
            if seq > after:
                heapq.heappush(open_rows, (seq, number, EndedPosition(seq, outcome, cause, at_ms, replay)))
    else:
        _settle_below(1 << 63, open_rows, found)
    return found[:limit]


def count_ended(connection: sqlite3.Connection, lane: Lane, after: int, upto: int) -> dict[EndedOutcome, int]:
    """Rows within (after, upto] by their sizes, those across its ends by their positions."""
    sums = connection.execute(_SQL["count_ended"], (lane, after, upto, upto)).fetchone()
    outcomes: tuple[EndedOutcome, ...] = ("refused", "gave_up", "expired")
    counts: Counter[EndedOutcome] = Counter(dict(zip(outcomes, (number or 0 for number in sums), strict=True)))
    longest = _longest_ended(connection, lane)
    if longest is not None:
        across: list[Any] = []
        for at in (after, upto):
            across += connection.execute(_SQL["ended_across"], (lane, at - longest - 1, at))
        for positions, outcome in {row[0]: row[1:] for row in across}.values():
            counts[outcome] += sum(after < seq <= upto for seq in unpack_seqs(positions))
    return {outcome: count for outcome, count in counts.items() if count}


def _settle_below(first_seq: int, open_rows: list[tuple[int, int, EndedPosition]], found: list[EndedPosition]) -> None:
    """Nothing that comes later lies below `first_seq`."""
    while open_rows and open_rows[0][0] < first_seq:
        each = heapq.heappop(open_rows)[2]
        if not found or found[-1].seq != each.seq:
            found.append(each)


def _rows_at(
    connection: sqlite3.Connection, lane: Lane, positions: Sequence[int], query: InList
) -> list[tuple[Any, ...]]:
    return [
        row
        for at in range(0, len(positions), InList.BATCH)
        for row in query.run(connection, positions[at : at + InList.BATCH], lane)
    ]


def _reaches(positions: Sequence[int], longest: int | None) -> list[tuple[int, int]]:
    """Where rows that hold several positions may begin, to hold one of these."""
    ranges: list[tuple[int, int]] = []
    if longest is None:
        return ranges
    for seq in positions:
        if ranges and seq - longest <= ranges[-1][1]:
            ranges[-1] = (ranges[-1][0], seq)
        else:
            ranges.append((seq - longest, seq))
    return ranges


def _longest_ended(connection: sqlite3.Connection, lane: Lane) -> int | None:
    longest: int | None = connection.execute(_SQL["longest_ended"], (lane,)).fetchone()[0]
    return longest


def _unit_row(unit: RetryUnit) -> tuple[object, ...]:
    first, last = min(unit.positions), max(unit.positions)
    return (
        unit.unit_id,
        unit.lane,
        pack_seqs(unit.positions),
        first,
        unit.batch,
        unit.first_ms,
        unit.retries,
        unit.due_ms,
        unit.cause,
        unit.replay,
        last - first,
        len(unit.positions),
    )


def _ended_rows(lane: Lane, ended: Ended) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for at in range(0, len(ended.positions), ENDED_POSITIONS_MAX):
        part = ended.positions[at : at + ENDED_POSITIONS_MAX]
        first, last = min(part), max(part)
        row = (lane, pack_seqs(part), ended.outcome, ended.cause, ended.at_ms, ended.replay)
        rows.append((*row, first, last - first, len(part)))
    return rows
