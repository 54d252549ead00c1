"""How long what is still to be delivered has been waiting, lane by lane."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import nsmallest

import msgspec
from asyncpg import Record

from eventmill.model import Lane
from eventmill.store.observe import Backlog, Waiting
from eventmill.store.postgres.logreads import LogReads
from eventmill.store.postgres.packing import unpack_posting
from eventmill.store.postgres.queries import load_queries
from eventmill.store.postgres.reads import StateReads

_SQL, _WORK = load_queries("log"), load_queries("work")


class First(msgspec.Struct, frozen=True):
    """The first position above a lane's mark that is not settled."""

    lane: Lane
    registration_id: str
    day: int
    shard: int
    seq: int


class BacklogReads(LogReads, StateReads):
    async def backlog(self, limit: int) -> Backlog:
        found: dict[Lane, Waiting] = {}
        for first, since_ms in await self._waiting(await self._pool.fetch(_WORK["waiting_lanes"])):
            found[first.lane] = Waiting(first.lane, first.registration_id, since_ms)
        units = 0
        for lane, registration_id, count, first_ms in await self._pool.fetch(_WORK["waiting_units"]):
            units += count
            if lane not in found or first_ms < found[lane].since_ms:
                found[lane] = Waiting(lane, registration_id, first_ms)
        return Backlog(units, tuple(nsmallest(limit, found.values(), key=lambda each: each.since_ms)))

    async def waiting_since(self, lane: Lane) -> int | None:
        waiting = await self._waiting(await self._pool.fetch(_WORK["waiting_lane"], lane))
        first_ms: int | None = await self._pool.fetchval(_WORK["first_unit"], lane)
        return min([since_ms for _, since_ms in waiting] + ([] if first_ms is None else [first_ms]), default=None)

    async def _waiting(self, rows: Sequence[Record]) -> list[tuple[First, int]]:
        """With the time since when. The times of all are one question, however many they are."""
        firsts = [first for row in rows if (first := await self._first(row)) is not None]
        if not firsts:
            return []
        places = zip(*[(first.day, first.shard, first.seq) for first in firsts], strict=True)
        times = [row["ts_ms"] for row in await self._pool.fetch(_SQL["times_of"], *places)]
        return [(first, at_ms) for first, at_ms in zip(firsts, times, strict=True) if at_ms is not None]

    async def _first(self, row: Record) -> First | None:
        """A lane's gaps lie below its mark while it pushes."""
        mark, done, day = row["mark"], set(row["done"]), row["day"]
        posting = unpack_posting(row["first_seq"], row["last_seq"], row["rest"])
        seq = next((seq for seq in posting if seq > mark and seq not in done), None)
        if seq is None:
            found = await self._positions("lane_postings", row["lane"], mark, len(done) + 1)
            day, seq = next(((day, seq) for day, seqs in found for seq in seqs if seq not in done), (0, None))
        return None if seq is None else First(row["lane"], row["registration_id"], day, row["shard"], seq)
