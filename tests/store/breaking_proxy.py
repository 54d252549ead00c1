"""A TCP proxy between a node and its database that breaks connections, or swallows what is sent over them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class BreakingProxy:
    """Made by `breaking_proxy`; in the event loop of the test."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._pipes: set[_Pipe] = set()
        self._refusing = False
        self._server: asyncio.Server
        self.port = 0

    @property
    def count(self) -> int:
        """Connections that there are."""
        return len(self._pipes)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        self._server.close()
        self.drop()
        while self._pipes:
            await asyncio.sleep(0.01)

    def drop(self) -> None:
        """Cut all connections that there are."""
        for pipe in self._pipes:
            pipe.cut()

    def refuse(self, refusing: bool) -> None:
        """Cut new connections as soon as they are made, or no longer."""
        self._refusing = refusing

    def swallow(self) -> None:
        """Connections that there are stay open, and nothing gets through any more."""
        for pipe in self._pipes:
            pipe.flows.clear()

    def release(self) -> None:
        """What was swallowed gets through after all, though its sender may be gone."""
        for pipe in self._pipes:
            pipe.flows.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            writer.transport.abort()
            return
        try:
            to_server = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
            return
        pipe = _Pipe((reader, writer), to_server)
        self._pipes.add(pipe)
        try:
            await pipe.run()
        finally:
            self._pipes.discard(pipe)


_Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Pipe:
    def __init__(self, client: _Ends, server: _Ends) -> None:
        self._client = client
        self._server = server
        self.flows = asyncio.Event()
        self.flows.set()

    async def run(self) -> None:
        """Until one end closes. What the client has sent before reaches the server."""
        upstream = asyncio.create_task(self._carry(self._client[0], self._server[1]))
        downstream = asyncio.create_task(self._carry(self._server[0], self._client[1]))
        await asyncio.wait((upstream, downstream), return_when=asyncio.FIRST_COMPLETED)
        self.flows.set()
        for task in (upstream, downstream):
            task.cancel()
        await asyncio.gather(upstream, downstream, return_exceptions=True)
        for _, writer in (self._client, self._server):
            with suppress(OSError):
                writer.close()
                await writer.wait_closed()

    def cut(self) -> None:
        self.flows.set()
        for _, writer in (self._client, self._server):
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                await self.flows.wait()
                writer.write(data)
                await writer.drain()
            await self.flows.wait()


@asynccontextmanager
async def breaking_proxy(target_port: int) -> AsyncIterator[BreakingProxy]:
    proxy = BreakingProxy(target_port)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.close()
