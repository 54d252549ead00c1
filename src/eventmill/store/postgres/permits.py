"""Buckets of permits in an unlogged table: nothing of them reaches a disk or a standby, so that drawing is cheap."""

from __future__ import annotations

from eventmill.store.postgres.queries import load_queries
from eventmill.store.postgres.reading import Reading

_SQL = load_queries("shared")


class PostgresPermits:
    """Implements `store.permits.Permits`. A repeated draw, after a lost connection, costs the caller some permits."""

    def __init__(self, pool: Reading) -> None:
        self._pool = pool

    async def take(self, key: str, wanted: int, requests: int, window_s: int) -> tuple[int, float]:
        row = await self._pool.fetchrow(_SQL["take_permits"], key, wanted, requests, window_s * 1_000_000_000)
        assert row is not None
        return row["granted"], row["wait_ns"] / 1e9

    async def forget_full(self) -> None:
        """A full bucket needs no row."""
        await self._pool.execute(_SQL["forget_permits"])
