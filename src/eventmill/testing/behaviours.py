"""What a webhook can do on a connection. Each function gives a `Behaviour` for `receiver.receiving`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from eventmill.testing.receiver import Behaviour, Connection, Received

_FLOOD_BYTES = 64 * 1024


def response(body: bytes = b"ok", status: str = "200 OK", headers: str = "content-type: text/plain\r\n") -> bytes:
    """A whole answer, as bytes for `answering`. Every header ends with a line break."""
    return f"HTTP/1.1 {status}\r\n{headers}content-length: {len(body)}\r\n\r\n".encode() + body


def answering(raw: bytes | Callable[[Received], bytes]) -> Behaviour:
    """Keep-alive: the same raw answer to every request, or what the function makes of it."""

    async def behave(connection: Connection) -> None:
        while (request := await connection.read_request()) is not None:
            await connection.send(raw if isinstance(raw, bytes) else raw(request))

    return behave


def answering_once(raw: bytes) -> Behaviour:
    """One raw answer per connection, which then closes without having announced it."""

    async def behave(connection: Connection) -> None:
        await connection.read_request()
        await connection.send(raw)

    return behave


def closing() -> Behaviour:
    """Reads the request and closes."""
    return answering_once(b"")


def closing_when_idle(raw: bytes) -> Behaviour:
    """The keep-alive race: one answer per connection, and the next request on it meets a closing door."""

    async def behave(connection: Connection) -> None:
        if await connection.read_request() is not None:
            await connection.send(raw)
            await connection.read_request()

    return behave


def half_closing() -> Behaviour:
    """Says that it will send nothing more, and goes on reading."""

    async def behave(connection: Connection) -> None:
        await connection.read_request()
        connection.writer.write_eof()
        await connection.closed_by_client()

    return behave


def resetting(start: bytes = b"") -> Behaviour:
    """Sends the start of an answer, then RST."""

    async def behave(connection: Connection) -> None:
        await connection.read_request()
        await connection.send(start)
        connection.reset()

    return behave


def never_answering() -> Behaviour:
    """Takes the request and stays silent for as long as the client waits."""

    async def behave(connection: Connection) -> None:
        await connection.read_request()
        await connection.closed_by_client()

    return behave


def never_reading() -> Behaviour:
    """Accepts, and takes nothing from the connection."""

    async def behave(connection: Connection) -> None:
        connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.get_running_loop().create_future()

    return behave


def dripping(start: bytes, drop: bytes, every_s: float = 0.01) -> Behaviour:
    """`start`, then `drop` again and again for as long as the client stays."""

    async def behave(connection: Connection) -> None:
        await connection.read_request()
        await connection.send(start)
        while True:
            await connection.send(drop)
            with suppress(TimeoutError):
                async with asyncio.timeout(every_s):
                    await connection.closed_by_client()
                    return

    return behave


def flooding(start: bytes, flood: bytes) -> Behaviour:
    """`start`, then `flood` without end, as fast as the client takes it."""
    many = flood * max(1, _FLOOD_BYTES // len(flood))

    async def behave(connection: Connection) -> None:
        await connection.read_request()
        await connection.send(start)
        while True:
            await connection.send(many)

    return behave
