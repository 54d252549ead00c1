"""Dev mode: moves business time, stopping at every due time on the way so that each retry there is really made."""

from __future__ import annotations

import asyncio
from typing import Protocol

from eventmill.clock import VirtualClock
from eventmill.errors import GatewayError, Reason
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
        """Returns when every attempt due on the way has ended and retention has run. Raises on a negative step."""
        if not 0 <= seconds < 1e10:
            raise GatewayError(Reason.CLOCK_BACKWARDS, f"advance_seconds must be 0 or more, but is {seconds}")
        async with self._moving:
            goal_ms = self._clock.now_ms() + int(seconds * 1000)
            await self._deliver.quiesce()
            while (due_ms := self._deliver.next_due_ms()) is not None and due_ms + _STEP_MS <= goal_ms:
                await self._move_to(due_ms + _STEP_MS)
                await self._deliver.quiesce()
            await self._move_to(goal_ms)
            await self._deliver.quiesce()
            await self._upkeep.step()

    async def set_rate(self, rate: float) -> None:
        """Business seconds per machine second from now on."""
        if not 0 <= rate <= 1e6:
            raise GatewayError(Reason.CLOCK_BACKWARDS, f"rate must be between 0 and 1000000, but is {rate}")
        self._clock.set_rate(rate)
        self._deliver.wake()
        await self.save()

    async def _move_to(self, business_ms: int) -> None:
        self._clock.move_to(business_ms)
        await self.save()
        self._deliver.wake()

    async def save(self) -> None:
        """Make the offset survive a restart."""
        await self._store.set_clock_offset_ms(self._clock.offset_ms)
