"""Whose tallies grew, whichever node's deliveries they count: told from how they stood at the look before."""

from __future__ import annotations

from collections.abc import Collection

from eventmill.clock import Clock
from eventmill.model import Lane
from eventmill.store.postgres.progress import BUCKET_MS
from eventmill.store.postgres.queries import load_queries
from eventmill.store.postgres.reading import Reading

_SQL = load_queries("shared")
_LATE_MS = 2 * BUCKET_MS
"""What an attempt counts may be written so long after it began, the node's clock and its retries included."""


class Counted:
    """For one caller. Nothing is remembered of what time has made irrelevant."""

    def __init__(self, pool: Reading, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock
        self._looked_ms = 0
        self._seen: dict[tuple[Lane, int], int] = {}
        """Lane and start of the bucket -> what was counted in it."""

    async def grown(self, watched: Collection[Lane]) -> set[Lane]:
        """Since the last call. At the first one, and after a long pause: whatever counts since about then."""
        now_ms = self._clock.now_ms()
        since_ms = min(self._looked_ms or now_ms, now_ms) - _LATE_MS
        rows = await self._pool.fetch(_SQL["tallies_since"], since_ms - since_ms % BUCKET_MS, list(watched))
        seen = {(Lane(row["lane"]), row["bucket_ms"]): row["counted"] for row in rows}
        grown = {key[0] for key, counted in seen.items() if counted > self._seen.get(key, 0)}
        self._seen, self._looked_ms = seen, now_ms
        return grown
