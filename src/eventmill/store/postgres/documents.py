"""Reads documents from outside, beside running nodes or without one. Never writes, and makes no schema."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from eventmill.errors import StartupError
from eventmill.store.control import Kind
from eventmill.store.postgres.connect import shown
from eventmill.store.postgres.queries import load_queries
from eventmill.store.postgres.starting import connect_first

_SCHEMA, _CATALOGUE = load_queries("schema"), load_queries("catalogue")


async def read_documents(dsn: str, kinds: Sequence[Kind]) -> list[list[bytes]]:
    """As `store.open.read_documents`."""
    connection = await connect_first(dsn)
    try:
        if not await connection.fetchval(_SCHEMA["has_schema"]):
            raise StartupError(
                f"no gateway has its data in {shown(dsn)}; start one with: eventmill serve --store postgresql://..."
            )
        return [[row["doc"] for row in await connection.fetch(_CATALOGUE["scan_docs"], kind)] for kind in kinds]
    except asyncpg.PostgresError as error:
        raise StartupError(f"{shown(dsn)} cannot be read: {error}") from error
    finally:
        await connection.close()
