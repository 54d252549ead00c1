"""A node that only delivers: its children do, and it says how it is and what they counted."""

from __future__ import annotations

import asyncio
from typing import Protocol

from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.node import Tasks
from eventmill.store.children import ParentStore
from eventmill.supervise import DeliveryChildren
from eventmill.web.parts import VitalStore
from eventmill.web.vitals import build_vitals_app


class DeliveryStore(VitalStore, ParentStore, Protocol):
    """What such a node needs of its store."""


class DeliveryNode:
    """Implements `node.Node` and `web.parts.Vitals`."""

    def __init__(self, config: Config, store: DeliveryStore, clock: Clock) -> None:
        self.config = config
        self.store = store
        self.clock = clock
        self.placing = None
        self.stopping = asyncio.Event()
        self.app = build_vitals_app(self)
        self._children = DeliveryChildren(store, config)

    def unready(self) -> str | None:
        if self.stopping.is_set():
            return "the gateway is shutting down"
        if not any(process.is_running for process in self._children.processes()):
            return "no delivery process runs"
        refusal = self.store.refusal()
        return None if refusal is None else str(refusal)

    def chores(self) -> Tasks:
        return (self._children.run(),)

    def deliveries(self) -> Tasks:
        return ()

    async def stop(self) -> None:
        await self._children.stop()
