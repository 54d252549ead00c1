"""Whether a pooler between this process and the database leaves each connection a session of its own.

Prepared statements, advisory locks, settings and LISTEN are of a session. A pooler that gives one only for a
transaction breaks all of them, some without an error.
"""

from __future__ import annotations

import asyncpg

from eventmill.errors import StartupError
from eventmill.store.postgres.connect import Connection, Hosts, shown

_WHO = "SELECT pg_backend_pid()"


async def check_sessions(dsn: str) -> None:
    """Raises `StartupError`."""
    hosts = Hosts(dsn)
    one = await hosts.connect()
    try:
        other = await hosts.connect()
        try:
            shared = await _share(one, other)
        finally:
            other.terminate()
    finally:
        one.terminate()
    if shared:
        raise StartupError(
            f"{shown(dsn)}: a pooler in between shares sessions (pool_mode = transaction, or statement); "
            "set pool_mode = session for this database there, or name the database itself"
        )


async def _share(one: Connection, other: Connection) -> bool:
    """While the other one has a transaction open, the first must still be where it was, and the other elsewhere."""
    try:
        before = await one.fetchval(_WHO)
        async with other.transaction():
            elsewhere = await other.fetchval(_WHO)
            return bool(elsewhere == before or await one.fetchval(_WHO) != before)
    except (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError):
        return True
