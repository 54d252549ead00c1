"""What the gateways of the end-to-end tests run on, as EVENTMILL_E2E_STORE says: a data directory unless it is set;
`postgres`: one node on a database of its own; `cluster`: three of them, behind one port."""

from __future__ import annotations

import os
from pathlib import Path

MODE = os.environ.get("EVENTMILL_E2E_STORE", "")
NODES = 3 if MODE == "cluster" else 1
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
