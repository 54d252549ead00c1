"""A picture of the catalogue in memory: built by `load`, kept current by `refresh` through the store's log of changes.

What is in it is the business of those derived from it. Must not: write.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from copy import copy

from eventmill.flow.joined import Joined
from eventmill.model import OrgId
from eventmill.store.control import ControlReads, Kind, Versioned

_CHANGES_PER_READ = 1000
_DOCS_PER_READ = 250
_MANY: frozenset[Kind] = frozenset(("registration", "event_metadata", "revocation"))
"""Kinds of which there may be tens of thousands: to hold all their documents at once would take several times what is
kept of them, and the process would not give it back."""


class Picture(ABC):
    """One per process and use; for its event loop only. It may be stale: whoever needs to know refreshes first."""

    def __init__(self, store: ControlReads) -> None:
        self._store = store
        self._refreshing = asyncio.Lock()
        self._newest = Joined(store.epoch)
        self.epoch = 0
        """Of the last change that is in it."""

    async def load(self) -> None:
        """Read everything. Changes made meanwhile are caught by the next `refresh`: the epoch is read first."""
        async with self._refreshing:
            await self._load()

    async def _load(self) -> None:
        """What was known stays until the new picture is whole: half of one would refuse what is allowed."""
        whole = copy(self)
        whole.epoch = await self._store.epoch()
        await whole._read_everything()
        self.__dict__.update(whole.__dict__)

    async def refresh(self) -> None:
        """Catch up with the log of changes; afterwards every write answered before the call is known."""
        epoch = await self._newest.ask()
        if epoch == self.epoch:
            return
        async with self._refreshing:
            if epoch < self.epoch and await self._store.epoch() < self.epoch:
                await self._load()  # a database that was restored, or failed over without its last commits
            while changes := await self._store.changes(self.epoch, _CHANGES_PER_READ):
                if changes[0].epoch != self.epoch + 1:
                    await self._load()  # the log no longer reaches back to us
                    return
                for key in dict.fromkeys((change.kind, change.org, change.id) for change in changes):
                    await self._apply(*key)
                self.epoch = changes[-1].epoch

    async def _read(self, kind: Kind) -> AsyncIterator[Versioned]:
        """All documents of a kind, in creation order where there are few."""
        if kind not in _MANY:
            for stored in await self._store.scan(kind):
                yield stored
            return
        after = ("", "")
        while page := await self._store.scan_page(kind, after, _DOCS_PER_READ):
            for stored in page:
                yield stored
            after = page[-1].org, page[-1].id

    @abstractmethod
    async def _read_everything(self) -> None:
        """In place of what was known."""

    @abstractmethod
    async def _apply(self, kind: Kind, org: OrgId, doc_id: str) -> None:
        """The document was written or deleted."""
