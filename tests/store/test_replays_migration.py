"""The state file of before replays: what ended undelivered is found by its positions afterwards."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import pytest

from eventmill.model import Lane
from eventmill.store.migrate import load_migrations, migrate
from eventmill.store.sqlite.packing import pack_seqs
from eventmill.store.sqlite.units import count_ended, ended_after, ended_at

BEFORE = 3
LANE = Lane(1001)


@pytest.mark.parametrize(
    "positions",
    [
        [7],
        [70_000_000_123],
        list(range(300, 900)),
        [3, 9, 200],
        [3, 70_000],
        [5, 1 << 33],
        [5, 1 << 40],
        [9, 4, 7],
    ],
)
def test_earlier_records_of_ends_are_found(positions: Sequence[int]) -> None:
    """Whatever form their positions were packed in."""
    migrations = load_migrations("eventmill.store.sqlite", "sql/state")
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, migrations[:BEFORE], "state.db")
    insert = "INSERT INTO ended (lane, positions, outcome, cause, at_ms) VALUES (?, ?, 'gave_up', 503, 1)"
    connection.execute(insert, (LANE, pack_seqs(positions)))
    migrate(connection, migrations, "state.db")

    assert [each.seq for each in ended_after(connection, LANE, 0, 1000)] == sorted(positions)
    assert count_ended(connection, LANE, 0, 1 << 62) == {"gave_up": len(positions)}
    assert count_ended(connection, LANE, min(positions), max(positions)) == (
        {"gave_up": len(positions) - 1} if len(positions) > 1 else {}
    )
    for seq in positions[:3]:
        assert [sorted(held) for held in ended_at(connection, LANE, [seq]).values()] == [sorted(positions)]
    connection.close()
