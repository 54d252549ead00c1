"""Dev mode: moves business time, stopping at every due time on the way so that each retry there is really made."""

from __future__ import annotations

import asyncio
from typing import Protocol

from eventmill.clock import VirtualClock
from eventmill.flow.deliver import Deliver
from eventmill.flow.upkeep import Upkeep

_STEP_MS = 50
"""Retries due this close to each other share a stop; they start late by no more."""


class OffsetStore(Protocol):
    async def set_clock_offset_ms(self, offset_ms: int) -> None: ...


class TimeTravel:
    def __init__(self, clock: VirtualClock, store: OffsetStore, deliver: Deliver, upkeep: Upkeep) -> None:
        self._clock = clock
        self._store = store
        self._deliver = deliver
        self._upkeep = upkeep
        self._moving = asyncio.Lock()

    async def advance(self, seconds: float) -> None:
        """Move forward by `seconds` (not negative); returns when every attempt due on the way has ended and retention
        has run."""
        async with self._moving:
            left_ms = int(seconds * 1000)
            await self._deliver.quiesce()
            while (due_ms := self._deliver.next_due_ms()) is not None:
                step_ms = max(0, due_ms + _STEP_MS - self._clock.now_ms())
                if step_ms > left_ms:
                    break
                left_ms -= step_ms
                await self._step(step_ms)
                await self._deliver.quiesce()
            await self._step(left_ms)
            await self._deliver.quiesce()
            await self._upkeep.step()

    async def set_rate(self, rate: float) -> None:
        """Business seconds per machine second from now on."""
        self._clock.set_rate(rate)
        self._deliver.wake()
        await self.save()

    async def _step(self, step_ms: int) -> None:
        self._clock.advance(step_ms)
        await self.save()
        self._deliver.wake()

    async def save(self) -> None:
        """Make the offset survive a restart."""
        await self._store.set_clock_offset_ms(self._clock.offset_ms)
