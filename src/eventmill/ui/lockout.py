"""Failed sign-ins, by name and by address: after some, each further attempt has to wait, longer every time.

In memory, per process. Whoever waits is told so before any password is looked at, so that guessing costs no hashing.
"""

from __future__ import annotations

from eventmill.web.recent import Recent

KEPT_MAX = 10_000
_FIRST_DELAY_S = 10.0


class Lockout:
    def __init__(self, failures_max: int, delay_s_max: int) -> None:
        self._failures_max = max(1, failures_max)
        self._delay_s_max = delay_s_max
        self._failures: Recent[str, tuple[int, float]] = Recent(KEPT_MAX)
        """How many in a row, and the machine time from which on the next attempt may be made."""

    def wait_s(self, keys: tuple[str, ...], now_s: float) -> float:
        """0: the attempt may be made."""
        return max((self._of(key)[1] - now_s for key in keys), default=0.0)

    def failed(self, keys: tuple[str, ...], now_s: float) -> None:
        for key in keys:
            count = self._of(key)[0] + 1
            over = count - self._failures_max
            delay_s = 0.0 if over < 0 else min(float(self._delay_s_max), _FIRST_DELAY_S * 2 ** min(over, 30))
            self._failures.put(key, (count, now_s + delay_s))

    def succeeded(self, name: str) -> None:
        """Of the name only: an address from which one person signs in may be the one another guesses from."""
        self._failures.put(name, (0, 0.0))

    def _of(self, key: str) -> tuple[int, float]:
        return self._failures.get(key) or (0, 0.0)
