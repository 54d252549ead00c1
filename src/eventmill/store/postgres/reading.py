"""Reads, and writes that may be repeated at will: over a pool, again on another connection when one was lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import asyncpg
import structlog

from eventmill import telemetry
from eventmill.errors import StoreUnavailable
from eventmill.store.postgres.connect import LOST, Connection, Hosts, Pool, open_pool, refusal

_log = structlog.get_logger()
T = TypeVar("T")
_CONNECTIONS = 8
_ANSWER_S = 20.0
_PATIENCE_S = 5.0
"""A request that waits longer is better refused: a failover takes longer anyway."""
_PAUSE_S = 0.05
_PLAN_ANEW = "SET LOCAL plan_cache_mode = force_custom_plan"


class Reading:
    """Raises `StoreUnavailable` while the database cannot be reached, and whatever else it refuses.

    `lost` tells why it cannot, as far as is known; then nothing is tried, and nobody waits."""

    _pool: Pool

    def __init__(self, lost: Callable[[], str] = str) -> None:
        self._lost = lost

    async def open(self, hosts: Hosts) -> None:
        self._pool = await open_pool(hosts, _CONNECTIONS)

    async def close(self) -> None:
        """Whatever the state of the connections."""
        try:
            async with asyncio.timeout(2):
                await self._pool.close()
        except (*LOST, asyncpg.PostgresError):
            self._pool.terminate()

    async def fetch(self, query: str, *values: object) -> list[asyncpg.Record]:
        return await self._repeated(lambda connection: connection.fetch(query, *values))

    async def fetch_planned(self, query: str, *values: object) -> list[asyncpg.Record]:
        """As `fetch`, with a plan for these values: where one for any would read far more than it answers."""

        async def ask(connection: Connection) -> list[asyncpg.Record]:
            async with connection.transaction():
                await connection.execute(_PLAN_ANEW)
                return await connection.fetch(query, *values)

        return await self._repeated(ask)

    async def fetchrow(self, query: str, *values: object) -> asyncpg.Record | None:
        return await self._repeated(lambda connection: connection.fetchrow(query, *values))

    async def fetchval(self, query: str, *values: object) -> Any:
        return await self._repeated(lambda connection: connection.fetchval(query, *values))

    async def execute(self, query: str, *values: object) -> None:
        await self._repeated(lambda connection: connection.execute(query, *values))

    async def _repeated(self, ask: Callable[[Any], Awaitable[T]]) -> T:
        loop = asyncio.get_running_loop()
        give_up_s = loop.time() + _PATIENCE_S
        while True:
            if why := self._lost():
                raise StoreUnavailable(why)
            try:
                return await self._ask(ask)
            except asyncpg.DataError:  # a value that no server would take
                raise
            except LOST as error:
                if loop.time() >= give_up_s:
                    raise refusal(error) from error
                if not isinstance(error, asyncpg.TooManyConnectionsError):  # those that there are, are good
                    with contextlib.suppress(*LOST):
                        await self._pool.expire_connections()
                await asyncio.sleep(_PAUSE_S)
            except asyncpg.PostgresError as error:
                _log.error(telemetry.STORE_READ_FAILED, error=repr(error))
                raise refusal(error) from error

    async def _ask(self, ask: Callable[[Any], Awaitable[T]]) -> T:
        async with asyncio.timeout(_ANSWER_S):
            connection = await self._pool.acquire()
            try:
                return await ask(connection)
            except BaseException:
                with contextlib.suppress(asyncpg.InterfaceError):  # a connection that broke has left the pool by itself
                    connection.terminate()  # waits for nothing that is still under way, as a cancellation would
                raise
            finally:
                await self._pool.release(connection)
