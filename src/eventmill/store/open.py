"""Picks the engine that a configuration asks for; the only place that knows both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.errors import StartupError
from eventmill.store.sqlite.store import SqliteStore

if TYPE_CHECKING:
    from eventmill.store.postgres.store import PostgresStore

SCHEMES = ("postgresql://", "postgres://")


def make_store(config: Config, clock: Clock) -> SqliteStore | PostgresStore:
    """Not open yet. Raises `StartupError`."""
    if not config.store:
        return SqliteStore(config, clock)
    if not config.store.startswith(SCHEMES):
        raise StartupError("--store must be like postgresql://user:password@host:5432/database, or empty for files")
    try:
        from eventmill.store.postgres.store import PostgresStore
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        raise StartupError("--store needs the driver of PostgreSQL: pip install 'eventmill[postgres]'") from error
    return PostgresStore(config, clock)
