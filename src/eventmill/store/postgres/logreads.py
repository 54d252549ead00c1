"""Reads of events, and of the positions in journals. Each asks the database."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence

from eventmill.clock import Clock
from eventmill.core.attempts import seq_mark
from eventmill.model import Lane, OrgId
from eventmill.store.log import EventOutline, Head, LogEntry, LogPage, StoredEvent
from eventmill.store.observe import AttemptBlock
from eventmill.store.postgres.days import DAY_MS, written_day
from eventmill.store.postgres.facts import Facts
from eventmill.store.postgres.packing import count_posting, unpack_lanes, unpack_posting
from eventmill.store.postgres.pages import PageReads
from eventmill.store.postgres.queries import load_queries
from eventmill.store.postgres.reading import Reading

_SQL = load_queries("log")
_POSTINGS_AT_ONCE = 1000


class LogReads(PageReads):
    """The reading half of `EventLog` and `WorkStore` that concerns events."""

    _pool: Reading
    _facts: Facts
    _clock: Clock

    async def shard(self, org: OrgId) -> int:
        return await self._facts.shard(org)

    async def heads(self) -> dict[int, int]:
        row = await self._pool.fetchrow(_SQL["heads"])
        assert row is not None
        return dict(zip(row["ids"], row["heads"], strict=True))

    async def head(self, shard: int) -> Head:
        row = await self._pool.fetchrow(_SQL["head"], shard)
        assert row is not None
        day = (row["last_ts_ms"] or self._clock.now_ms()) // DAY_MS
        return Head(row["generation"], row["head"], written_day(day))

    async def read_log(self, shard: int, after: int, limit: int) -> LogPage:
        day = await self._facts.day_at(shard, after + 1)
        rows = await self._pool.fetch(_SQL["log"], shard, day, after, limit)
        entries = [LogEntry(row["seq"], unpack_lanes(row["lanes"])) for row in rows if row["seq"] is not None]
        return LogPage(entries, rows[0]["epoch"])

    async def lane_page(self, lane: Lane, after: int, limit: int) -> list[int]:
        found = await self._positions("lane_postings", lane, after, limit)
        return [seq for _, seqs in found for seq in seqs]

    async def count_after(self, lane: Lane, after: int, at_most: int) -> int:
        place = await self._facts.lane(lane)
        if place is None:
            return 0
        found = await self._positions("postings", lane, max(after, place.opened), at_most)
        return sum(len(seqs) for _, seqs in found)

    async def count_between(self, lane: Lane, after: int, upto: int) -> int:
        """Of postings that lie within, only the ends are looked at."""
        place = await self._facts.lane(lane)
        if place is None:
            return 0
        after = max(after, place.opened)
        day = await self._facts.day_at(place.shard, after + 1)
        count = 0
        while after < upto:
            rows = await self._pool.fetch(_SQL["postings"], lane, day, after, _POSTINGS_AT_ONCE)
            for at_day, first, last, rest in rows:
                if first > after and last <= upto:
                    count += count_posting(first, last, rest)
                else:
                    count += sum(after < seq <= upto for seq in unpack_posting(first, last, rest))
                after, day = last, at_day
            if len(rows) < _POSTINGS_AT_ONCE:
                break
        return count

    async def seek(self, shard: int, ts_ms: int) -> int:
        found: int | None = await self._pool.fetchval(_SQL["seek"], shard, ts_ms)
        return (await self.head(shard)).seq if found is None else found

    async def fetch(self, shard: int, seqs: Sequence[int]) -> list[StoredEvent]:
        """Events by ascending position; those that expired are missing."""
        found = await self._events(shard, self._facts.known_days_of(shard, seqs))
        if len(found) < len(seqs):  # some expired, or a day began since days were looked at
            found = await self._events(shard, await self._facts.days_of(shard, seqs))
        return found

    async def _events(self, shard: int, days: Mapping[int, Sequence[int]]) -> list[StoredEvent]:
        found: list[StoredEvent] = []
        for day, part in days.items():
            rows = await self._pool.fetch(_SQL["events"], day, shard, part[0], part[-1], part)
            origins = await self._facts.origins_of(row["origin"] for row in rows)
            found += [
                StoredEvent(
                    *(row["seq"], written_day(day), row["ts_ms"], row["event_id"]),
                    *(origins[row["origin"]], row["body"]),
                )
                for row in rows
            ]
        return found

    async def outlines(self, shard: int, seqs: Sequence[int]) -> list[EventOutline]:
        found: list[EventOutline] = []
        for day, part in (await self._facts.days_of(shard, seqs)).items():
            rows = await self._pool.fetch(_SQL["outlines"], day, shard, part[0], part[-1], part)
            origins = await self._facts.origins_of(row["origin"] for row in rows)
            found += [
                EventOutline(
                    *(row["seq"], written_day(day), row["ts_ms"], row["event_id"]),
                    *(origins[row["origin"]], row["body_bytes"]),
                )
                for row in rows
            ]
        return found

    async def find_event(self, org: OrgId, event_id: bytes) -> StoredEvent | None:
        row = await self._pool.fetchrow(_SQL["event_by_id"], event_id, org)
        if row is None:
            return None
        origins = await self._facts.origins_of((row["origin"],))
        return StoredEvent(
            *(row["seq"], written_day(row["day"]), row["ts_ms"], row["event_id"]),
            *(origins[row["origin"]], row["body"]),
        )

    async def attempts(self, lane: Lane, limit: int) -> list[AttemptBlock]:
        return [AttemptBlock(lane, row["block"]) for row in await self._pool.fetch(_SQL["attempts"], lane, limit)]

    async def attempts_at(self, lane: Lane, seq: int) -> list[AttemptBlock]:
        place = await self._facts.lane(lane)
        if place is None:
            return []
        day = await self._facts.day_at(place.shard, seq)
        rows = await self._pool.fetch(_SQL["attempts_with"], lane, day, seq_mark(seq))
        return [AttemptBlock(lane, row["block"]) for row in rows]

    async def _positions(self, query: str, lane: Lane, after: int, limit: int) -> list[tuple[int, list[int]]]:
        """The next positions of a lane by day, `limit` at most."""
        place = await self._facts.lane(lane)
        day = 0 if place is None else await self._facts.day_at(place.shard, after + 1)
        found: list[tuple[int, list[int]]] = []
        left = limit
        while left > 0:
            at_once = min(left, _POSTINGS_AT_ONCE)
            rows = await self._pool.fetch(_SQL[query], lane, day, after, at_once)
            for at_day, first, last, rest in rows:
                seqs = unpack_posting(first, last, rest)
                part = seqs[bisect_right(seqs, after) :][:left] if first <= after else seqs[:left]
                if not found or found[-1][0] != at_day:
                    found.append((at_day, []))
                found[-1][1].extend(part)
                left -= len(part)
                after, day = last, at_day
                if left == 0:
                    break
            if len(rows) < at_once:
                break
        return found
