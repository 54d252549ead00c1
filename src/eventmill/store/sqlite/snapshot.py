"""Reads the documents of a data directory from outside, beside a running gateway or without one. Never writes."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from eventmill.errors import StartupError
from eventmill.store.control import Kind
from eventmill.store.sqlite.connect import open_reader
from eventmill.store.sqlite.queries import load_queries

_STATE_FILE = "state.db"
_SQL = load_queries("state")


def read_documents(data: Path, kind: Kind) -> list[bytes]:
    """All documents of a kind, in the order of their creation. Raises `StartupError` naming cause and remedy."""
    path = data / _STATE_FILE
    if not path.exists():
        raise StartupError(f"no gateway has its data in {data}; start one with: eventmill serve --dev --data {data}")
    try:
        with closing(open_reader(path)) as connection:
            return [row[3] for row in connection.execute(_SQL["scan_docs"], (kind,))]
    except sqlite3.Error as error:
        raise StartupError(f"{path} cannot be read: {error}") from error
