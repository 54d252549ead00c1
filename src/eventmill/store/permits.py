"""Permits in the store: buckets of them that all nodes draw from, so that a limit holds for the nodes together."""

from __future__ import annotations

from typing import Protocol


class Permits(Protocol):
    async def take(self, key: str, wanted: int, requests: int, window_s: int) -> tuple[int, float]:
        """Up to `wanted` permits from the key's bucket, which holds `requests` and is refilled within `window_s`; and
        when there are none, after how many seconds there is one.

        A crash of the store may fill the buckets. Raises `StoreUnavailable`."""
