"""How fast a lane may go: a window of attempts under way that follows their outcomes, and a rate of events.

Congestion control in small. The window starts at its cap, is halved by a time-out and grows back by one for each
window's worth of successes. After a run of failures, or while nothing was pushed, it begins anew with one attempt and
grows by one with each success, which doubles it each round: an endpoint that comes back is not met by all that waited.
Pure: told what happened and what time it is.
"""

from __future__ import annotations

FAILURES_IN_A_ROW = 10
"""So many, with no success between, and the endpoint counts as down."""
CREDIT_S = 0.1
"""What a rate left unused is good for so long: timers are never on time."""


class Window:
    """`size` attempts may be under way; always from 1 to the cap."""

    __slots__ = ("_cap", "_failures", "_is_starting", "_successes", "size")

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self.size = cap
        self._is_starting = False
        """Slow start: each success adds a place."""
        self._successes = 0
        """Since the last growth."""
        self._failures = 0
        """In a row."""

    def recap(self, cap: int) -> None:
        """Another cap; what was all the way open stays so."""
        self.size = cap if self.size == self._cap else min(self.size, cap)
        self._cap = cap

    def restart(self) -> None:
        """Slow start from one."""
        self.size = 1
        self._is_starting = self._cap > 1
        self._successes = 0

    def succeeded(self) -> None:
        self._failures = 0
        if self.size >= self._cap:
            return
        self._successes += 1
        if self._is_starting or self._successes >= self.size:
            self.size += 1
            self._successes = 0
            self._is_starting = self._is_starting and self.size < self._cap

    def failed(self) -> None:
        """An answer that asks for another attempt, or none at all. One during a slow start ends that."""
        self._failures += 1
        if self._failures >= FAILURES_IN_A_ROW:
            self.restart()
        elif self._is_starting:
            self._halve()

    def timed_out(self) -> None:
        """Likewise, and sent so much that it could not answer in time."""
        self._failures += 1
        if self._failures >= FAILURES_IN_A_ROW:
            self.restart()
        else:
            self._halve()

    def _halve(self) -> None:
        self.size = max(1, self.size // 2)
        self._successes = 0
        self._is_starting = False


class Rate:
    """Events per second: in no stretch of time more than that many, than `CREDIT_S` of them and one unit on top.

    A unit may go from `free_s` on, however large it is, and moves that on by what it takes."""

    __slots__ = ("events_per_s", "free_s")

    def __init__(self, events_per_s: float) -> None:
        self.events_per_s = events_per_s
        self.free_s = float("-inf")
        """Machine time."""

    def take(self, events: int, now_s: float) -> None:
        self.free_s = max(self.free_s, now_s - CREDIT_S) + events / self.events_per_s
