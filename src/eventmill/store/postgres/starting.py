"""The first connection of a process, and whatever stops a start: each failure with its cause and its remedy.

A password is in no message: causes are told in the database's words, which do not repeat it, and the URL never.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from eventmill.clock import Clock
from eventmill.errors import Exit, StartupError, StoreUnavailable
from eventmill.store.postgres.connect import LOST, Connection, connect, shown
from eventmill.store.postgres.drift import Drift
from eventmill.store.postgres.queries import load_queries

_SQL = load_queries("schema")
_OLDEST_SERVER = 15
_FORM = (
    "--store cannot be read: it must be like postgresql://user:password@host:5432/database, "
    "with what is special in user and password written as %XX"
)
_Remedy = tuple[type[BaseException] | tuple[type[BaseException], ...], str, Exit]
# The first that fits. Those before the line are of the database; a person has to change something.
_REMEDIES: tuple[_Remedy, ...] = (
    (asyncpg.InvalidCatalogNameError, "create it, for example with createdb --encoding=UTF8", Exit.SETTINGS),
    (asyncpg.InvalidPasswordError, "check user and password of --store", Exit.SETTINGS),
    (
        asyncpg.InvalidAuthorizationSpecificationError,
        "check user and password of --store, and pg_hba.conf; where it says 'no encryption', add ?sslmode=require",
        Exit.SETTINGS,
    ),
    (
        asyncpg.InsufficientPrivilegeError,
        "connect as the role that owns the schema eventmill, or make this one a member of it",
        Exit.SETTINGS,
    ),
    (
        (asyncpg.UndefinedObjectError, asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError),
        "the schema eventmill is not whole, or somebody changed it: restore it from a backup",
        Exit.SETTINGS,
    ),
    (
        asyncpg.TargetServerAttributeNotMatched,
        "only standbys answered, which take no writes: name the primary, or all hosts, like user@host1,host2/database",
        Exit.UNAVAILABLE,
    ),
    (
        asyncpg.ReadOnlySQLTransactionError,
        "it takes no writes: name the primary, and see that default_transaction_read_only is off",
        Exit.UNAVAILABLE,
    ),
    (
        asyncpg.TooManyConnectionsError,
        "raise max_connections there, or the role's connection limit, or run fewer nodes",
        Exit.UNAVAILABLE,
    ),
    (
        asyncpg.LockNotAvailableError,
        "another node hangs in the middle of its start and keeps all others from theirs: end that one",
        Exit.UNAVAILABLE,
    ),
    (asyncpg.DiskFullError, "make room on the database's disk; nothing was left half-done", Exit.UNAVAILABLE),
    (asyncpg.CannotConnectNowError, "wait until it has started, or stopped", Exit.UNAVAILABLE),
    (
        ssl.SSLCertVerificationError,
        "name the authority of its certificate with sslrootcert=FILE in --store, and the host as the certificate does",
        Exit.SETTINGS,
    ),
    (ssl.SSLError, "check the sslmode of --store, and ssl in postgresql.conf", Exit.SETTINGS),
    (socket.gaierror, "check the host name in --store", Exit.UNAVAILABLE),
    (
        (FileNotFoundError, ConnectionRefusedError),
        "check that PostgreSQL runs there and takes connections from here, and host and port of --store",
        Exit.UNAVAILABLE,
    ),
    (
        TimeoutError,
        "check that PostgreSQL runs there and takes connections from here, and that no firewall is in the way",
        Exit.UNAVAILABLE,
    ),
    (
        LOST,
        "check that PostgreSQL runs there and takes connections from here, and its log",
        Exit.UNAVAILABLE,
    ),
    (asyncpg.PostgresError, "the database's log may tell more", Exit.SETTINGS),
)


async def connect_first(dsn: str) -> Connection:
    """Raises `StartupError` naming cause and remedy."""
    with explained(dsn):
        try:
            connection = await connect(dsn)
        except ValueError as error:  # what asyncpg raises for settings is one too
            if isinstance(error, OSError):  # and so is a certificate that is not good
                raise
            raise StartupError(_FORM) from None  # the error may repeat the URL
        try:
            row = await connection.fetchrow(_SQL["server"])
            assert row is not None
            check_server(shown(dsn), connection.get_server_version().major, row["encoding"])
        except BaseException:
            connection.terminate()
            raise
    return connection


def check_server(database: str, major: int, encoding: str) -> None:
    if major < _OLDEST_SERVER:
        raise StartupError(
            f"{database} is PostgreSQL {major}; it must be {_OLDEST_SERVER} or later: upgrade it, or name another"
        )
    if encoding != "UTF8":
        raise StartupError(
            f"{database} has the encoding {encoding}, but names are Unicode; make one that can hold them: "
            "createdb --encoding=UTF8 --template=template0 NAME"
        )


async def check_clock(connection: Connection, drift: Drift, clock: Clock) -> None:
    """Retention goes by one node's clock, and drops for all; tokens expire by each node's."""
    await measure(connection, drift, clock)
    if doubt := drift.doubt():
        raise StartupError(f"{doubt}: keep both in time, with NTP; tokens and events expire by them", Exit.UNAVAILABLE)


async def measure(connection: Connection, drift: Drift, clock: Clock) -> None:
    asked_ms = clock.machine_ms()
    drift.note(asked_ms, await connection.fetchval(_SQL["server_ms"]), clock.machine_ms())


async def read_clock_ahead_ms(dsn: str, clock: Clock) -> int:
    """As `store.open.read_clock_ahead_ms`."""
    with explained(dsn):
        connection = await connect_first(dsn)
        try:
            drift = Drift(shown(dsn))
            await measure(connection, drift, clock)
        finally:
            await connection.close()
    return drift.ahead_ms


async def check_rights(connection: Connection, database: str) -> None:
    """All of them now, not when the first event of a day finds no table."""
    row = await connection.fetchrow(_SQL["missing_rights"])
    if row is None:
        return
    role = await connection.fetchval("SELECT current_user")
    if row["rights"]:
        raise StartupError(
            f"{database}: the role {role} lacks {', '.join(row['rights'])} on the table eventmill.{row['relname']}; "
            f'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA eventmill TO "{role}"'
        )
    raise StartupError(
        f"{database}: the role {role} does not own the table eventmill.{row['relname']}, and only its owner can make "
        f'the tables of a day; connect as {row["owner"]}, or make the role a member: GRANT "{row["owner"]}" TO "{role}"'
    )


async def check_mode(connection: Connection, database: str, *, dev: bool) -> None:
    """A gateway in dev mode beside others would empty their database, and move their time, for whoever asks it to."""
    known = await connection.fetchval(_SQL["dev_or_not"])
    if known is None:  # and it stays so if another start is quicker
        await connection.execute(_SQL["set_dev_or_not"], dev)
        known = await connection.fetchval(_SQL["dev_or_not"])
    if dev and not known:
        raise StartupError(
            f"{database} is used by gateways that are not in dev mode, and --dev would let anybody on this machine "
            "empty it and move its clock; name a database of its own for --dev, or start without it"
        )
    if known and not dev:
        raise StartupError(
            f"{database} is used by gateways in dev mode, so its events may be of any time and it may be emptied; "
            "name another database, or start with --dev"
        )


async def check_rights_of(dsn: str) -> None:
    """As `store.open.check_rights`."""
    with explained(dsn):
        connection = await connect_first(dsn)
        try:
            await check_rights(connection, shown(dsn))
            if await connection.fetchval(_SQL["read_only"]):
                raise asyncpg.ReadOnlySQLTransactionError("the database is read-only")
        finally:
            await connection.close()


@contextmanager
def explained(dsn: str) -> Iterator[None]:
    """Turns whatever the database refuses into a `StartupError`."""
    try:
        yield
    except StoreUnavailable as error:
        raise StartupError(f"{shown(dsn)}: {error}", Exit.UNAVAILABLE) from error
    except (*LOST, asyncpg.PostgresError) as error:
        raise explain(error, shown(dsn)) from error


def explain(error: BaseException, database: str) -> StartupError:
    for kinds, remedy, code in _REMEDIES:
        if isinstance(error, kinds):
            reached = "" if isinstance(error, asyncpg.PostgresError) else " cannot be reached"
            cause = (str(error) or type(error).__name__).splitlines()[0]  # details and hints come below it
            return StartupError(f"{database}{reached}: {cause}; {remedy}", code)
    raise AssertionError(error)
