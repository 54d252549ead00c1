"""Which slots this node holds: claimed while free, renewed while it lives, given up for nodes that have fewer.

Only the database's clock decides when a lease is over. The node goes by its own monotonic one, and stops some seconds
earlier: from the moment it asked for a renewal that came through.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from uuid import UUID

import asyncpg
import msgspec
import structlog

from eventmill import telemetry
from eventmill.model import Lane
from eventmill.store.postgres.connect import LOST, UNDONE, Connection, Dial
from eventmill.store.postgres.control import forget_lane
from eventmill.store.postgres.queries import load_queries
from eventmill.store.work import SLOTS, SlotLease

_log = structlog.get_logger()
_SQL = load_queries("work")


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    ttl_s: float = 15.0
    renew_s: float = 5.0
    margin_s: float = 5.0
    """The node holds nothing any more so long before a lease ends."""


class Leases:
    """`changed` is called in the event loop."""

    def __init__(self, dial: Dial, node: UUID, terms: Terms, changed: Callable[[], None]) -> None:
        self._dial = dial
        self._node = node
        self._terms = terms
        self._changed = changed
        self._connection: Connection | None = None
        self._held: tuple[SlotLease, ...] = ()
        self._good_until_s = 0.0
        self._now_s = asyncio.get_running_loop().time

    def held(self) -> tuple[SlotLease, ...]:
        return self._held if self._now_s() < self._good_until_s else ()

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            try:
                # A server that does not answer must not keep the node from noticing that its time is over.
                async with (
                    asyncio.timeout(max(0.1, self._good_until_s - self._now_s())) if self._held else nullcontext()
                ):
                    await self.turn()
            except (*LOST, *UNDONE, asyncpg.PostgresError) as error:
                _log.warning(telemetry.LEASES_NOT_RENEWED, cause=repr(error))
                self._drop()
            await asyncio.sleep(self._terms.renew_s if self._connection else min(0.5, self._terms.renew_s))
            self._check_time()

    async def turn(self) -> None:
        """Renew what is held, take what is free, give up what others lack."""
        connection = await self._connected()
        asked_s = self._now_s()
        await connection.execute(_SQL["join"], self._node, self._terms.ttl_s)
        held = await self._fetch(connection, "renew", self._node, self._terms.ttl_s)
        share = -(-SLOTS // max(1, await connection.fetchval(_SQL["nodes"])))
        if len(held) > share:
            surplus = held[share:]
            await connection.execute(_SQL["release"], self._node, [lease.slot for lease in surplus])
            held = held[:share]
        elif len(held) < share:
            held += await self._claim(connection, share - len(held))
        self._take(sorted(held, key=lambda lease: lease.slot), asked_s)

    async def close(self) -> None:
        """Others need not wait for the leases to end."""
        self._held = ()
        try:
            connection = await self._connected()
            await connection.execute(_SQL["release"], self._node, list(range(SLOTS)))
            await connection.execute(_SQL["leave"], self._node)
            await connection.close(timeout=2)
        except (*LOST, asyncpg.PostgresError):
            self._drop()

    async def _claim(self, connection: Connection, want: int) -> list[SlotLease]:
        """Nothing is under way on the lanes of a slot that nobody holds: those that only wait for that go."""
        async with connection.transaction():
            claimed = await self._fetch(connection, "claim", self._node, self._terms.ttl_s, want)
            if claimed:
                for row in await connection.fetch(_SQL["idle_tombstones"], [lease.slot for lease in claimed]):
                    await forget_lane(connection, Lane(row["lane"]))
        return claimed

    async def _fetch(self, connection: Connection, query: str, *values: object) -> list[SlotLease]:
        return [SlotLease(row["slot"], row["epoch"]) for row in await connection.fetch(_SQL[query], *values)]

    def _take(self, held: list[SlotLease], asked_s: float) -> None:
        self._good_until_s = asked_s + self._terms.ttl_s - self._terms.margin_s
        if tuple(held) != self._held:
            self._held = tuple(held)
            self._changed()

    def _check_time(self) -> None:
        if self._held and self._now_s() >= self._good_until_s:
            self._held = ()
            self._changed()

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._dial()
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
