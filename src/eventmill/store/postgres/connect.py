"""The one place where connections to the database are made, and how; and what a failure of one means."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit, urlunsplit
from weakref import WeakSet

import asyncpg

from eventmill import __version__
from eventmill.errors import Reason, StoreUnavailable

CONNECT_S = 5.0
_NEXT_S = 1.0
"""A server that is there has answered by then. A machine that died without a word answers nobody."""
_SETTINGS = {
    "application_name": f"eventmill {__version__}",
    "timezone": "UTC",
}
"""Of a new connection; poolers know these."""
_PREPARE = """
SELECT set_config('jit', 'off', false),
    set_config('plan_cache_mode', 'force_generic_plan', false),
    set_config('idle_in_transaction_session_timeout', '10s', false),
    set_config('tcp_keepalives_idle', '5', false),
    set_config('tcp_keepalives_interval', '2', false),
    set_config('tcp_keepalives_count', '3', false),
    set_config('tcp_user_timeout', '10000', false),
    CASE WHEN current_setting('synchronous_commit') = 'off' THEN set_config('synchronous_commit', 'on', false) END
"""
"""A process that hangs in the middle of a transaction, or is gone, must not hold its locks for ever. Acknowledged means
durable, whatever the server's default is. Plans are kept: for days in tables of their own the server believes that each
call is worth a plan of its own, which takes longer than most statements and half as long as a whole append."""

_BOUND_WAITS = "SET lock_timeout = '12s'"
"""Longer than a channel waits for an answer: whoever waits on the server for a lock ends when nobody listens any more,
instead of piling up."""

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


class Hosts:
    """The servers that a DSN names, the one that took a connection last first."""

    def __init__(self, dsn: str) -> None:
        self._each = each_host(dsn)
        self._made: WeakSet[Connection] = WeakSet()

    def drop_all(self) -> None:
        """The connections that were made here: none of them leads anywhere any more."""
        for connection in list(self._made):
            connection.terminate()

    async def connect(self) -> Connection:
        """To the primary among them. One that starts, is full, or does not answer keeps nobody from the others: they
        are asked one by one, but none for longer than a moment before the next is asked as well.

        Raises one of `LOST`, or another `asyncpg.PostgresError` when the database refuses."""
        asked: dict[asyncio.Task[Connection], str] = {}
        failure: BaseException | None = None
        left = list(self._each)
        try:
            while left or asked:
                if left:
                    dsn = left.pop(0)
                    asked[asyncio.create_task(_connect(dsn))] = dsn
                await asyncio.wait(asked, timeout=_NEXT_S if left else None, return_when=asyncio.FIRST_COMPLETED)
                for task in [task for task in asked if task.done()]:
                    if (error := task.exception()) is None:
                        return self._first(asked.pop(task), task.result())
                    del asked[task]
                    if failure is None or _tells_more(error, failure):
                        failure = error
        finally:
            await _give_up(asked)
        assert failure is not None, "a DSN names a server"
        raise failure

    def _first(self, dsn: str, connection: Connection) -> Connection:
        """The one to be asked first from now on."""
        self._each.sort(key=lambda each: each != dsn)
        self._made.add(connection)
        return connection


async def connect(dsn: str) -> Connection:
    """As `Hosts.connect`, once."""
    return await Hosts(dsn).connect()


async def open_pool(hosts: Hosts, connections_max: int) -> Pool:
    """For reads. Connections are made when they are needed, and again when they were lost."""
    return await asyncpg.create_pool(
        min_size=0, max_size=connections_max, connect=lambda *_, **__: hosts.connect(), reset=_keep
    )


async def bound_waits(connection: Connection) -> None:
    """For connections that may be given up while they wait for a lock."""
    await connection.execute(_BOUND_WAITS)


def each_host(dsn: str) -> list[str]:
    """A DSN for each server of the list `host:port,host:port`; the driver would stop at the first that answers."""
    parts = urlsplit(dsn)
    user, at, hosts = parts.netloc.rpartition("@")
    if "," not in hosts or {"host", "port"} & parse_qs(parts.query).keys():
        return [dsn]
    return [urlunsplit(parts._replace(netloc=f"{user}{at}{host}")) for host in hosts.split(",")]


def shown(dsn: str) -> str:
    """The database without its password, for messages."""
    try:
        parts = urlsplit(dsn)
        hosts = parts.netloc.rpartition("@")[2] or parse_qs(parts.query).get("host", [""])[0]
    except ValueError:
        return "the database"
    if "@" in parts.path + parts.query + parts.fragment:
        return "the database"  # a password with an unescaped / or the like: nobody knows where it ends
    return f"database {parts.path.lstrip('/') or '(default)'} at {hosts or '(default host)'}"


def explain_loss(error: BaseException) -> str:
    """In words for those who ask why nothing goes."""
    if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
        return "the database takes no writes: it is a standby, or read-only"
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        return "the database has no primary at the moment: only standbys answer"
    if isinstance(error, asyncpg.TooManyConnectionsError):
        return "the database takes no more connections"
    if isinstance(error, TimeoutError):
        return "the database does not answer"
    if isinstance(error, asyncpg.InternalClientError):
        return "the connection to the database broke"  # the driver's words are about itself
    return f"the database cannot be reached ({str(error).partition(chr(10))[0] or type(error).__name__})"


def refusal(error: BaseException) -> StoreUnavailable:
    """What callers are told of a failure. Of one of `LOST` it is not known whether the work was done."""
    if isinstance(error, asyncpg.DiskFullError):
        return StoreUnavailable("the database's disk is full", Reason.DISK_RESERVE_REACHED)
    if isinstance(error, LOST):
        return StoreUnavailable(f"{explain_loss(error)}; try again")
    return StoreUnavailable("the commit failed and left nothing behind; try again")


async def _connect(dsn: str) -> Connection:
    async with asyncio.timeout(CONNECT_S):
        connection: Connection = await asyncpg.connect(dsn, **_arguments(dsn))
        try:
            await connection.execute(_PREPARE)
        except BaseException:
            connection.terminate()
            raise
    return connection


async def _give_up(asked: Collection[asyncio.Task[Connection]]) -> None:
    for task in asked:
        task.cancel()
    for made in await asyncio.gather(*asked, return_exceptions=True):
        if not isinstance(made, BaseException):
            made.terminate()


def _tells_more(error: BaseException, other: BaseException) -> bool:
    """A server that refuses tells more than a standby, and that more than one that cannot be reached."""

    def rank(each: BaseException) -> int:
        return 2 * isinstance(each, asyncpg.PostgresError) + isinstance(each, asyncpg.TargetServerAttributeNotMatched)

    return rank(error) > rank(other)


async def _keep(connection: Any) -> None:
    """Nothing is left behind on a connection that must not be there: resetting it would double the round trips of a
    read, and undo what it was prepared with."""


def _arguments(dsn: str) -> dict[str, Any]:
    arguments: dict[str, Any] = {"timeout": CONNECT_S, "server_settings": _SETTINGS}
    if "target_session_attrs" not in dsn:
        arguments["target_session_attrs"] = "primary"
    return arguments


Dial = Callable[[], Awaitable[Connection]]
