"""The relay does to connections what the chaos runs count on."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.chaos.relay import Relay
from tests.waiting import eventually

pytestmark = pytest.mark.anyio


class Echo:
    """Gives back what it receives, and keeps it."""

    def __init__(self) -> None:
        self.received = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(100):
                self.received += chunk
                writer.write(chunk)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.transport.abort()


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[Relay, Echo, asyncio.StreamReader, asyncio.StreamWriter]]:
    """A client of an echo, through a relay."""
    echo = Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    async with Relay(server.sockets[0].getsockname()[1], random.Random(1)) as relay:
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        writer.write(b"one")
        assert await reader.readexactly(3) == b"one"
        yield relay, echo, reader, writer
        writer.transport.abort()
    server.close()
    await asyncio.sleep(0)


async def test_a_cut_is_silent() -> None:
    """Nothing passes and nothing closes while it is cut; what was sent meanwhile arrives afterwards."""
    async with connected() as (relay, echo, reader, writer):
        with relay.cut():
            writer.write(b"two")
            later, other = await asyncio.open_connection("127.0.0.1", relay.port)
            other.write(b"new")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.05)
            assert echo.received == b"one"
            assert not reader.at_eof()
        assert await reader.readexactly(3) == b"two"
        assert await later.readexactly(3) == b"new"
        other.transport.abort()


async def test_a_dropped_request_has_no_answer() -> None:
    """The request goes out, at least in part; then the connection is gone, and no answer came."""
    async with connected() as (relay, echo, reader, writer):
        with relay.dropping(1.0):
            writer.write(b"commit")
            with pytest.raises((EOFError, ConnectionError)):
                await reader.readexactly(1)
        await eventually(lambda: len(echo.received) > 3, "the request")
        assert b"onecommit".startswith(echo.received)
        assert relay.dropped == 1
