"""What time alone brings about: retention drops segments once everything in them is older than the journal keeps, and
forgets old traces, events that nobody was to get, sessions and notes of changes."""

from __future__ import annotations

from typing import Protocol

from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.flow.presiding import Presided, while_presiding
from eventmill.flow.stage import repeat
from eventmill.flow.sweeping import SweptStore, sweep
from eventmill.flow.traces import KEPT_MS as TRACES_KEPT_MS
from eventmill.flow.unmatched import KEPT_MS as UNMATCHED_KEPT_MS
from eventmill.store.drift import Drifting

DAY_MS = 86_400_000
_INTERVAL_S = 30.0
_SWEEP_EVERY_MS = 600_000
_PHI_AUDIT_KEPT_MS = 365 * DAY_MS


class UpkeepStore(SweptStore, Presided, Drifting, Protocol):
    async def expire(self, before_ms: int) -> int: ...

    async def drop_observed(self, traces_before_ms: int, unmatched_before_ms: int) -> None: ...

    async def drop_phi_audit(self, before_ms: int) -> None: ...


class Upkeep:
    def __init__(self, store: UpkeepStore, clock: Clock, config: Config) -> None:
        self._store = store
        self._clock = clock
        self._config = config
        self._retention_ms = config.journal_retention_days * DAY_MS
        self._swept_ms = 0

    async def step(self) -> int:
        """One pass at the current business time; returns how many segments were dropped. None while it is in doubt what
        time it is: what is late goes later, what went too early is gone."""
        if self._store.clock_doubt():
            return 0
        now_ms = self._clock.now_ms()
        dropped = await self._store.expire(now_ms - self._retention_ms)
        await self._store.drop_observed(now_ms - TRACES_KEPT_MS, now_ms - UNMATCHED_KEPT_MS)
        await self._store.drop_phi_audit(now_ms - _PHI_AUDIT_KEPT_MS)
        machine_ms = self._clock.machine_ms()
        if machine_ms - self._swept_ms >= _SWEEP_EVERY_MS:
            self._swept_ms = machine_ms
            await sweep(self._store, self._config, machine_ms)
        return dropped

    async def run(self) -> None:
        """A failing pass is made up for by the next one: nothing expires until it is recorded."""
        await repeat("upkeep", while_presiding(self._store, self.step), _INTERVAL_S)
