"""Retention: what must be on record before the tables of a day are dropped. Nothing expires unseen.

Inside one transaction of the caller's, which drops the tables too: whoever reads sees the day with its records missing,
or the records without the day.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import AsyncIterator, Collection

import asyncpg
import structlog

from eventmill import telemetry
from eventmill.model import Lane
from eventmill.store.postgres.audit import ends_of, note_happenings
from eventmill.store.postgres.connect import Connection
from eventmill.store.postgres.days import DAY_MS
from eventmill.store.postgres.packing import unpack_posting
from eventmill.store.postgres.queries import load_queries
from eventmill.store.postgres.recovery import cut_gap, read_gaps
from eventmill.store.postgres.rows import array
from eventmill.store.postgres.units import ENDED_POSITIONS_MAX, insert_ended
from eventmill.store.work import PULLED, Ended

_log = structlog.get_logger()
_SQL = load_queries("retention")
_POSTINGS_AT_ONCE = 1000


class Expiry:
    def __init__(self, connection: Connection, before_ms: int, now_ms: int) -> None:
        self._connection = connection
        self._before_ms = before_ms
        self._now_ms = now_ms
        self.expired = 0
        """Positions that were recorded so."""

    async def run(self) -> int:
        """Drop the oldest days whose last event is older than asked, and records that are as old. Returns how many
        days with events were dropped."""
        await self._connection.execute(_SQL["one_at_a_time"])
        passed: list[int] = []
        empty: list[int] = []
        for day in [row[0] for row in await self._connection.fetch(_SQL["days"])]:
            newest = await self._newest(day)
            if newest is None:
                if (day + 1) * DAY_MS <= self._before_ms:
                    empty.append(day)
                continue
            if newest >= self._before_ms:
                break
            await self._pass(day)
            passed.append(day)
        await self._prune()
        # Last of all: from here to the commit nobody can append.
        await self._connection.execute(_SQL["wait_little"])
        for day in (*empty, *passed):
            await self._connection.execute(_SQL["drop_day"], day)
        return len(passed)

    async def _newest(self, day: int) -> int | None:
        newest: int | None = await self._connection.fetchval(_SQL["newest"], day)
        return newest

    async def _pass(self, day: int) -> None:
        """Have everything move past the day that stands in it."""
        # Nothing may be appended to the day from here on; shards that are in it begin it anew.
        await self._connection.execute(_SQL["lock_shards_of"], day)
        lasts = {row["lane"]: row["last_seq"] for row in await self._connection.fetch(_SQL["lock_lanes_of"], day)}
        for row in await self._connection.fetch(_SQL["pass_lanes"], list(lasts), list(lasts.values()), PULLED):
            del lasts[row["lane"]]
        for lane, last_seq in lasts.items():
            await self._pass_lane(lane, day, last_seq)
        await self._end_lost_units(day)
        await self._connection.execute(_SQL["pass_shards"], day)
        await self._connection.execute(_SQL["begin_anew"], day)
        await self._connection.execute(_SQL["forget_day"], day)
        await self._connection.execute(_SQL["forget_bytes"], day)
        await self._connection.execute(_SQL["forget_audited"])

    async def _pass_lane(self, lane: Lane, day: int, last_seq: int) -> None:
        """Floor and mark move past `last_seq`; what was still to be pushed below it, or passed in a gap and could be
        replayed until now, is recorded as expired."""
        state = await self._connection.fetchrow(_SQL["lock_lane"], lane)
        if state is None or last_seq <= state["opened"]:
            return
        if state["gapped"]:
            await self._pass_gaps(state, day, last_seq)
        mark, done = state["mark"], state["done"]
        if mark < last_seq and not state["disabled"] and not state["closed"]:
            await self._record(state, day, range(mark + 1, last_seq + 1), done)
        kept = array([seq for seq in done if seq > last_seq])
        await self._connection.execute(_SQL["pass_lane"], lane, last_seq, kept)

    async def _pass_gaps(self, state: asyncpg.Record, day: int, last_seq: int) -> None:
        for gap in await read_gaps(self._connection, state["lane"]):
            last = min(gap.end, last_seq)
            if gap.from_seq > last or gap.cause == PULLED:
                continue
            await self._record(state, day, range(gap.from_seq, last + 1), gap.settled)
            await cut_gap(self._connection, state["lane"], gap, gap.from_seq, last)

    async def _record(self, state: asyncpg.Record, day: int, within: range, settled: Collection[int]) -> None:
        """The lane's positions of the day that nothing has settled, as expired."""
        count = 0
        async for positions in self._unsettled(state["lane"], day, within, frozenset(settled)):
            ended = Ended(positions, "expired", 0, self._now_ms)
            await insert_ended(self._connection, [(state["lane"], ended)])
            await note_happenings(self._connection, list(ends_of(ended, state["shard"], state["registration_id"])))
            count += len(positions)
        self.expired += count
        if count:
            _log.warning(telemetry.EVENTS_EXPIRED, registration=state["registration_id"], count=count)

    async def _unsettled(
        self, lane: Lane, day: int, within: range, settled: frozenset[int]
    ) -> AsyncIterator[tuple[int, ...]]:
        """In rows of bounded size."""
        pending: list[int] = []
        after = within.start - 1
        while True:
            rows = await self._connection.fetch(_SQL["postings"], day, lane, after, _POSTINGS_AT_ONCE)
            for first, last, rest in rows:
                seqs = unpack_posting(first, last, rest)
                fresh = seqs[bisect_right(seqs, after) :]
                pending.extend(seq for seq in fresh if seq in within and seq not in settled)
                after = last
            while len(pending) >= ENDED_POSITIONS_MAX:
                yield tuple(pending[:ENDED_POSITIONS_MAX])
                del pending[:ENDED_POSITIONS_MAX]
            if len(rows) < _POSTINGS_AT_ONCE or after >= within.stop:
                break
        if pending:
            yield tuple(pending)

    async def _end_lost_units(self, day: int) -> None:
        """A unit ends when any of its events is gone: its membership never changes."""
        for row in await self._connection.fetch(_SQL["end_units_of"], day):
            ended = Ended(tuple(row["positions"]), "expired", row["cause"], self._now_ms, row["replay"])
            await insert_ended(self._connection, [(Lane(row["lane"]), ended)])
            await note_happenings(self._connection, list(ends_of(ended, row["shard"], row["registration_id"])))
            self.expired += len(ended.positions)

    async def _prune(self) -> None:
        """Records that are as old as the events they speak of may be."""
        for query in ("drop_old_ended", "drop_old_tallies", "drop_old_replay_tallies", "drop_old_gaps"):
            await self._connection.execute(_SQL[query], self._before_ms)
