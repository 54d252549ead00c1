"""What the gateways of the end-to-end tests run on, as EVENTMILL_E2E_STORE says: a data directory unless it is set;
`postgres`: one node on a database of its own; `cluster`: three of them, behind one port."""

from __future__ import annotations

import asyncio
import io
import os
from pathlib import Path

import asyncpg

MODE = os.environ.get("EVENTMILL_E2E_STORE", "")
NODES = 3 if MODE == "cluster" else 1
PATIENCE = 4 if MODE == "cluster" else 1
"""How many times as long as usual is waited before something counts as hanging: a dozen processes share the machine."""
_stores: dict[Path, str] = {}


def start_server() -> None:
    """To be called by the thread that runs the tests: the server ends with the one that starts it."""
    if MODE:
        from tests.store.postgres import server

        server()


def store_of(data: Path) -> str:
    """The `--store` that goes with a data directory; empty when that is the store itself."""
    if not MODE:
        return ""
    if data not in _stores:
        from tests.store.postgres import empty_database

        _stores[data] = empty_database()
    return _stores[data]


def store_variables(data: str) -> dict[str, str]:
    """For commands that are to find the gateway of a data directory; none when no gateway was started there."""
    store = _stores.get(Path(data))
    return {} if store is None else {"EVENTMILL_STORE": store}


async def stored_by(data: Path) -> list[bytes]:
    """All that the gateway of a data directory keeps: its files, and the tables of its database."""
    kept = await asyncio.to_thread(lambda: [path.read_bytes() for path in data.rglob("*") if path.is_file()])
    if data not in _stores:
        return kept
    database = await asyncpg.connect(_stores[data])
    tables = "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'eventmill'::regnamespace"
    for (table,) in await database.fetch(tables):
        rows = io.BytesIO()
        await database.copy_from_query(f"SELECT * FROM {table}", output=rows, format="binary")
        kept.append(rows.getvalue())
    await database.close()
    return kept
