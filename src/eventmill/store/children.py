"""Delivery children and the front that started them, whatever the engine: what each store does for the other's sake.

Each child has a socket pair with its front. A closed one says that the other is gone; a beat every second that a child
lives, and what it has done.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from eventmill.store.control import ControlReads
from eventmill.store.framed import FramedLink
from eventmill.store.work import WorkStore

BEAT_S = 1.0


class Beat(msgspec.Struct, frozen=True, tag=True):
    """Child to front."""

    slots: int
    """That it holds."""
    sums: dict[str, int] = {}
    """What it counted since it started, as `Totals` names it, where the front does not count that itself."""


class Drain(msgspec.Struct, frozen=True, tag=True):
    """Front to child: finish what is under way, then end."""


Heard = Callable[[Beat], None]


def ignore_beat(_beat: Beat) -> None:
    """For fronts that need not know."""


class ParentStore(Protocol):
    """What a front's store does for delivery children."""

    def attach_child(self, sock: socket.socket, index: int, count: int, heard: Heard) -> None:
        """Serve the child with this number, of so many, over its socket pair until that closes."""

    def drain_children(self) -> None:
        """Ask all children to finish what is under way and end, those that are only starting included."""


class ChildStore(WorkStore, ControlReads, Protocol):
    """The store of a delivery child."""

    lost: asyncio.Event
    """The front is gone, or has let this child go."""
    drain_asked: asyncio.Event

    async def open(self) -> None:
        """Raises `StartupError`."""

    async def close(self) -> None: ...


async def keep_beating(link: FramedLink[Any], say: Callable[[], Beat]) -> None:
    """Until it is cancelled. A front that does not read is not written to."""
    while True:
        if not link.paused:
            link.send(say())
        await asyncio.sleep(BEAT_S)
