"""Picks the engine that a configuration asks for; the only place that knows both."""

from __future__ import annotations

import asyncio
import socket
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.errors import StartupError
from eventmill.store.children import ChildStore
from eventmill.store.control import Kind
from eventmill.store.migrate import Schema
from eventmill.store.sqlite import snapshot
from eventmill.store.sqlite.child import SqliteChild
from eventmill.store.sqlite.schema import SqliteSchema
from eventmill.store.sqlite.store import SqliteStore

if TYPE_CHECKING:
    from eventmill.store.postgres.store import PostgresStore

SCHEMES = ("postgresql://", "postgres://")


def make_store(config: Config, clock: Clock) -> SqliteStore | PostgresStore:
    """Not open yet. Raises `StartupError`."""
    if not config.store:
        return SqliteStore(config, clock)
    _check_postgres(config)
    from eventmill.store.postgres.store import PostgresStore

    return PostgresStore(config, clock)


def make_child_store(config: Config, clock: Clock, sock: socket.socket) -> ChildStore:
    """For a delivery child whose socket pair with its front this is. Not open yet."""
    if not config.store:
        return SqliteChild(config, clock, sock)
    from eventmill.store.postgres.child import PostgresChild

    return PostgresChild(config, clock, sock)


def make_schema(config: Config) -> Schema:
    """For commands; no gateway need run."""
    if not config.store:
        return SqliteSchema(config.data)
    _check_postgres(config)
    from eventmill.store.postgres.schema import PostgresSchema

    return PostgresSchema(config.store)


def read_documents(config: Config, *kinds: Kind) -> list[list[bytes]]:
    """Of each kind all documents, in the order of their creation, beside running gateways or without one; for commands.

    Raises `StartupError` naming cause and remedy."""
    if not config.store:
        return [snapshot.read_documents(Path(config.data), kind) for kind in kinds]
    _check_postgres(config)
    from eventmill.store.postgres.documents import read_documents as read

    return asyncio.run(read(config.store, kinds))


def read_clock_ahead_ms(config: Config, clock: Clock) -> int:
    """How far this machine's clock is ahead of the database's; 0 without one; for commands. Raises `StartupError`."""
    if not config.store:
        return 0
    _check_postgres(config)
    from eventmill.store.postgres.starting import read_clock_ahead_ms as read

    return asyncio.run(read(config.store, clock))


def check_rights(config: Config) -> None:
    """Whether a gateway may write where it stores, as far as a database knows; for commands. Of one with a schema.

    Raises `StartupError` naming cause and remedy."""
    if not config.store:
        return
    _check_postgres(config)
    from eventmill.store.postgres.starting import check_rights_of as check

    asyncio.run(check(config.store))


def place_of(config: Config) -> str:
    """Where the store is, for messages."""
    if not config.store:
        return config.data
    from eventmill.store.postgres.connect import shown

    return shown(config.store)


def _check_postgres(config: Config) -> None:
    if not config.store.startswith(SCHEMES):
        raise StartupError("--store must be like postgresql://user:password@host:5432/database, or empty for files")
    if find_spec("asyncpg") is None:
        raise StartupError("--store needs the driver of PostgreSQL: pip install 'eventmill[postgres]'")
