"""Dev mode on several nodes: each sees to what is due when one of them moves the clock, and says when that is done."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Protocol

from eventmill.clock import VirtualClock
from eventmill.errors import StoreUnavailable
from eventmill.flow.stage import Passes
from eventmill.store.fellows import Fellows
from eventmill.store.work import SLOTS

_LOOK_S = 0.01
_SHARE_OUT_S = 0.5
_AGAIN_S = 0.5
_SILENT_S_MAX = 10
"""A node that is just starting says something sooner."""


class Delivering(Protocol):
    """What is asked of `flow.deliver.Deliver` here."""

    def next_due_ms(self) -> int | None: ...

    async def quiesce(self) -> int: ...

    def wake(self) -> None: ...


class Everybody:
    """Implements `Delivering`: deliveries of this node and of all others."""

    def __init__(self, own: Delivering, fellows: Fellows) -> None:
        self._own = own
        self._fellows = fellows
        self._due_ms: int | None = None
        """The others'."""

    def next_due_ms(self) -> int | None:
        """As the others said last."""
        return min((due_ms for due_ms in (self._own.next_due_ms(), self._due_ms) if due_ms is not None), default=None)

    async def quiesce(self) -> int:
        """Until somebody has seen to each slot, all of them: what is due on one that nobody holds waits for its next
        holder. Raises `StoreUnavailable`, also when another node takes no part."""
        self._due_ms = None
        if await self._own.quiesce() == SLOTS:
            return SLOTS
        number = await self._fellows.ask()
        waited_s = shared_out_s = 0.0
        while (answers := await self._fellows.answers(number)).unsettled or answers.silent:
            if answers.silent and waited_s > _SILENT_S_MAX:
                raise StoreUnavailable(
                    "a node on this database delivers without --dev; stop it, or start it with --dev"
                )
            if answers.free and waited_s >= shared_out_s:
                await self._fellows.share_out()
                shared_out_s = waited_s + _SHARE_OUT_S
            await asyncio.sleep(_LOOK_S)
            waited_s += _LOOK_S
        self._due_ms = answers.due_ms
        return SLOTS

    def wake(self) -> None:
        self._own.wake()


class Settling:
    """Answers what this node and the others ask. `emptied` is called when one of the others has emptied the store."""

    def __init__(self, fellows: Fellows, own: Delivering, clock: VirtualClock, emptied: Callable[[], None]) -> None:
        self._fellows = fellows
        self._own = own
        self._clock = clock
        self._emptied = emptied
        self._generation = 0
        self._rate: float | None = None
        self._asked = asyncio.Event()

    def look(self) -> None:
        """Something may have been asked."""
        self._asked.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        with contextlib.suppress(StoreUnavailable):
            if not await self._fellows.others():
                await self._fellows.set_rate(None)  # it went with those whom it was set for
        passes = Passes("settling")
        while True:
            self._asked.clear()
            await passes.make(self.step)
            await asyncio.sleep(_LOOK_S)  # the store moves with every commit
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_AGAIN_S):  # hints get lost, and a step may have failed
                    await self._asked.wait()

    async def step(self) -> None:
        asked = await self._fellows.asked()
        if self._generation not in (0, asked.generation):
            self._emptied()
        self._generation = asked.generation
        if asked.rate is not None and asked.rate != self._rate:
            self._clock.set_rate(asked.rate)
            self._own.wake()
        self._rate = asked.rate
        if asked.answered is None or asked.number > asked.answered:
            self._clock.follow(asked.offset_ms, asked.jumped_ms)
            slots = await self._own.quiesce()
            await self._fellows.answer(asked, slots, self._own.next_due_ms())
