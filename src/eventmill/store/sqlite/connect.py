"""The one place where database files are opened, and how.

Writers sync every commit and never checkpoint by themselves (`checkpointer` does, off the acknowledgement path).
Readers cannot write. Connections are used by one thread at a time, which the callers see to.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

_BUSY_S = 5.0
_WRITER_BUSY_S = 0.1
"""Nothing contends with the writer but a reader at a restart of the log, which can wait for the next round."""
_STATEMENTS = 512
"""Cached statements per connection: each bulk query comes in several sizes."""
PAGE_BYTES = 8192
"""Of new files. Reading a journal costs by the page; a commit of one event writes three of them."""
_WRITER_PRAGMAS = (
    f"page_size = {PAGE_BYTES}",
    "journal_mode = WAL",
    "synchronous = FULL",
    "wal_autocheckpoint = 0",
    "secure_delete = OFF",
    "temp_store = MEMORY",
)


def open_writer(path: Path) -> sqlite3.Connection:
    """A connection that makes the file when missing. A commit returns once it is synced."""
    return _prepare(_connect(str(path), _WRITER_BUSY_S), _WRITER_PRAGMAS)


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that cannot write. Fails when the file is missing."""
    return _prepare(_connect(f"file:{quote(str(path))}?mode=ro", _BUSY_S), ("query_only = ON",))


def open_existing(path: Path) -> sqlite3.Connection:
    """A connection for checkpoints. Fails when the file is missing: a dropped segment must not come back."""
    return _connect(f"file:{quote(str(path))}?mode=rw", _BUSY_S)


def drop_cache(connection: sqlite3.Connection) -> None:
    """Give back the pages it keeps, 2 MB at most: after reading a table as a whole, which is not done again soon."""
    connection.execute("PRAGMA shrink_memory")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commits, or leaves nothing. A commit that fails is rolled back and raised."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _connect(name: str, busy_s: float) -> sqlite3.Connection:
    return sqlite3.connect(
        name,
        uri=name.startswith("file:"),
        timeout=busy_s,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_STATEMENTS,
    )


def _prepare(connection: sqlite3.Connection, pragmas: Sequence[str]) -> sqlite3.Connection:
    try:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection
