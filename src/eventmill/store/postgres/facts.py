"""What a node knows of the database and never changes there: shards of organizations, days of shards, origins of
events, where lanes begin. And the sizes of what is stored, which follow within seconds."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Sequence

import msgspec

from eventmill.model import Lane, OrgId, Origin
from eventmill.store.log import NewEvent
from eventmill.store.postgres.queries import load_queries
from eventmill.store.postgres.reading import Reading

_SQL = load_queries("log")
_LANES_KEPT = 100_000
_DECODER = msgspec.msgpack.Decoder(Origin)


class LanePlace(msgspec.Struct, frozen=True):
    shard: int
    opened: int
    """Head when the lane began: its journal lies above."""


class Facts:
    def __init__(self, pool: Reading) -> None:
        self._pool = pool
        self.shards: dict[OrgId, int] = {}
        self.origins: dict[Origin, int] = {}
        self._origin_of: dict[int, Origin] = {}
        self._lanes: dict[Lane, LanePlace] = {}
        self._days: dict[int, tuple[list[int], list[int]]] = {}
        """Shard -> first positions of its days, ascending, and those days."""
        self.stored_bytes: dict[OrgId, int] = {}

    async def learn(self, events: Sequence[NewEvent]) -> None:
        """The shards of the events' organizations and the numbers of their origins, made when there are none."""
        for org in {event.org for event in events} - self.shards.keys():
            await self.shard(org)
        for origin in {event.origin for event in events} - self.origins.keys():
            blob = msgspec.msgpack.encode(origin)
            digest = hashlib.sha256(blob).digest()
            number = await self._pool.fetchval(_SQL["find_origin"], digest)
            if number is None:
                await self._pool.execute(_SQL["add_origin"], origin.org, digest, blob)
                number = await self._pool.fetchval(_SQL["find_origin"], digest)
            self.origins[origin] = number
            self._origin_of[number] = origin

    async def shard(self, org: OrgId) -> int:
        known = self.shards.get(org)
        if known is None:
            known = await self._pool.fetchval(_SQL["shard_of"], org)
            if known is None:
                await self._pool.execute(_SQL["add_org"], org)
                known = await self._pool.fetchval(_SQL["shard_of"], org)
            self.shards[org] = known
        return known

    async def origins_of(self, numbers: Iterable[int]) -> dict[int, Origin]:
        wanted = set(numbers)
        missing = list(wanted - self._origin_of.keys())
        if missing:
            for row in await self._pool.fetch(_SQL["origins"], missing):
                self._origin_of[row["id"]] = _DECODER.decode(row["origin"])
        return {number: self._origin_of[number] for number in wanted}

    async def lane(self, lane: Lane) -> LanePlace | None:
        known = self._lanes.get(lane)
        if known is None:
            row = await self._pool.fetchrow(_SQL["lane_place"], lane)
            if row is None:
                return None
            if len(self._lanes) >= _LANES_KEPT:
                self._lanes.clear()
            known = self._lanes[lane] = LanePlace(row["shard"], row["opened"])
        return known

    async def day_at(self, shard: int, seq: int) -> int:
        """The day of a position, or of the one before that ended a day early; 0 when it is older than all there is.
        Days that began since this was read last are later days: as a lower bound the answer is always good."""
        if shard not in self._days:
            await self.refresh_days(shard)
        starts, days = self._days[shard]
        at = bisect_right(starts, seq)
        return days[at - 1] if at else 0

    async def days_of(self, shard: int, seqs: Sequence[int]) -> dict[int, list[int]]:
        """Ascending positions by the day that holds them."""
        await self.refresh_days(shard)
        return self.known_days_of(shard, seqs)

    def known_days_of(self, shard: int, seqs: Sequence[int]) -> dict[int, list[int]]:
        """As far as is known: days may have begun since, and positions of theirs seem to be the last one's."""
        starts, days = self._days.get(shard, ((), ()))
        found: dict[int, list[int]] = {}
        for seq in seqs:
            at = bisect_right(starts, seq)
            if at:
                found.setdefault(days[at - 1], []).append(seq)
        return found

    async def refresh_days(self, shard: int) -> None:
        rows = await self._pool.fetch(_SQL["shard_days"], shard)
        self._days[shard] = ([row["first_seq"] for row in rows], [row["day"] for row in rows])

    async def refresh_bytes(self) -> None:
        rows = await self._pool.fetch(_SQL["stored_bytes"])
        self.stored_bytes = {OrgId(row["org"]): row["bytes"] for row in rows}

    def note_bytes(self, org: OrgId, size: int) -> None:
        self.stored_bytes[org] = self.stored_bytes.get(org, 0) + size

    def forget_everything(self) -> None:
        """The database has lost something: its numbers may mean something else now."""
        self.shards.clear()
        self.origins.clear()
        self._origin_of.clear()
        self.forget()

    def forget(self) -> None:
        """After retention or a reset: days begin elsewhere."""
        self._days.clear()
        self._lanes.clear()
