"""Keeps a front's picture of the catalogue current while other nodes change it.

What a publish matched with an older one is refused where it is committed, so this is for speed, and for what is looked
up without a commit.
"""

from __future__ import annotations

import asyncio

from eventmill.flow.catalogue import Catalogue
from eventmill.flow.stage import Passes
from eventmill.store.control import ControlStore

_PAUSE_S = 0.05
_AGAIN_S = 0.5


class Following:
    def __init__(self, store: ControlStore, catalogue: Catalogue) -> None:
        self._store = store
        self._catalogue = catalogue
        self._moved = asyncio.Event()
        self._passes = Passes("following")

    async def run(self) -> None:
        """Until it is cancelled."""
        self._store.on_documents(self._moved.set)
        while True:
            await self._moved.wait()
            self._moved.clear()
            if await self._passes.make(self._catalogue.refresh):
                await asyncio.sleep(_PAUSE_S)
            else:
                self._moved.set()  # nobody says so again
                await asyncio.sleep(_AGAIN_S)
