"""Faults that somebody asked for, to see how a receiver takes them: what the next attempt suffers, and what is left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

FaultKind = Literal["status", "latency", "drop", "duplicate", "reorder"]
"""`status`: the gateway sees this answer, and the webhook nothing. `latency`: the attempt begins later. `drop`: the
gateway takes the event for delivered, and the webhook never sees it. `duplicate`: the webhook gets it twice.
`reorder`: it arrives after the next one."""


class Fault(Struct, frozen=True):
    kind: FaultKind
    times: int
    """Attempts that it is still for; at least 1."""
    status: int = 0
    """Of `status`."""
    latency_ms: int = 0
    """Of `latency`; machine time."""


class Plan(Struct, frozen=True):
    """What one attempt suffers, in the order of the fields."""

    latency_ms: int = 0
    is_held: bool = False
    status: int = 0
    """0: the webhook's own."""
    is_dropped: bool = False
    is_doubled: bool = False


HARMLESS = Plan()


def plan_attempt(faults: Sequence[Fault]) -> tuple[Plan, tuple[Fault, ...]]:
    """The first fault of each kind counts for the attempt; returns what is left of all of them."""
    taken: dict[FaultKind, Fault] = {}
    left: list[Fault] = []
    for each in faults:
        if each.kind in taken:
            left.append(each)
            continue
        taken[each.kind] = each
        if each.times > 1:
            left.append(replace(each, times=each.times - 1))
    plan = Plan(
        latency_ms=taken["latency"].latency_ms if "latency" in taken else 0,
        is_held="reorder" in taken,
        status=taken["status"].status if "status" in taken else 0,
        is_dropped="drop" in taken,
        is_doubled="duplicate" in taken,
    )
    return plan, tuple(left)
