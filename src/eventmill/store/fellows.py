"""Development mode: what a node asks of the others on the same store, and what it is asked."""

from __future__ import annotations

from typing import Protocol

import msgspec


class Asked(msgspec.Struct, frozen=True):
    number: int
    """Of the latest request to see to all that is due."""
    generation: int
    """Raised by each `Store.reset`."""
    offset_ms: int
    jumped_ms: int
    rate: float | None
    """Of business time; None: as each node's settings say."""


class Answers(msgspec.Struct, frozen=True):
    busy: int
    """Nodes that are not done yet."""
    silent: int
    """Nodes that never said anything: they are just starting, or not in development mode."""
    due_ms: int | None
    """When the first of the others has something to do next."""


class Fellows(Protocol):
    """Other nodes are those that take slots; one that is gone is none a lease's time later.

    Raises `StoreUnavailable`."""

    async def others(self) -> int:
        """How many there are."""

    async def ask(self) -> int:
        """Have them see to all that is due now; returns the number of the request."""

    async def answers(self, number: int) -> Answers:
        """Of the others to that request."""

    async def asked(self) -> Asked:
        """Hints of `WorkStore.on_change` tell when to look."""

    async def answer(self, number: int, due_ms: int | None) -> None:
        """All is done that was due; `due_ms` is when this node has something to do next."""

    async def set_rate(self, rate: float | None) -> None: ...
