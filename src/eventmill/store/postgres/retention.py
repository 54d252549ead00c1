"""Retention: what must be on record before the tables of a day are dropped. Nothing expires unseen.

First each lane moves past the day, in short transactions: from then on its journal begins after the day, though the
tables are there for a moment more. Then the day is dropped in a transaction of its own, which publishers hardly notice.
Each step finds what the one before has left, so that a pass that was cut off is gone on with by the next one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from eventmill.errors import StoreUnavailable
from eventmill.model import Lane
from eventmill.store.postgres.channel import Channel
from eventmill.store.postgres.connect import Connection
from eventmill.store.postgres.days import DAY_MS
from eventmill.store.postgres.expiring import end_units, expire_lanes
from eventmill.store.postgres.queries import load_queries
from eventmill.store.postgres.reading import Reading
from eventmill.store.work import PULLED

_SQL = load_queries("retention")
_LANES_AT_ONCE = 2000
"""As many are locked in one statement: delivery waits for it."""
_RECORDED_AT_ONCE = 100
_ROUNDS = 5
"""How often a day is passed anew because something was appended to it: clocks were set back."""
_LOCK_WAITS_MS = (25, 50, 50, 100, 100, 200, 400)
"""Each try to lock the tables of all events holds up who publishes for so long at most. A dump would for hours."""

_APPENDED_TO, _DROPPED, _GONE_BEFORE = range(3)
"""How dropping a day ends; the last: another node was faster."""


class Expiry:
    """One pass. Lanes that need no record are passed over the pool, where a statement may be repeated; what counts is
    done over the channel, exactly once."""

    def __init__(self, pool: Reading, channel: Channel, before_ms: int, now_ms: int) -> None:
        self._pool = pool
        self._channel = channel
        self._before_ms = before_ms
        self._now_ms = now_ms
        self.dropped = 0
        """Days with events."""
        self.expired = 0
        """Positions that were recorded so."""

    async def run(self) -> None:
        """Drop the oldest days whose last event is older than asked, and records that are as old.

        Raises `StoreUnavailable`, also when something uses the tables for long; what was done until then is done."""
        for day in [row[0] for row in await self._pool.fetch(_SQL["days"])]:
            if not await self._retire(day):
                break
        fallen = {row["id"]: row["seq"] for row in await self._pool.fetch(_SQL["fallen_shards"])}
        if fallen:
            await self._count(partial(self._pass_shards, fallen=fallen))
        await self._channel.run(self._prune)

    async def _retire(self, day: int) -> bool:
        """Whether later days may follow."""
        for _ in range(_ROUNDS):
            rows = await self._pool.fetch(_SQL["ends_of"], day)
            ends = {row["shard"]: row["seq"] for row in rows}
            if max((row["ts_ms"] for row in rows), default=(day + 1) * DAY_MS - 1) >= self._before_ms:
                return not rows
            if rows:
                await self._pass(day, ends)
            outcome = await self._drop(day, ends)
            if outcome != _APPENDED_TO:
                self.dropped += bool(rows) and outcome == _DROPPED
                return True
        return False

    async def _pass(self, day: int, ends: Mapping[int, int]) -> None:
        """Have everything move past the day that stands in it."""
        rows = await self._pool.fetch(_SQL["lanes_of"], day)
        left: dict[Lane, int] = {}
        for at in range(0, len(rows), _LANES_AT_ONCE):
            part = {row["lane"]: row["last_seq"] for row in rows[at : at + _LANES_AT_ONCE]}
            for row in await self._pool.fetch(_SQL["pass_lanes"], list(part), list(part.values()), PULLED):
                del part[row["lane"]]
            left |= part
        lanes = list(left)
        for at in range(0, len(lanes), _RECORDED_AT_ONCE):
            lasts = {lane: left[lane] for lane in lanes[at : at + _RECORDED_AT_ONCE]}
            await self._count(partial(expire_lanes, day=day, lasts=lasts, now_ms=self._now_ms))
        await self._count(partial(end_units, ends=ends, now_ms=self._now_ms))

    async def _drop(self, day: int, ends: Mapping[int, int]) -> int:
        """One of the outcomes above."""
        waits_ms = iter(_LOCK_WAITS_MS)

        async def drop(connection: Connection) -> Sequence[int]:
            wait_ms = next(waits_ms, None)
            if wait_ms is None:
                raise StoreUnavailable("something uses the tables of a day that is over, which go later")
            await connection.execute(_SQL["wait_at_most"], f"{wait_ms}ms")
            done = await connection.fetchval(_SQL["retire_day"], day, list(ends), list(ends.values()))
            return [_GONE_BEFORE if done is None else _DROPPED if done else _APPENDED_TO]

        return (await self._channel.run(drop))[0]

    async def _pass_shards(self, connection: Connection, fallen: Mapping[int, int]) -> int:
        """What days that are gone have left behind."""
        expired = await end_units(connection, fallen, self._now_ms)
        await connection.execute(_SQL["forget_audited"], list(fallen), list(fallen.values()))
        # Last of all: who appends to these shards waits from here to the commit.
        await connection.execute(_SQL["pass_shards"], list(fallen), list(fallen.values()))
        return expired

    async def _prune(self, connection: Connection) -> Sequence[int]:
        """Records that are as old as the events they speak of may be."""
        for query in ("drop_old_ended", "drop_old_tallies", "drop_old_replay_tallies", "drop_old_gaps"):
            await connection.execute(_SQL[query], self._before_ms)
        return []

    async def _count(self, record: Callable[[Connection], Awaitable[int]]) -> None:
        """In one transaction; it answers how many positions it has recorded as expired."""

        async def work(connection: Connection) -> Sequence[int]:
            return [await record(connection)]

        self.expired += (await self._channel.run(work))[0]
