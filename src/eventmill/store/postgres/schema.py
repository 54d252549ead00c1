"""The schema of a database as commands see it: what it has, what is pending, and bringing it up. Opens no store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from eventmill.store.migrate import Migration, SchemaStatus, Step
from eventmill.store.postgres.connect import shown
from eventmill.store.postgres.migrations import Migrations
from eventmill.store.postgres.starting import connect_first, explained


class PostgresSchema:
    """Implements `store.migrate.Schema`. `migrations`: those of another version than this one."""

    def __init__(self, dsn: str, migrations: Sequence[Migration] | None = None) -> None:
        self._dsn = dsn
        self._migrations = migrations

    async def status(self) -> SchemaStatus:
        async with self._opened() as migrations:
            return await migrations.status()

    async def bring_up(self, *, post: bool) -> tuple[Step, ...]:
        async with self._opened() as migrations:
            return tuple(
                Step(each.number, each.name, each.kind, "applied") for each in await migrations.bring_up(post=post)
            )

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[Migrations]:
        with explained(self._dsn):
            connection = await connect_first(self._dsn)
            try:
                yield Migrations(connection, shown(self._dsn), self._migrations)
            finally:
                await connection.close()
