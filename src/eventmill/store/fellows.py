"""Development mode: what a node asks of the others on the same store, and what it is asked."""

from __future__ import annotations

from typing import Protocol

import msgspec


class Asked(msgspec.Struct, frozen=True):
    number: int
    """Of the latest request to see to all that is due."""
    answered: int | None
    """Of the latest that this node has answered; lower than that when it got slots since. None: none."""
    generation: int
    """Raised by each `Store.reset`."""
    offset_ms: int
    jumped_ms: int
    rate: float | None
    """Of business time; None: as each node's settings say."""


class Answers(msgspec.Struct, frozen=True):
    unsettled: int
    """Slots that were not seen to yet: their node is not done, or they have none."""
    free: int
    """Those that have none, or one that is gone."""
    silent: int
    """Other nodes that never said anything: they are just starting, or not in development mode."""
    due_ms: int | None
    """When the first of the others has something to do next."""


class Fellows(Protocol):
    """Nodes are those that take slots; one that is gone is none a lease's time later.

    Raises `StoreUnavailable`."""

    async def others(self) -> int:
        """How many there are."""

    async def ask(self) -> int:
        """Have all nodes, this one too, see to all that is due now; returns the number of the request."""

    async def answers(self, number: int) -> Answers:
        """Of all nodes to that request."""

    async def share_out(self) -> None:
        """Have all nodes take slots that nobody holds, rather than at their next renewal."""

    async def asked(self) -> Asked:
        """Hints of `WorkStore.on_change` tell when to look."""

    async def answer(self, asked: Asked, slots: int, due_ms: int | None) -> None:
        """All is done that was due on so many slots; `due_ms` is when this node has something to do next.

        Without effect when the node has other slots by now: then it is to look again."""

    async def set_rate(self, rate: float | None) -> None: ...
