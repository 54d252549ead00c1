"""Puts on record what expires with a day, inside one transaction: positions of lanes, units. Nothing commits here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import asyncpg
import msgspec
import structlog

from eventmill import telemetry
from eventmill.model import Lane
from eventmill.store.postgres.audit import Happening, ends_of, note_happenings
from eventmill.store.postgres.connect import Connection
from eventmill.store.postgres.packing import unpack_posting
from eventmill.store.postgres.queries import load_queries
from eventmill.store.postgres.recovery import GapRow, cut_gap, read_gap
from eventmill.store.postgres.units import ENDED_POSITIONS_MAX, insert_ended
from eventmill.store.work import PULLED, Ended

_log = structlog.get_logger()
_SQL, _WORK = load_queries("retention"), load_queries("work")
_POSTINGS_AT_ONCE = 1000
_POSITIONS_AT_ONCE = 4 * ENDED_POSITIONS_MAX


class Span(msgspec.Struct):
    """Positions of a lane of which those expire that nothing has settled."""

    within: range
    settled: Collection[int]
    pending: list[int] = msgspec.field(default_factory=list)

    def add(self, seqs: Sequence[int]) -> None:
        self.pending += [seq for seq in seqs if seq in self.within and seq not in self.settled]


class Records:
    """Ends on their way to the tables, few at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._ended: list[tuple[Lane, Ended]] = []
        self._happenings: list[Happening] = []
        self._waiting = 0
        self.count = 0
        """Positions in all."""

    async def add(self, state: asyncpg.Record, ended: Ended) -> None:
        """`state`: of the lane, or of the unit with its lane's shard and registration."""
        self._ended.append((Lane(state["lane"]), ended))
        self._happenings += ends_of(ended, state["shard"], state["registration_id"])
        self._waiting += len(ended.positions)
        self.count += len(ended.positions)
        if self._waiting >= _POSITIONS_AT_ONCE:
            await self.flush()

    async def flush(self) -> None:
        await insert_ended(self._connection, self._ended)
        await note_happenings(self._connection, self._happenings)
        self._ended, self._happenings, self._waiting = [], [], 0


async def expire_lanes(connection: Connection, day: int, lasts: Mapping[Lane, int], now_ms: int) -> int:
    """Floor and mark of lanes move past their last position in the day; what was still to be pushed up to there, or
    passed in a gap and could be replayed until now, is recorded as expired. Returns how many positions."""
    states = {
        Lane(row["lane"]): row
        for row in await connection.fetch(_SQL["lock_lanes"], list(lasts))
        if lasts[Lane(row["lane"])] > max(row["opened"], row["floor"])
    }
    if not states:
        return 0
    gaps = await _gaps_of(connection, [lane for lane, state in states.items() if state["gapped"]])
    spans: dict[Lane, list[Span]] = {}
    for lane, state in states.items():
        found = [Span(_within(gap, lasts[lane]), gap.settled) for gap in gaps.get(lane, ())]
        if state["mark"] < lasts[lane] and not state["disabled"] and not state["closed"]:
            found.append(Span(range(state["mark"] + 1, lasts[lane] + 1), frozenset(state["done"])))
        spans[lane] = [span for span in found if span.within]
    count = await _record(connection, day, states, spans, now_ms)
    for lane, each in gaps.items():
        for gap in each:
            if within := _within(gap, lasts[lane]):
                await cut_gap(connection, lane, gap, within.start, within.stop - 1)
    await connection.execute(_SQL["pass_recorded"], list(states), [lasts[lane] for lane in states])
    return count


async def end_units(connection: Connection, ends: Mapping[int, int], now_ms: int) -> int:
    """Units of shards that begin with a position up to those given. A unit ends when any of its events is gone: its
    membership never changes."""
    upto = (list(ends), list(ends.values()))
    await connection.execute(_SQL["lock_lanes_of_units"], *upto)
    records = Records(connection)
    for row in await connection.fetch(_SQL["end_units"], *upto):
        await records.add(row, Ended(tuple(row["positions"]), "expired", row["cause"], now_ms, row["replay"]))
    await records.flush()
    return records.count


async def _record(
    connection: Connection,
    day: int,
    states: Mapping[Lane, asyncpg.Record],
    spans: Mapping[Lane, Sequence[Span]],
    now_ms: int,
) -> int:
    """The positions of the day in the spans, in rows of bounded size."""
    records, counts = Records(connection), Counter[Lane]()

    async def put(lane: Lane, span: Span) -> None:
        for at in range(0, len(span.pending), ENDED_POSITIONS_MAX):
            part = tuple(span.pending[at : at + ENDED_POSITIONS_MAX])
            await records.add(states[lane], Ended(part, "expired", 0, now_ms))
            counts[lane] += len(part)
        span.pending.clear()

    lanes = [lane for lane, each in spans.items() if each]
    afters = [min(span.within.start for span in spans[lane]) - 1 for lane in lanes]
    postings = connection.cursor(_SQL["postings"], day, lanes, afters, prefetch=_POSTINGS_AT_ONCE)
    async for lane, first, last, rest in postings:
        seqs = unpack_posting(first, last, rest)
        for span in spans[lane]:
            span.add(seqs)
            if len(span.pending) >= ENDED_POSITIONS_MAX:
                await put(lane, span)
    for lane in lanes:
        for span in spans[lane]:
            await put(lane, span)
    await records.flush()
    for lane, count in counts.items():
        _log.warning(telemetry.EVENTS_EXPIRED, registration=states[lane]["registration_id"], count=count)
    return records.count


async def _gaps_of(connection: Connection, lanes: Sequence[Lane]) -> dict[Lane, list[GapRow]]:
    """Those in which something was missed."""
    gaps: dict[Lane, list[GapRow]] = {}
    for lane, *gap in await connection.fetch(_WORK["gaps_of"], lanes) if lanes else ():
        row = read_gap(gap)
        if row.cause != PULLED:
            gaps.setdefault(Lane(lane), []).append(row)
    return gaps


def _within(gap: GapRow, last_seq: int) -> range:
    return range(gap.from_seq, min(gap.end, last_seq) + 1)
