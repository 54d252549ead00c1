"""Brings a database file to the format this version writes: numbered `.sql` files, each applied in one transaction.

What was applied is recorded with its checksum, so that a file edited after its release is noticed. Never goes back: a
file of a newer format stops the start.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from importlib.resources import files

import msgspec

from eventmill.errors import StartupError


class Migration(msgspec.Struct, frozen=True):
    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def load_migrations(package: str, folder: str) -> list[Migration]:
    """All `NNNN_name.sql` of a package's folder, by number."""
    found = []
    for entry in files(package).joinpath(folder).iterdir():
        number, _, rest = entry.name.partition("_")
        if entry.name.endswith(".sql") and number.isdigit():
            found.append(Migration(int(number), rest.removesuffix(".sql"), entry.read_text("utf-8")))
    return sorted(found, key=lambda migration: migration.number)


def migrate(connection: sqlite3.Connection, migrations: Sequence[Migration], file: str) -> int:
    """Apply what is missing; returns the format. `file` names the database in messages. Raises `StartupError`.

    The connection must be in autocommit mode.
    """
    newest = migrations[-1].number
    present = read_format(connection)
    if present > newest:
        raise StartupError(
            f"{file} has format {present}, but this version reads up to {newest}; "
            "start the newer version that wrote it, or name another data directory"
        )
    _check_history(connection, [m for m in migrations if m.number <= present], file)
    for migration in migrations:
        if migration.number > present:
            _apply(connection, migration)
    return newest


def read_format(connection: sqlite3.Connection) -> int:
    """Format of a database file; 0 when it is empty."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def statements(sql: str) -> Iterator[str]:
    """Single statements of a script; `executescript` would commit the open transaction."""
    pending = ""
    for line in sql.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""


def _check_history(connection: sqlite3.Connection, applied: Sequence[Migration], file: str) -> None:
    if not applied:
        return
    recorded = dict(connection.execute("SELECT number, checksum FROM migration"))
    for migration in applied:
        if recorded.get(migration.number) != migration.checksum:
            raise StartupError(
                f"{file} was made by a build with another migration {migration.number} ({migration.name}); "
                "start that build, or name another data directory"
            )


def _apply(connection: sqlite3.Connection, migration: Migration) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in statements(migration.sql):
            connection.execute(statement)
        connection.execute(
            "INSERT INTO migration (number, name, checksum) VALUES (?, ?, ?)",
            (migration.number, migration.name, migration.checksum),
        )
        # A pragma takes no parameters; the number comes from a file name that was checked to be decimal.
        connection.execute(f"PRAGMA user_version = {migration.number:d}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
