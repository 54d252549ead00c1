"""Reads, and writes that may be repeated at will: over a pool, again on another connection when one was lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import asyncpg

from eventmill.store.postgres.connect import LOST, Pool, open_pool, refusal

T = TypeVar("T")
_CONNECTIONS = 8
_ANSWER_S = 20.0
_PATIENCE_S = 5.0
"""A request that waits longer is better refused: a failover takes longer anyway."""
_PAUSE_S = 0.05


class Reading:
    """Raises `StoreUnavailable` while the database cannot be reached."""

    _pool: Pool

    async def open(self, dsn: str) -> None:
        self._pool = await open_pool(dsn, _CONNECTIONS)

    async def close(self) -> None:
        try:
            async with asyncio.timeout(5):
                await self._pool.close()
        except (*LOST, asyncpg.PostgresError):
            self._pool.terminate()

    async def fetch(self, query: str, *values: object) -> list[asyncpg.Record]:
        return await self._repeated(lambda: self._pool.fetch(query, *values, timeout=_ANSWER_S))

    async def fetchrow(self, query: str, *values: object) -> asyncpg.Record | None:
        return await self._repeated(lambda: self._pool.fetchrow(query, *values, timeout=_ANSWER_S))

    async def fetchval(self, query: str, *values: object) -> Any:
        return await self._repeated(lambda: self._pool.fetchval(query, *values, timeout=_ANSWER_S))

    async def execute(self, query: str, *values: object) -> None:
        await self._repeated(lambda: self._pool.execute(query, *values, timeout=_ANSWER_S))

    async def _repeated(self, ask: Callable[[], Awaitable[T]]) -> T:
        loop = asyncio.get_running_loop()
        give_up_s = loop.time() + _PATIENCE_S
        while True:
            try:
                return await ask()
            except LOST as error:
                if loop.time() >= give_up_s:
                    raise refusal(error) from error
                with contextlib.suppress(*LOST):
                    await self._pool.expire_connections()
                await asyncio.sleep(_PAUSE_S)
