"""Dev mode: moves business time, stopping at every due time on the way so that all that is due there really happens, on
all nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from eventmill.clock import VirtualClock
from eventmill.flow.settling import Delivering, Everybody
from eventmill.flow.upkeep import Upkeep
from eventmill.store.fellows import Fellows

_STEP_MS = 50
"""What is due this close to each other shares a stop, and happens late by no more."""


class OffsetStore(Protocol):
    @property
    def fellows(self) -> Fellows | None: ...

    async def set_clock(self, offset_ms: int, jumped_ms: int) -> None: ...


class Timed(Protocol):
    """A stage that has due times besides those of delivery."""

    def next_due_ms(self) -> int | None:
        """Business time of the earliest, should nothing but advances move it; None when there is none."""

    async def step(self) -> int:
        """Do all that is due now; returns how much that was."""


class TimeTravel:
    """`deliver` is this node's."""

    def __init__(
        self, clock: VirtualClock, store: OffsetStore, deliver: Delivering, upkeep: Upkeep, timed: Sequence[Timed] = ()
    ) -> None:
        self._clock = clock
        self._store = store
        self._fellows = store.fellows
        self._deliver = deliver if self._fellows is None else Everybody(deliver, self._fellows)
        self._upkeep = upkeep
        self._timed = timed
        self._moving = asyncio.Lock()

    async def advance(self, seconds: float) -> None:
        """Move forward by `seconds` (not negative); returns when every attempt due on the way has ended, all else that
        fell due is done, and retention has run."""
        async with self._moving:
            left_ms = int(seconds * 1000)
            await self._settle()
            while (due_ms := self._next_due_ms()) is not None:
                step_ms = max(0, due_ms + _STEP_MS - self._clock.now_ms())
                if step_ms > left_ms:
                    break
                left_ms -= step_ms
                await self._step(step_ms)
                await self._settle()
            await self._step(left_ms)
            await self._settle()
            await self._upkeep.step()

    async def set_rate(self, rate: float) -> None:
        """Business seconds per machine second from now on."""
        self._clock.set_rate(rate)
        self._deliver.wake()
        await self.save()
        if self._fellows is not None:
            await self._fellows.set_rate(rate)

    async def quiesce(self) -> None:
        """Until all nodes have seen to what is due now."""
        self._deliver.wake()
        await self._deliver.quiesce()

    def _next_due_ms(self) -> int | None:
        dues = (self._deliver.next_due_ms(), *(stage.next_due_ms() for stage in self._timed))
        return min((due_ms for due_ms in dues if due_ms is not None), default=None)

    async def _settle(self) -> None:
        """Until neither delivery nor a stage finds anything to do: what the one does may be work for the other."""
        found = 1
        while found:
            await self._deliver.quiesce()
            found = sum([await stage.step() for stage in self._timed])

    async def _step(self, step_ms: int) -> None:
        self._clock.advance(step_ms)
        await self.save()
        self._deliver.wake()

    async def save(self) -> None:
        """Make the offset survive a restart."""
        await self._store.set_clock(self._clock.offset_ms, self._clock.jumped_ms)
