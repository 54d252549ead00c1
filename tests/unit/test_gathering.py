"""`store.postgres.gathering`: how many publishes an append waits for."""

from __future__ import annotations

from eventmill.store.postgres.gathering import Gathering


def crowded(present: int, now_s: float) -> Gathering:
    """After some appends with so many publishes present, each of which took 4 ms."""
    gathering = Gathering()
    for number in range(50):
        gathering.note_taken(present, now_s - (50 - number) / 1000)
        gathering.note_answered(0.004)
    return gathering


def test_who_publishes_alone_waits_for_nobody() -> None:
    """At first, again and again, and after a pause behind a crowd."""
    assert Gathering().wanted(0, 5.0) <= 1
    assert crowded(1, 5.0).wanted(0, 5.0) <= 1
    assert crowded(64, 5.0).wanted(0, 5.2) <= 1


def test_a_crowd_is_waited_for() -> None:
    """Most of it while nothing is under way; beside a batch, as many as that holds; and never long."""
    gathering = crowded(16, 5.0)
    assert gathering.wanted(0, 5.0) == 12
    assert gathering.wanted(7, 5.0) == 7
    assert 0.003 < gathering.pause_s <= 0.004
    for _ in range(100):
        gathering.note_answered(2.0)
    assert gathering.pause_s == 0.01


def test_a_crowd_that_left_is_forgotten() -> None:
    """Within some appends."""
    gathering = crowded(64, 5.0)
    for number in range(12):
        gathering.note_taken(1, 5.0 + number / 100)
    assert gathering.wanted(0, 5.12) <= 1
