"""Which slots this node holds: claimed while free, renewed while it lives, given up for nodes that have fewer.

Only the database's clock decides when a lease is over. The node goes by its own monotonic one, and stops some seconds
earlier: from the moment it asked for a renewal that came through.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from uuid import UUID

import asyncpg
import msgspec
import structlog

from eventmill import telemetry
from eventmill.model import Lane
from eventmill.store.postgres.connect import LOST, UNDONE, Connection, Dial, bound_waits, explain_loss
from eventmill.store.postgres.control import forget_lane
from eventmill.store.postgres.queries import load_queries
from eventmill.store.work import SLOTS, SlotLease

_log = structlog.get_logger()
_SQL = load_queries("work")
_ANSWER_S = 10.0
_LAST_S = 2.0


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    ttl_s: float = 15.0
    renew_s: float = 5.0
    margin_s: float = 5.0
    """The node holds nothing any more so long before a lease ends."""
    handover_s: float = 1.0
    """For what is under way on a slot that another node is to have."""

    @classmethod
    def of(cls, ttl_s: float) -> Terms:
        """A lost renewal leaves time for another."""
        return cls(ttl_s=ttl_s, renew_s=ttl_s / 3, margin_s=ttl_s / 3)


class Leases:
    """`changed` is called in the event loop."""

    def __init__(self, dial: Dial, node: UUID, terms: Terms, changed: Callable[[], None]) -> None:
        self._dial = dial
        self._node = node
        self._terms = terms
        self._changed = changed
        self._connection: Connection | None = None
        self._held: tuple[SlotLease, ...] = ()
        self._slots: frozenset[int] = frozenset()
        self._good_until_s = 0.0
        self._leaving_since_s: dict[int, float] = {}
        """Slots that others are to have."""
        self._freed = asyncio.Event()
        self._known = False
        self._failing = False
        self._now_s = asyncio.get_running_loop().time

    def held(self) -> tuple[SlotLease, ...]:
        return self._held if self._now_s() < self._good_until_s else ()

    def holds_any(self, slots: Collection[int]) -> bool:
        """Whether one of them was held at the last turn."""
        return not self._slots.isdisjoint(slots)

    def look(self) -> None:
        """There may be slots to take, or to give up."""
        self._freed.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            try:
                # A server that does not answer must not keep the node from noticing that its time is over.
                async with asyncio.timeout(max(0.1, self._good_until_s - self._now_s()) if self._held else _ANSWER_S):
                    await self.turn()
            except (*LOST, *UNDONE, asyncpg.PostgresError) as error:
                if not self._failing:
                    _log.warning(telemetry.LEASES_NOT_RENEWED, cause=explain_loss(error))
                self._failing = True
                self._drop()
            else:
                if self._failing:
                    _log.info(telemetry.LEASES_RENEWED, slots=len(self._held))
                self._failing = False
            await self._pause()
            self._check_time()

    async def _pause(self) -> None:
        """Until the next renewal, or until another node comes or has freed slots."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._pause_s()):
                await self._freed.wait()
        self._freed.clear()

    def _pause_s(self) -> float:
        if self._connection is None:
            return min(0.5, self._terms.renew_s)
        return min(self._terms.handover_s, self._terms.renew_s) if self._leaving_since_s else self._terms.renew_s

    async def turn(self) -> None:
        """Renew what is held, take what is free, give up what others lack."""
        connection = await self._connected()
        asked_s = self._now_s()
        await connection.execute(_SQL["join"], self._node, self._terms.ttl_s)
        held = await self._fetch(connection, "renew", self._node, self._terms.ttl_s)
        share = -(-SLOTS // max(1, await connection.fetchval(_SQL["nodes"])))
        if over := self._note_surplus(held, share):
            await connection.execute(_SQL["release"], self._node, over)
            await connection.execute(_SQL["tell_freed"])
            held = [lease for lease in held if lease.slot not in over]
        elif len(held) < share:
            held += await self._claim(connection, share - len(held))
        if not self._known:  # to the others, who have its share
            await connection.execute(_SQL["tell_freed"])
            self._known = True
        self._take(sorted(held, key=lambda lease: lease.slot), asked_s)

    def _note_surplus(self, held: list[SlotLease], share: int) -> list[int]:
        """Which slots are to go, and by now have had the time to end what was under way. These are returned."""
        known, now_s = self._leaving_since_s, self._now_s()
        held.sort(key=lambda lease: (lease.slot in known, lease.slot))
        leaving = {lease.slot: known.get(lease.slot, now_s) for lease in held[share:]}
        over = [slot for slot in leaving if slot in known and now_s - known[slot] >= self._terms.handover_s]
        self._leaving_since_s = {slot: since_s for slot, since_s in leaving.items() if slot not in over}
        return over

    async def close(self) -> None:
        """Others need not wait for the leases to end."""
        self._held = ()
        with suppress(*LOST, asyncpg.PostgresError):
            async with asyncio.timeout(_LAST_S):
                connection = await self._connected()
                await connection.execute(_SQL["release"], self._node, list(range(SLOTS)))
                await connection.execute(_SQL["leave"], self._node)
                await connection.execute(_SQL["tell_freed"])
                await connection.close()
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
        leases = tuple([SlotLease(each.slot, each.epoch, each.slot in self._leaving_since_s) for each in held])
        if leases != self._held:
            self._held = leases
            self._slots = frozenset(lease.slot for lease in leases)
            self._changed()

    def _check_time(self) -> None:
        if self._held and self._now_s() >= self._good_until_s:
            self._held = ()
            self._changed()

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._dial()
            await bound_waits(self._connection)
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
