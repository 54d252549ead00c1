"""What the overview counts: samples of the last hour in memory, and what is waiting now.

Reads the store's counters every few seconds for everybody who looks, and not at all for each of them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence

import msgspec

from eventmill.errors import GatewayError
from eventmill.store.observe import Backlog, Totals
from eventmill.web.parts import Parts

SAMPLE_S = 10.0
MINUTES = 60
_FRESH_S = 1.0
_GROWTH_SPAN_S = 300.0
"""Of less than that, no growth is told."""
_DAY_S = 86400


class Sample(msgspec.Struct, frozen=True):
    at_s: float
    """Machine time."""
    totals: Totals


class PerMinute(msgspec.Struct, frozen=True):
    """Of the last hour, oldest first."""

    events: tuple[float, ...]
    succeeded: tuple[float, ...]
    failed: tuple[float, ...]


class Figures:
    """One per process."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._samples: deque[Sample] = deque(maxlen=int(MINUTES * 60 / SAMPLE_S) + 1)
        self._backlog = Backlog(0, ())
        self._totals = Totals()
        self._read_s = float("-inf")
        self._reading = asyncio.Lock()

    async def run(self) -> None:
        while True:
            with contextlib.suppress(GatewayError):  # the store takes a break: the line has a gap
                await self._sample()
            await asyncio.sleep(SAMPLE_S)

    async def _sample(self) -> None:
        totals = await self._parts.store.totals()
        self._samples.append(Sample(self._parts.clock.machine_s(), totals))

    async def now(self) -> tuple[Totals, Backlog]:
        """At most a second old."""
        async with self._reading:
            if self._parts.clock.machine_s() - self._read_s > _FRESH_S:
                self._totals = await self._parts.store.totals()
                self._backlog = await self._parts.store.backlog(self._parts.config.metrics_registrations_max)
                self._read_s = self._parts.clock.machine_s()
            return self._totals, self._backlog

    def per_minute(self, now: Totals) -> PerMinute:
        now_s = self._parts.clock.machine_s()
        samples = [*self._samples, Sample(now_s, now)]
        return PerMinute(
            events=_rates(samples, [each.totals.events for each in samples], now_s),
            succeeded=_rates(samples, [each.totals.succeeded for each in samples], now_s),
            failed=_rates(samples, [each.totals.failed for each in samples], now_s),
        )

    def days_left(self, now: Totals) -> float | None:
        """Until the disk is full, if it goes on as in the last hour; None: it does not fill, or nobody knows yet."""
        if not self._samples or now.disk_free_bytes is None:
            return None
        first = self._samples[0]
        span_s = self._parts.clock.machine_s() - first.at_s
        grown = now.stored_bytes - first.totals.stored_bytes
        if span_s < _GROWTH_SPAN_S or grown <= 0:
            return None
        free = max(0, now.disk_free_bytes - self._parts.config.disk_reserve_bytes)
        return free / (grown / span_s * _DAY_S)


def _rates(samples: Sequence[Sample], counts: Sequence[int], now_s: float) -> tuple[float, ...]:
    """What was added in each minute that ends now, or one, two … minutes ago."""
    minutes = [0.0] * MINUTES
    for at in range(1, len(samples)):
        ago = int((now_s - samples[at].at_s) // 60)
        if ago < MINUTES:
            minutes[MINUTES - 1 - ago] += max(0, counts[at] - counts[at - 1])
    return tuple(minutes)
