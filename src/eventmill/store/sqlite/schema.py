"""The format of a data directory as commands see it: what it has, what is pending, and bringing it up.

One process has a directory to itself, so that there is no earlier version beside it: all steps run at the first start.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from eventmill.errors import StartupError
from eventmill.store.migrate import SchemaStatus, Step, check_format, load_migrations, migrate, steps_of
from eventmill.store.sqlite.connect import open_reader, open_writer
from eventmill.store.sqlite.lock import DirectoryLock


class SqliteSchema:
    """Implements `store.migrate.Schema`."""

    def __init__(self, data: str) -> None:
        self._data = Path(data)
        self._file = self._data / "state.db"
        self._migrations = load_migrations(__package__, "sql/state")

    async def status(self) -> SchemaStatus:
        self._check_there()
        try:
            with closing(open_reader(self._file)) as connection:
                present = check_format(connection, self._migrations, str(self._file))
        except sqlite3.Error as error:
            raise StartupError(f"{self._file} cannot be read: {error}; see that the file is whole") from error
        return self._status(present)

    async def bring_up(self, *, post: bool) -> tuple[Step, ...]:
        """`post` changes nothing: there is nobody whom those steps would trouble."""
        self._check_there()
        lock = DirectoryLock(self._data / "lock")
        lock.acquire()
        try:
            with closing(open_writer(self._file)) as connection:
                pending = self._status(check_format(connection, self._migrations, str(self._file))).pending
                migrate(connection, self._migrations, str(self._file))
        except sqlite3.Error as error:
            raise StartupError(
                f"{self._file} cannot be brought up: {error}; check that the disk is not full and the file whole"
            ) from error
        finally:
            lock.release()
        return tuple(Step(each.number, each.name, each.kind, "applied") for each in pending)

    def _check_there(self) -> None:
        if not self._file.exists():
            raise StartupError(
                f"no gateway has its data in {self._data}; name its directory with --data, or its database with --store"
            )

    def _status(self, present: int) -> SchemaStatus:
        applied = {each.number for each in self._migrations if each.number <= present}
        return SchemaStatus(
            store=f"data directory {self._data}",
            schema=present,
            program=self._migrations[-1].number,
            steps=steps_of(self._migrations, applied),
        )
