"""The numbered `.sql` files that bring a store to the format of this version, and what a store lacks of them.

Each is applied in one transaction, with its record. `NNNN_name.sql` only adds, so that programs of the version before
work on beside it; `NNNN_name.post.sql` takes away what only they needed. On either engine neither kind may rely on an
order between the two. What was applied is recorded with its checksum, so that a file edited after its release is
noticed. Nothing ever goes back.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Literal, Protocol

import msgspec

from eventmill.errors import Exit, StartupError

StepKind = Literal["pre", "post"]
StepState = Literal["applied", "pending", "unknown"]


class Migration(msgspec.Struct, frozen=True):
    number: int
    name: str
    sql: str
    post: bool = False

    @property
    def kind(self) -> StepKind:
        return "post" if self.post else "pre"

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


class Step(msgspec.Struct, frozen=True):
    """A migration as somebody sees it who asks for the state of a store."""

    number: int
    name: str
    kind: StepKind
    state: StepState
    """unknown: applied by a later version, which says that this one may work on."""


class LiveNode(msgspec.Struct, frozen=True):
    id: str
    version: str
    schema: int
    """The highest step its program knows."""
    seen_s: int
    """Seconds since its last sign of life."""


class SchemaStatus(msgspec.Struct, frozen=True):
    store: str
    schema: int
    """The highest step in the store; 0: none yet."""
    program: int
    """The highest step that this program knows."""
    steps: tuple[Step, ...]
    nodes: tuple[LiveNode, ...] = ()

    @property
    def pending(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.state == "pending")


class Schema(Protocol):
    """The schema of a store that no gateway has open in this process. Everything raises `StartupError`."""

    async def status(self) -> SchemaStatus:
        """Reads only. A store of a newer or another build is refused (`Exit.SCHEMA`)."""

    async def bring_up(self, *, post: bool) -> tuple[Step, ...]:
        """Apply what is pending, steps of the kind "post" only when asked to; returns what was applied."""


def load_migrations(package: str, folder: str) -> list[Migration]:
    """All migrations of a package's folder, by number."""
    return read_migrations(files(package).joinpath(folder))


def read_migrations(folder: Traversable) -> list[Migration]:
    found = []
    for entry in folder.iterdir():
        number, _, rest = entry.name.partition("_")
        if entry.name.endswith(".sql") and number.isdigit():
            stem = rest.removesuffix(".sql")
            name = stem.removesuffix(".post")
            found.append(Migration(int(number), name, entry.read_text("utf-8"), post=name != stem))
    twice = [number for number, times in Counter(each.number for each in found).items() if times > 1]
    if twice:
        raise StartupError(f"{folder} has several migrations {twice[0]}; number them anew")
    return sorted(found, key=lambda migration: migration.number)


def steps_of(migrations: Sequence[Migration], applied: set[int]) -> tuple[Step, ...]:
    return tuple(
        Step(each.number, each.name, each.kind, "applied" if each.number in applied else "pending")
        for each in migrations
    )


def migrate(connection: sqlite3.Connection, migrations: Sequence[Migration], file: str) -> int:
    """Apply what is missing, of either kind: no other process has the file. Returns the format. `file` names the
    database in messages. Raises `StartupError`.

    The connection must be in autocommit mode.
    """
    present = check_format(connection, migrations, file)
    for migration in migrations:
        if migration.number > present:
            _apply(connection, migration)
    return migrations[-1].number


def check_format(connection: sqlite3.Connection, migrations: Sequence[Migration], file: str) -> int:
    """Format of a database file that these migrations can continue. Raises `StartupError`."""
    newest = migrations[-1].number
    present = read_format(connection)
    if present > newest:
        raise StartupError(
            f"{file} has format {present}, but this version reads up to {newest}; "
            "start the newer version that wrote it, or name another data directory",
            Exit.SCHEMA,
        )
    _check_history(connection, [m for m in migrations if m.number <= present], file)
    return present


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
                "start that build, or name another data directory",
                Exit.SCHEMA,
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
