"""Journal pages made before they are asked for: a reader who gets a full page nearly always asks for the one after it.

While it takes in the first, the second is made. Only what can no longer change is given out, and only little is kept.
Reads nothing itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

import msgspec

from eventmill.model import Lane

KEPT_MAX = 16
"""Pages kept; with `Config.journal_page_bytes_max` the bound of their memory."""
KEPT_S = 1.0
"""A page that waited this long makes room for another. Younger ones are not driven out: they are about to be taken."""


class PageKey(NamedTuple):
    """Everything that the bytes of a full page depend on."""

    lane: Lane
    client_id: str
    generation: int
    after: int
    limit: int


class Page(msgspec.Struct, frozen=True):
    body: bytes
    last: str
    """Position of its last event."""
    last_seq: int
    is_full: bool
    """It has as many events as were asked for, so that later ones cannot change it."""


class ReadAhead:
    """Used from one event loop only."""

    def __init__(self) -> None:
        self._kept: dict[PageKey, tuple[float, asyncio.Task[Page | None]]] = {}
        """Machine time at which it was begun, and the page."""

    def start(self, key: PageKey, make: Callable[[], Coroutine[Any, Any, Page | None]], now_s: float) -> None:
        """Have the page made in the loop's next turn, if there is room. `now_s` is machine time."""
        if key in self._kept or not self._has_room(now_s):
            return
        task = asyncio.get_running_loop().create_task(make())
        task.add_done_callback(_see_failure)
        self._kept[key] = now_s, task

    def _has_room(self, now_s: float) -> bool:
        if len(self._kept) < KEPT_MAX:
            return True
        oldest, (begun_s, task) = next(iter(self._kept.items()))
        if now_s - begun_s < KEPT_S:
            return False
        task.cancel()
        del self._kept[oldest]
        return True

    async def take(self, key: PageKey) -> Page | None:
        """The page, once; None when it was not made or may have changed since. Raises what making it raised."""
        _, task = self._kept.pop(key, (0.0, None))
        page = None if task is None else await task
        return page if page is not None and page.is_full else None


def _see_failure(task: asyncio.Task[Page | None]) -> None:
    """Whoever asks for the page meets the failure; when nobody does, it does not matter."""
    if not task.cancelled():
        task.exception()
