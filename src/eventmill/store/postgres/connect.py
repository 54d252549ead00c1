"""The one place where connections to the database are made, and how; and what a failure of one means."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import asyncpg

from eventmill import __version__
from eventmill.errors import Reason, StartupError, StoreUnavailable

CONNECT_S = 5.0
_OLDEST_SERVER = 15
_DURABLE = """
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'
"""
_SETTINGS = {
    "application_name": f"eventmill {__version__}",
    "timezone": "UTC",
    "jit": "off",
    # A process that hangs in the middle of a transaction must not hold its locks for ever.
    "idle_in_transaction_session_timeout": "10s",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10000",
}

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Connection, Pool = asyncpg.Connection, asyncpg.Pool

LOST = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.TooManyConnectionsError,
)
"""The connection is gone, or leads to a server that writes nothing: what was sent on it may have been done or not."""

UNDONE = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
    asyncpg.CheckViolationError,
)
"""The transaction was rolled back for the sake of others, or there is no partition for a day; doing it again may
succeed."""


async def connect(dsn: str) -> Connection:
    """Raises one of `LOST`, or another `asyncpg.PostgresError` when the database refuses."""
    connection: Connection = await asyncpg.connect(dsn, **_arguments(dsn))
    try:
        await _prepare(connection)
    except BaseException:
        connection.terminate()
        raise
    return connection


async def open_pool(dsn: str, connections_max: int) -> Pool:
    """For reads. Connections are made when they are needed, and again when they were lost."""
    return await asyncpg.create_pool(dsn, min_size=0, max_size=connections_max, init=_prepare, **_arguments(dsn))


async def connect_first(dsn: str) -> Connection:
    """The first connection of a process. Raises `StartupError` naming cause and remedy."""
    try:
        connection = await connect(dsn)
    except (ValueError, asyncpg.InterfaceError) as error:
        raise StartupError(
            "--store cannot be read: it must be like postgresql://user:password@host:5432/database, "
            "with what is special in user and password written as %XX"
        ) from error
    except asyncpg.InvalidCatalogNameError as error:
        raise StartupError(f"{shown(dsn)}: {error}; create it, for example with createdb") from error
    except asyncpg.InvalidAuthorizationSpecificationError as error:
        raise StartupError(f"{shown(dsn)}: {error}; check user and password of --store, and pg_hba.conf") from error
    except (*LOST, asyncpg.PostgresError) as error:
        raise StartupError(
            f"{shown(dsn)} cannot be reached: {str(error) or type(error).__name__}; "
            "check that PostgreSQL runs there and takes connections from here"
        ) from error
    major = connection.get_server_version().major
    if major < _OLDEST_SERVER:
        await connection.close()
        raise StartupError(f"{shown(dsn)} is PostgreSQL {major}; it must be {_OLDEST_SERVER} or later")
    return connection


def shown(dsn: str) -> str:
    """The database without its password, for messages."""
    try:
        parts = urlsplit(dsn)
        hosts = parts.netloc.rpartition("@")[2] or parse_qs(parts.query).get("host", [""])[0]
    except ValueError:
        return "the database"
    return f"database {parts.path.lstrip('/') or '(default)'} at {hosts or '(default host)'}"


def refusal(error: BaseException) -> StoreUnavailable:
    """What callers are told of a failure that left nothing behind."""
    if isinstance(error, asyncpg.DiskFullError):
        return StoreUnavailable("the database's disk is full", Reason.DISK_RESERVE_REACHED)
    if isinstance(error, LOST):
        return StoreUnavailable("the database cannot be reached; try again")
    return StoreUnavailable("the commit failed and left nothing behind; try again")


async def _prepare(connection: Any) -> None:
    """Acknowledged means durable, whatever the server's default is."""
    await connection.execute(_DURABLE)


def _arguments(dsn: str) -> dict[str, Any]:
    arguments: dict[str, Any] = {"timeout": CONNECT_S, "server_settings": _SETTINGS}
    if "target_session_attrs" not in dsn:
        arguments["target_session_attrs"] = "primary"
    return arguments


Dial = Callable[[], Awaitable[Connection]]
