"""What time alone brings about: retention drops segments once everything in them is older than the journal keeps."""

from __future__ import annotations

import asyncio

import structlog

from eventmill import telemetry
from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.errors import StoreUnavailable
from eventmill.store.log import EventLog

log = structlog.get_logger()

DAY_MS = 86_400_000
_INTERVAL_S = 30.0


class Upkeep:
    def __init__(self, store: EventLog, clock: Clock, config: Config) -> None:
        self._store = store
        self._clock = clock
        self._retention_ms = config.journal_retention_days * DAY_MS

    async def step(self) -> int:
        """One pass at the current business time; returns how many segments were dropped."""
        return await self._store.expire(self._clock.now_ms() - self._retention_ms)

    async def run(self) -> None:
        """A failing pass is repeated with the next one: nothing expires until it is recorded."""
        while True:
            try:
                await self.step()
            except StoreUnavailable as error:
                log.warning(telemetry.STAGE_FAILED, stage="upkeep", cause=error.message)
            await asyncio.sleep(_INTERVAL_S)
