"""The engines under test: each goes through the whole conformance suite."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.store.base import Store
from eventmill.store.sqlite.layout import Layout
from eventmill.store.sqlite.store import SqliteStore
from tests.store.builders import OpenEngine, Stores
from tests.store.postgres import open_postgres


def open_sqlite(config: Config, clock: Clock) -> Store:
    return SqliteStore(config, clock)


def open_sqlite_small(config: Config, clock: Clock) -> Store:
    """Chunks, snapshots and batches so small that every boundary of the layout is crossed by a few events."""
    return SqliteStore(
        config, clock, Layout(chunk_positions=4, snapshot_events=16, batch_events=3, wal_checkpoint_bytes=1)
    )


ENGINES: dict[str, OpenEngine] = {
    "sqlite": open_sqlite,
    "sqlite-small-layout": open_sqlite_small,
    "postgres": open_postgres,
}


@pytest.fixture(params=list(ENGINES))
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Stores:
    return Stores(ENGINES[request.param], tmp_path / "data")
