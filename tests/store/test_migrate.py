"""Migrations of a database file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from eventmill.cli.migrate import migrate as command
from eventmill.errors import Exit, StartupError
from eventmill.store.migrate import Migration, load_migrations, migrate, read_format, read_migrations

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


def test_names_say_what_a_step_does(tmp_path: Path) -> None:
    """`.post` marks what takes away; other files are none of ours; a number stands once."""
    for name in ("0002_more.post.sql", "0001_initial.sql", "README.md", "notes.sql"):
        (tmp_path / name).write_text(name)
    found = [(each.number, each.name, each.kind) for each in read_migrations(tmp_path)]
    assert found == [(1, "initial", "pre"), (2, "more", "post")]
    (tmp_path / "0002_again.sql").touch()
    with pytest.raises(StartupError, match="several migrations 2; number them anew"):
        read_migrations(tmp_path)


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """A data directory as an earlier version left it."""
    steps = load_migrations("eventmill.store.sqlite", "sql/state")
    with closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as connection:
        migrate(connection, steps[:-2], "f")
    return tmp_path


def run(data: Path, *arguments: str) -> Result:
    return CliRunner().invoke(command, [*arguments, "--data", str(data)])


def test_a_directory_is_looked_at_and_brought_up(earlier: Path) -> None:
    """`check` tells by its exit code, `status` by a table, and only `up` changes anything."""
    newest = len(load_migrations("eventmill.store.sqlite", "sql/state"))
    pending = f"Pending: {newest - 1}, {newest}. Run them with `eventmill migrate up`"
    checked = run(earlier, "check")
    assert (checked.exit_code, checked.output.startswith(pending)) == (Exit.PENDING, True)
    assert "initial" in run(earlier, "status").output
    report = json.loads(run(earlier, "status", "--json").output)
    assert (report["schema"], report["program"], report["pending"]) == (newest - 2, newest, [newest - 1, newest])
    done = json.loads(run(earlier, "up", "--json").output)
    assert (done["applied"], done["pending"]) == ([newest - 1, newest], [])
    assert run(earlier, "up").output == "Nothing to do.\n"
    assert run(earlier, "check").exit_code == 0


def test_a_directory_without_data(tmp_path: Path) -> None:
    """Nothing is made where nothing was."""
    for name in ("status", "check", "up"):
        result = run(tmp_path / "none", name)
        assert isinstance(result.exception, StartupError) and "no gateway has its data in" in str(result.exception)
    assert list(tmp_path.iterdir()) == []
