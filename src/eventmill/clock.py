"""Two times, injected: business time (retries, windows, retention) and machine time (throttles, flushes, tokens).

Only business time can be shifted, and only in dev mode; nothing durable about machine I/O may depend on it.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    def now_ms(self) -> int:
        """Business time, milliseconds since the Unix epoch."""

    def machine_s(self) -> float:
        """Monotonic machine time in seconds; only differences mean anything."""

    def machine_ms(self) -> int:
        """Machine wall time, milliseconds since the Unix epoch (tokens)."""

    def patient_ms(self) -> int:
        """Business time for what people are waited for: advances move it, a rate does not hurry it."""

    def machine_delay_s(self, business_ms: int) -> float:
        """Seconds of machine time until business time reaches `business_ms`; 0 when it has passed."""


class SystemClock:
    """Business time is machine time."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def machine_s(self) -> float:
        return time.monotonic()

    def machine_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def patient_ms(self) -> int:
        return self.now_ms()

    def machine_delay_s(self, business_ms: int) -> float:
        return max(0.0, (business_ms - self.now_ms()) / 1000)


class VirtualClock(SystemClock):
    """Business time runs at `rate` from where it was last set. It is never set back."""

    def __init__(self, rate: float = 1.0) -> None:
        self._anchor_machine_ms = self._anchor_business_ms = self.machine_ms()
        self.rate = rate
        self.jumped_ms = 0
        """The sum of all advances."""

    def now_ms(self) -> int:
        return self._at(self.machine_ms())

    def _at(self, machine_ms: int) -> int:
        return self._anchor_business_ms + int((machine_ms - self._anchor_machine_ms) * self.rate)

    @property
    def offset_ms(self) -> int:
        """How far business time is ahead of machine time."""
        machine_ms = self.machine_ms()
        return self._at(machine_ms) - machine_ms

    def advance(self, step_ms: int) -> None:
        """Jump forward by `step_ms` (not negative)."""
        self._anchor_business_ms += step_ms
        self.jumped_ms += step_ms

    def patient_ms(self) -> int:
        return self.machine_ms() + self.jumped_ms

    def follow(self, offset_ms: int, jumped_ms: int = 0) -> None:
        """Take over an offset, of which advances made so much, unless that would turn the clock back."""
        self._anchor_business_ms += max(0, offset_ms - self.offset_ms)
        self.jumped_ms = max(self.jumped_ms, jumped_ms)

    def set_rate(self, rate: float) -> None:
        machine_ms = self.machine_ms()
        self._anchor_business_ms = self._at(machine_ms)
        self._anchor_machine_ms = machine_ms
        self.rate = rate

    def machine_delay_s(self, business_ms: int) -> float:
        if self.rate <= 0:
            return 3600.0
        return max(0.0, (business_ms - self.now_ms()) / 1000 / self.rate)
