"""Limits requests per key: a token bucket each, refilled steadily. Memory is bounded whatever the number of keys."""

from __future__ import annotations

WINDOW_S = 5
_SECOND_NS = 1_000_000_000
_WINDOW_NS = WINDOW_S * _SECOND_NS
_KEYS_MAX = 10_000


class Throttle:
    """`requests` at once per key, refilled within `WINDOW_S`. Not thread-safe; takes machine time, in seconds."""

    def __init__(self, requests: int) -> None:
        self._refill_ns = max(1, _WINDOW_NS // requests)
        self._full_ns: dict[str, int] = {}
        """When each key's bucket is full again, which says how much is in it now; a full one needs no entry."""

    def take(self, key: str, now_s: float) -> int:
        """Take one request from the key's bucket: 0, or, taking nothing, the whole seconds to wait (at least 1)."""
        now_ns = int(now_s * _SECOND_NS)
        full_ns = max(self._full_ns.get(key, 0), now_ns) + self._refill_ns
        missing_ns = full_ns - now_ns - _WINDOW_NS
        if missing_ns > 0:
            return -(-missing_ns // _SECOND_NS)
        if len(self._full_ns) >= _KEYS_MAX and key not in self._full_ns:
            self._make_room(now_ns)
        self._full_ns[key] = full_ns
        return 0

    def __len__(self) -> int:
        """Keys remembered now."""
        return len(self._full_ns)

    def _make_room(self, now_ns: int) -> None:
        """Forget full buckets; if there are too many others still, also those that will be full soonest."""
        kept = sorted((full_ns, key) for key, full_ns in self._full_ns.items() if full_ns > now_ns)
        self._full_ns = {key: full_ns for full_ns, key in kept[-_KEYS_MAX // 2 :]}
