"""Limits requests per key: a token bucket each, refilled steadily. Memory is bounded whatever the number of keys."""

from __future__ import annotations

import math

WINDOW_S = 5.0
_KEYS_MAX = 10_000


class Throttle:
    """`requests` at once per key, refilled within `WINDOW_S`. Not thread-safe; takes machine time, in seconds."""

    def __init__(self, requests: int) -> None:
        self._refill_s = WINDOW_S / requests
        self._full_s: dict[str, float] = {}
        """When each key's bucket is full again, which says how much is in it now; a full one needs no entry."""

    def take(self, key: str, now_s: float) -> int:
        """Take one request from the key's bucket: 0, or, taking nothing, the whole seconds to wait (at least 1)."""
        full_s = max(self._full_s.get(key, 0.0), now_s) + self._refill_s
        # Half a request of tolerance: sums of fractions must not make the last request of a burst too many.
        missing_s = full_s - now_s - WINDOW_S - self._refill_s / 2
        if missing_s > 0:
            return max(1, math.ceil(missing_s))
        if len(self._full_s) >= _KEYS_MAX and key not in self._full_s:
            self._make_room(now_s)
        self._full_s[key] = full_s
        return 0

    def _make_room(self, now_s: float) -> None:
        """Forget full buckets; if there are too many others still, also those that will be full soonest."""
        kept = sorted((full_s, key) for key, full_s in self._full_s.items() if full_s > now_s)
        self._full_s = {key: full_s for full_s, key in kept[-_KEYS_MAX // 2 :]}
