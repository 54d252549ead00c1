"""The front's ends of the lines to its delivery children, which have the database to themselves.

They carry life and drain; and what the children counted, because the front's figures are those of the whole node. What
a child counted in its last second is not known if it is killed.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter

import msgspec

from eventmill.store.children import Beat, Drain, Heard
from eventmill.store.framed import FramedLink


class ChildLines:
    """All lines of a front."""

    def __init__(self) -> None:
        self._lines: set[_ChildLine] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._past: Counter[str] = Counter()
        self._draining = False

    @property
    def sums(self) -> Counter[str]:
        """What the children counted, those that are gone included."""
        return sum((Counter(line.last.sums) for line in self._lines), self._past)

    def attach(self, sock: socket.socket, heard: Heard) -> None:
        task = asyncio.ensure_future(self._serve(sock, heard))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    def drain(self) -> None:
        self._draining = True
        for line in self._lines:
            line.send(Drain())

    async def close(self) -> None:
        for line in self._lines:
            line.close()
        await asyncio.gather(*self._serving)

    async def _serve(self, sock: socket.socket, heard: Heard) -> None:
        line = _ChildLine(heard)
        sock.setblocking(False)
        await asyncio.get_running_loop().create_unix_connection(lambda: line, sock=sock)
        self._lines.add(line)
        if self._draining:  # it was starting when the others were told
            line.send(Drain())
        await line.gone.wait()
        self._lines.discard(line)
        self._past.update(line.last.sums)


class _ChildLine(FramedLink[Beat]):
    def __init__(self, heard: Heard) -> None:
        super().__init__(msgspec.msgpack.Decoder(Beat))
        self._heard = heard
        self.last = Beat(0)
        self.gone = asyncio.Event()

    def received(self, frame: Beat) -> None:
        self.last = frame
        self._heard(frame)

    def ended(self) -> None:
        self.gone.set()
