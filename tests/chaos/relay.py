"""A way between a node and the database that can be cut, and that can drop a connection while a commit is under way."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_CHUNK_BYTES = 1 << 16


class Relay:
    """Listens on loopback between `async with` and its end, and passes on to one port."""

    def __init__(self, target_port: int, chance: random.Random) -> None:
        self._target_port = target_port
        self._chance = chance
        self._drop_chance = 0.0
        self._open = asyncio.Event()
        self._open.set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._ports: set[int] = set()
        self.dropped = 0
        """Connections that it ended."""

    async def __aenter__(self) -> Relay:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=256)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        assert self._server is not None
        self._server.close()
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # sockets that were aborted are closed in the loop's next turn

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def carries(self, address: str, port: int) -> bool:
        """Whether the target has seen this client."""
        return address == "127.0.0.1" and port in self._ports

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Nothing comes through any more, in neither direction, and nobody is told: as when a cable is pulled."""
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()

    @contextmanager
    def dropping(self, share: float) -> Iterator[None]:
        """Of what the node sends, such a share reaches the database whole or in part, but no answer comes back."""
        self._drop_chance = share
        try:
            yield
        finally:
            self._drop_chance = 0.0

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        writers = [writer]
        try:
            with suppress(OSError, asyncio.CancelledError):
                await self._open.wait()
                there, back = await asyncio.open_connection("127.0.0.1", self._target_port)
                writers.append(back)
                self._ports.add(back.get_extra_info("sockname")[1])
                async with asyncio.TaskGroup() as pumping:
                    pumps = (self._pump(reader, back, may_drop=True), self._pump(there, writer, may_drop=False))
                    tasks = [pumping.create_task(pump) for pump in pumps]
                    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                    for pump in tasks:
                        pump.cancel()
        finally:
            for each in writers:
                each.transport.abort()
            self._tasks.discard(task)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, may_drop: bool) -> None:
        """Until one side closes, or the connection is dropped."""
        with suppress(OSError):
            while chunk := await reader.read(_CHUNK_BYTES):
                await self._open.wait()
                dropped = may_drop and self._chance.random() < self._drop_chance
                if dropped and self._chance.random() < 0.5:
                    chunk = chunk[: self._chance.randrange(1, len(chunk) + 1)]
                writer.write(chunk)
                await writer.drain()
                if dropped:
                    self.dropped += 1
                    return


@asynccontextmanager
async def relays(count: int, target_ports: Sequence[int], chance: random.Random) -> AsyncIterator[list[list[Relay]]]:
    """For each of so many nodes one relay to each port."""
    async with AsyncExitStack() as stack:
        yield [[await stack.enter_async_context(Relay(port, chance)) for port in target_ports] for _ in range(count)]
