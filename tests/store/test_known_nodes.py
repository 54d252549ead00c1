"""Which nodes a store tells of: those that have the database open, this one first, with the slots that they hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventmill import __version__
from eventmill.config import Config
from eventmill.store.postgres.store import PostgresStore
from eventmill.store.sqlite.store import SqliteStore
from eventmill.store.work import SLOTS
from tests.store.builders import HandClock
from tests.store.postgres import database_of

pytestmark = pytest.mark.anyio


async def test_nodes_of_one_database(tmp_path: Path) -> None:
    """Each tells of both and calls itself this one; one that was closed is not told of any more."""
    config = Config(data=str(tmp_path), dev=True, store=database_of(str(tmp_path)))
    delivering, front = (PostgresStore(config, HandClock(), delivers=each) for each in (True, False))
    await delivering.open()
    await front.open()
    try:
        assert await front.presidency()
        first, second = await delivering.nodes()
        assert (first.is_this, first.slots, first.presides) == (True, SLOTS, False)
        assert (second.is_this, second.slots, second.presides) == (False, 0, True)
        assert {first.version, second.version} == {__version__}
        assert max(first.seen_s, second.seen_s) < 600
        assert [each.id for each in await front.nodes()] == [second.id, first.id]
    finally:
        await delivering.close()
    assert [each.is_this for each in await front.nodes()] == [True]
    await front.close()


async def test_a_store_of_ones_own_has_none(tmp_path: Path) -> None:
    """Nobody else may have the data directory open."""
    store = SqliteStore(Config(data=str(tmp_path)), HandClock())
    await store.open()
    try:
        assert await store.nodes() == []
    finally:
        await store.close()
