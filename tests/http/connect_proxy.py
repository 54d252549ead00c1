"""An HTTP proxy on loopback that makes tunnels, or answers with what it is told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from eventmill.testing import Behaviour, Connection, receiving


@dataclass
class ConnectProxy:
    url: str = ""
    heads: list[str] = field(default_factory=list)
    """What it was asked, head by head."""
    answer: bytes = b""
    """Instead of a tunnel."""
    goes_to: tuple[str, int] | None = None
    """Where every tunnel leads, whatever was asked for: a proxy that knows names which nobody else knows."""

    async def behave(self, connection: Connection) -> None:
        head = (await connection.reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        if self.answer:
            await connection.send(self.answer)
            return
        host, _, port = head.split(" ")[1].rpartition(":")
        target = self.goes_to or (host.strip("[]"), int(port))
        reader, writer = await asyncio.open_connection(*target)
        await connection.send(b"HTTP/1.1 200 Connection established\r\nvia: test\r\n\r\n")
        both = asyncio.gather(_pump(connection.reader, writer), _pump(reader, connection.writer))
        try:
            await both
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while some := await reader.read(65536):
            writer.write(some)
            await writer.drain()
        if not writer.is_closing():
            writer.write_eof()
    except ConnectionError:
        writer.transport.abort()


@asynccontextmanager
async def proxying(login: str = "", behaviour: Behaviour | None = None) -> AsyncIterator[ConnectProxy]:
    """`behaviour` instead of a proxy's; `login` is put into its URL and asked by nobody."""
    proxy = ConnectProxy()
    async with receiving(behaviour or proxy.behave) as listening:
        proxy.url = f"http://{login}127.0.0.1:{listening.port}"
        yield proxy
