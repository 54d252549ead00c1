"""What engines leave out of a lane's progress: outcomes of first attempts whose events a replay took meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from msgspec.structs import replace

from eventmill.store.work import Ended, LaneProgress, RetryUnit

Placed = TypeVar("Placed", RetryUnit, Ended)


def without_replayed(progress: LaneProgress, taken: set[int]) -> LaneProgress:
    """Without what became of the positions that are a replay's now."""
    if not taken:
        return progress
    return replace(
        progress,
        put_units=_without(progress.put_units, taken),
        ended=_without(progress.ended, taken),
    )


def _without(records: Sequence[Placed], taken: set[int]) -> tuple[Placed, ...]:
    """First attempts' records without those positions; those of replays as they are."""
    left: list[Placed] = []
    for record in records:
        if record.replay or taken.isdisjoint(record.positions):
            left.append(record)
        elif positions := tuple(seq for seq in record.positions if seq not in taken):
            left.append(replace(record, positions=positions))
    return tuple(left)
