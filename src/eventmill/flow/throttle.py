"""Limits requests per key: a token bucket each, refilled steadily. Memory is bounded whatever the number of keys.

Where several nodes take requests, the buckets are in the store, and a node draws permits from them by the block.
"""

from __future__ import annotations

import asyncio

from eventmill.store.permits import Permits

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


_BLOCKS_PER_WINDOW = 20
"""A block is no larger than this part of a bucket: so much more than allowed may be let through for each node."""
_BLOCK_KEPT_S = 1.0
"""Permits that were not used by then are void. What is drawn follows what is used, so that few are."""
_REFUSED_S = 0.1
"""The store is not asked more often than this for a key whose bucket is empty."""


class _Block:
    """What is left of a key's permits that this process drew last."""

    __slots__ = ("asking", "left", "refused_s", "size", "until_s")

    def __init__(self) -> None:
        self.asking = asyncio.Lock()
        self.size = 0
        self.left = 0
        self.until_s = 0.0
        self.refused_s = 0.0
        """Until then there is none."""


class SharedThrottle:
    """As `Throttle`, for all nodes together. Asks the store when a key's block is used up, not for each request."""

    def __init__(self, permits: Permits, requests: int) -> None:
        self._permits = permits
        self._requests = requests
        self._block_max = max(1, requests // _BLOCKS_PER_WINDOW)
        self._blocks: dict[str, _Block] = {}

    async def take(self, key: str, now_s: float) -> int:
        """As `Throttle.take`. Raises `StoreUnavailable`."""
        block = self._blocks.get(key)
        if block is None:
            block = self._new_block(key, now_s)
        while not (block.left and now_s < block.until_s):
            if now_s < block.refused_s:
                return max(1, -int(-(block.refused_s - now_s) // 1))
            await self._draw(key, block, now_s)
        block.left -= 1
        return 0

    def __len__(self) -> int:
        """Keys remembered now."""
        return len(self._blocks)

    async def _draw(self, key: str, block: _Block, now_s: float) -> None:
        """Have permits, or know that there are none. Requests that come meanwhile wait for the same answer."""
        if block.asking.locked():
            async with block.asking:
                return
        async with block.asking:
            used = block.size - block.left
            wanted = min(self._block_max, max(1, 2 * used if now_s < block.until_s else used))
            block.left = block.size = 0
            granted, wait_s = await self._permits.take(key, wanted, self._requests, WINDOW_S)
            block.left = block.size = granted
            block.until_s = now_s + _BLOCK_KEPT_S
            block.refused_s = now_s if granted else now_s + max(wait_s, _REFUSED_S)

    def _new_block(self, key: str, now_s: float) -> _Block:
        if len(self._blocks) >= _KEYS_MAX:
            kept = [each for each in self._blocks.items() if max(each[1].until_s, each[1].refused_s) > now_s]
            self._blocks = dict(kept[-_KEYS_MAX // 2 :])
        block = self._blocks[key] = _Block()
        return block
