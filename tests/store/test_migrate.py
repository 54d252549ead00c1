"""Migrations of a database file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from eventmill.errors import StartupError
from eventmill.store.migrate import Migration, load_migrations, migrate, read_format

FIRST = Migration(
    1,
    "initial",
    "CREATE TABLE migration (number INTEGER PRIMARY KEY, name TEXT, checksum TEXT);\n"
    "CREATE TABLE a (x);\nINSERT INTO a VALUES (';');\n",
)
SECOND = Migration(2, "more", "-- why\nCREATE TABLE b (x);\nINSERT INTO b SELECT x FROM a;\n")
BROKEN = Migration(2, "broken", "CREATE TABLE b (x);\nINSERT INTO nowhere VALUES (1);\n")


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        yield connection


def test_missing_migrations_are_applied_in_order(connection: sqlite3.Connection) -> None:
    """An empty file goes through all of them, an older one through the rest, a current one through none."""
    assert migrate(connection, [FIRST], "f") == 1
    assert migrate(connection, [FIRST, SECOND], "f") == 2
    assert migrate(connection, [FIRST, SECOND], "f") == 2
    assert connection.execute("SELECT x FROM b").fetchall() == [(";",)]
    assert connection.execute("SELECT number, name FROM migration").fetchall() == [(1, "initial"), (2, "more")]


def test_a_failing_migration_leaves_nothing(connection: sqlite3.Connection) -> None:
    """Each is one transaction: tables it made before the failure are gone, and the format stays."""
    migrate(connection, [FIRST], "f")
    with pytest.raises(sqlite3.Error):
        migrate(connection, [FIRST, BROKEN], "f")
    assert read_format(connection) == 1
    assert connection.execute("SELECT name FROM sqlite_master WHERE name = 'b'").fetchall() == []


def test_a_newer_file_is_refused(connection: sqlite3.Connection) -> None:
    """There is no way back; the message names the file, both formats and the remedy."""
    migrate(connection, [FIRST, SECOND], "f")
    with pytest.raises(StartupError, match="f has format 2, but this version reads up to 1"):
        migrate(connection, [FIRST], "f")


def test_an_edited_migration_is_refused(connection: sqlite3.Connection) -> None:
    """A file made with another text of a migration is not ours to continue."""
    migrate(connection, [FIRST], "f")
    edited = Migration(1, "initial", FIRST.sql + "\n")
    with pytest.raises(StartupError, match="another migration 1"):
        migrate(connection, [edited, SECOND], "f")


def test_the_engines_migrations_load() -> None:
    """The packaged files are numbered from one without a hole."""
    found = load_migrations("eventmill.store.sqlite", "sql/state")
    assert [migration.number for migration in found] == list(range(1, len(found) + 1))
