"""Remembers for a day what was published and nobody was to get, so that its publisher can be told why.

Publishing leaves a note in memory and waits for nothing; the notes are stored once a second, the newest of each
organization, with a count of all. A crash loses those of the last second.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

import msgspec

from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.errors import StoreUnavailable
from eventmill.flow.stage import repeat
from eventmill.model import OrgId
from eventmill.store.observe import UnmatchedBatch, UnmatchedEvent

KEPT_MS = 86_400_000
_INTERVAL_S = 1.0


class UnmatchedStore(Protocol):
    async def note_unmatched(self, batches: Sequence[UnmatchedBatch]) -> None: ...

    async def unmatched(self, org: OrgId, since_ms: int, limit: int) -> list[UnmatchedEvent]: ...

    async def count_unmatched(self, org: OrgId, since_ms: int) -> int: ...

    async def find_unmatched(self, org: OrgId, since_ms: int, event_id: str) -> UnmatchedEvent | None: ...


class UnmatchedPage(msgspec.Struct, frozen=True):
    total: int
    """Of the last 24 hours, also those that are remembered no longer."""
    events: list[UnmatchedEvent]
    """Newest first."""


class Unmatched:
    """One per front process; used from its event loop only."""

    def __init__(self, store: UnmatchedStore, clock: Clock, config: Config) -> None:
        self._store = store
        self._clock = clock
        self._kept = config.unmatched_kept
        self._notes: dict[OrgId, deque[UnmatchedEvent]] = {}
        self._counts: dict[OrgId, int] = {}

    def note(self, org: OrgId, event: UnmatchedEvent) -> None:
        notes = self._notes.get(org)
        if notes is None:
            notes = self._notes[org] = deque(maxlen=self._kept)
            self._counts[org] = 0
        notes.append(event)
        self._counts[org] += 1

    async def flush(self) -> None:
        """Raises `StoreUnavailable`; then these are lost."""
        if not self._notes:
            return
        notes, counts = self._notes, self._counts
        self._notes, self._counts = {}, {}
        await self._store.note_unmatched([UnmatchedBatch(org, tuple(kept), counts[org]) for org, kept in notes.items()])

    async def run(self) -> None:
        try:
            await repeat("unmatched events", self.flush, _INTERVAL_S)
        finally:
            with suppress(StoreUnavailable):
                await self.flush()

    async def newest(self, org: OrgId, limit: int) -> UnmatchedPage:
        """With what was published here until now, and on other nodes until about a second ago."""
        await self.flush()
        since_ms = self._clock.now_ms() - KEPT_MS
        total = await self._store.count_unmatched(org, since_ms)
        return UnmatchedPage(total, await self._store.unmatched(org, since_ms, limit))

    async def find(self, org: OrgId, event_id: str) -> UnmatchedEvent | None:
        """By the id that we gave it, or by its publisher's; as fresh as `newest`."""
        await self.flush()
        return await self._store.find_unmatched(org, self._clock.now_ms() - KEPT_MS, event_id)
