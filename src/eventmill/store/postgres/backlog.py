"""How long what is still to be delivered has been waiting, lane by lane."""

from __future__ import annotations

from heapq import nsmallest

from asyncpg import Record

from eventmill.model import Lane
from eventmill.store.observe import Backlog, Waiting
from eventmill.store.postgres.logreads import LogReads
from eventmill.store.postgres.packing import unpack_posting
from eventmill.store.postgres.queries import load_queries
from eventmill.store.postgres.reads import StateReads

_SQL, _WORK = load_queries("log"), load_queries("work")


class BacklogReads(LogReads, StateReads):
    async def backlog(self, limit: int) -> Backlog:
        waiting = [
            each for row in await self._pool.fetch(_WORK["waiting_lanes"], None) if (each := await self._first(row))
        ]
        found: dict[Lane, Waiting] = {}
        units = 0
        for lane, registration_id, since_ms in waiting:
            found[lane] = Waiting(lane, registration_id, since_ms)
        for lane, registration_id, count, first_ms in await self._pool.fetch(_WORK["waiting_units"]):
            units += count
            if lane not in found or first_ms < found[lane].since_ms:
                found[lane] = Waiting(lane, registration_id, first_ms)
        return Backlog(units, tuple(nsmallest(limit, found.values(), key=lambda each: each.since_ms)))

    async def waiting_since(self, lane: Lane) -> int | None:
        row = await self._pool.fetchrow(_WORK["waiting_lanes"], lane)
        first = None if row is None else await self._first(row)
        times = [await self._pool.fetchval(_WORK["first_unit"], lane), None if first is None else first[2]]
        return min((at_ms for at_ms in times if at_ms is not None), default=None)

    async def _first(self, row: Record) -> tuple[Lane, str, int] | None:
        """The first position above a lane's mark that is not settled: lane, registration, time. A lane's gaps lie below
        its mark while it pushes."""
        mark, done, day = row["mark"], set(row["done"]), row["day"]
        posting = unpack_posting(row["first_seq"], row["last_seq"], row["rest"])
        seq = next((seq for seq in posting if seq > mark and seq not in done), None)
        if seq is None:
            found = await self._positions("lane_postings", row["lane"], mark, len(done) + 1)
            day, seq = next(((day, seq) for day, seqs in found for seq in seqs if seq not in done), (0, None))
        since_ms = None if seq is None else await self._pool.fetchval(_SQL["time_of"], day, row["shard"], seq)
        return None if since_ms is None else (row["lane"], row["registration_id"], since_ms)
