"""Brings the database to the schema this version works with: numbered `.sql` files, each applied in one transaction.

One process at a time does so, under an advisory lock. What was applied is recorded with its checksum. Never goes back:
a newer schema stops the start.
"""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from eventmill.errors import StartupError
from eventmill.store.migrate import Migration, load_migrations
from eventmill.store.postgres.connect import Connection
from eventmill.store.postgres.queries import load_queries

_SQL = load_queries("schema")


async def migrate(connection: Connection, database: str) -> tuple[int, int]:
    """Apply what is missing; returns the formats before and after. `database` names it in messages.

    Raises `StartupError`."""
    migrations = load_migrations(__package__, "sql/migrations")
    await connection.execute(_SQL["lock_migrations"])
    try:
        return await _migrate(connection, migrations, database)
    except asyncpg.InsufficientPrivilegeError as error:
        user = await connection.fetchval("SELECT current_user")
        raise StartupError(
            f"{database}: {error}; give the role the right to make and own the schema: "
            f'GRANT CREATE ON DATABASE ... TO "{user}"'
        ) from error
    finally:
        await connection.execute(_SQL["unlock_migrations"])


async def _migrate(connection: Connection, migrations: Sequence[Migration], database: str) -> tuple[int, int]:
    present = 0
    applied: dict[int, str] = {}
    if await connection.fetchval(_SQL["has_schema"]):
        applied = {row["number"]: row["checksum"] for row in await connection.fetch(_SQL["applied"])}
        present = max(applied, default=0)
    newest = migrations[-1].number
    if present > newest:
        raise StartupError(
            f"{database} has schema {present}, but this version works with up to {newest}; "
            "start the newer version that made it, or name another database"
        )
    for migration in migrations:
        if migration.number > present:
            await _apply(connection, migration)
        elif applied.get(migration.number) != migration.checksum:
            raise StartupError(
                f"{database} was made by a build with another migration {migration.number} ({migration.name}); "
                "start that build, or name another database"
            )
    return present, newest


async def _apply(connection: Connection, migration: Migration) -> None:
    async with connection.transaction():
        await connection.execute(_SQL["make_schema"])
        await connection.execute(migration.sql)
        await connection.execute(_SQL["note_applied"], migration.number, migration.name, migration.checksum)
