"""The one place where database files are opened, and how.

Writers sync every commit and never checkpoint by themselves (`checkpointer` does, off the acknowledgement path).
Readers cannot write. Connections are used by one thread at a time, which the callers see to.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

_BUSY_S = 5.0
_WRITER_BUSY_S = 0.1
"""Nothing contends with the writer but a reader at a restart of the log, which can wait for the next round."""
_STATEMENTS = 512
"""Cached statements per connection: each bulk query comes in several sizes."""


def open_writer(path: Path) -> sqlite3.Connection:
    """A connection that makes the file when missing. A commit returns once it is synced."""
    connection = sqlite3.connect(
        path, timeout=_WRITER_BUSY_S, isolation_level=None, check_same_thread=False, cached_statements=_STATEMENTS
    )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("PRAGMA secure_delete = OFF")
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that cannot write. Fails when the file is missing."""
    connection = _open_uri(path, "ro")
    connection.execute("PRAGMA query_only = ON")
    return connection


def open_existing(path: Path) -> sqlite3.Connection:
    """A connection for checkpoints. Fails when the file is missing: a dropped segment must not come back."""
    return _open_uri(path, "rw")


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


def _open_uri(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"file:{quote(str(path))}?mode={mode}",
        uri=True,
        timeout=_BUSY_S,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_STATEMENTS,
    )
