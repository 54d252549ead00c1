"""A delivery child on the database: a node of its own there, while its front lives and does not say drain."""

from __future__ import annotations

import asyncio
import socket

import msgspec

from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.store.children import Beat, Drain, keep_beating
from eventmill.store.framed import FramedLink
from eventmill.store.postgres.store import PostgresStore


class PostgresChild(PostgresStore):
    """Implements `store.children.ChildStore`: what a node does that delivers, for as long as its front lives."""

    def __init__(self, config: Config, clock: Clock, sock: socket.socket) -> None:
        super().__init__(config, clock, delivers=True)
        self._socket = sock
        self._line = _FrontLine(self)
        self.lost = asyncio.Event()
        self.drain_asked = asyncio.Event()

    async def open(self) -> None:
        """Says that it lives from the start on: a database may take its time."""
        self._socket.setblocking(False)
        await asyncio.get_running_loop().create_unix_connection(lambda: self._line, sock=self._socket)
        self._beating = asyncio.create_task(keep_beating(self._line, self._beat))
        try:
            await super().open()
        except BaseException:
            self._end_line()
            raise

    async def close(self) -> None:
        await super().close()
        self._line.send(self._beat())
        self._end_line()

    def _beat(self) -> Beat:
        return Beat(self.slots_held, dict(self.delivered))

    def _end_line(self) -> None:
        self._beating.cancel()
        self._line.close()


class _FrontLine(FramedLink[Drain]):
    def __init__(self, child: PostgresChild) -> None:
        super().__init__(msgspec.msgpack.Decoder(Drain))
        self._child = child

    def received(self, frame: Drain) -> None:
        self._child.drain_asked.set()

    def ended(self) -> None:
        self._child.lost.set()
