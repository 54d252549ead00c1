"""A raw HTTP/1.1 client with keep-alive connections, fast enough to publish at full speed from one event loop.

Keeps repeated headers apart (one `Link` line per link) and shows a lost connection as `ConnectionError`.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

HOST = "127.0.0.1"
ANSWER_WITHIN_S = 60.0
_LINE_BYTES_MAX = 1 << 20
_LINK = re.compile(r'<([^>]*)>; rel="([^"]*)"')


@dataclass(frozen=True)
class Answer:
    status: int
    fields: tuple[tuple[str, str], ...]
    """Header lines in order, lower-case names."""
    body: bytes

    def header(self, name: str) -> str:
        """The only header of that name; an empty string when there is none."""
        values = [value for field, value in self.fields if field == name]
        assert len(values) < 2, f"{name} came {len(values)} times"
        return values[0] if values else ""

    def link(self, rel: str) -> str:
        """The target of the `Link` line with that relation."""
        links = (_LINK.fullmatch(value) for name, value in self.fields if name == "link")
        [target] = [match[1] for match in links if match is not None and match[2] == rel]
        return target

    def json(self) -> Any:
        return json.loads(self.body)


Body = bytes | Mapping[str, Any] | None


class Client:
    """Calls one gateway, by path or by absolute URL; opens as many connections as there are calls at once."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[_Connection] = []

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        async with AsyncExitStack() as stack:
            for connection in self._idle:
                stack.push_async_callback(connection.close)
            self._idle = []

    async def call(self, method: str, url: str, headers: Mapping[str, str] | None = None, body: Body = None) -> Answer:
        """One request; `body` is sent as is when bytes, else as JSON. Raises `ConnectionError` when no answer came."""
        parts = urlsplit(url)
        assert parts.netloc in ("", f"{HOST}:{self._port}"), f"{url} leads away from the gateway"
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        connection = await self._connection()
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                answer = await connection.exchange(method, target, headers or {}, data)
        except EOFError as error:
            await connection.close()
            raise ConnectionError(f"no answer to {method} {target}") from error
        except BaseException:
            await connection.close()
            raise
        if answer.header("connection").lower() == "close":
            await connection.close()
        else:
            self._idle.append(connection)
        return answer

    async def _connection(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.lost:
                return connection
            await connection.close()
        return _Connection(*await asyncio.open_connection(HOST, self._port, limit=_LINE_BYTES_MAX))


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @property
    def lost(self) -> bool:
        return self._reader.at_eof() or self._writer.is_closing()

    async def close(self) -> None:
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()

    async def exchange(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        lines = [f"{method} {target} HTTP/1.1", f"host: {HOST}", f"content-length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await self._writer.drain()
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(head[0].split(" ", 2)[1])
        fields = tuple((name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in head[1:-2]))
        return Answer(status, fields, await self._body(method, status, dict(fields)))

    async def _body(self, method: str, status: int, fields: dict[str, str]) -> bytes:
        if method == "HEAD" or status in (204, 304):
            return b""
        if fields.get("transfer-encoding") != "chunked":
            return await self._reader.readexactly(int(fields.get("content-length", "0")))
        chunks = []
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            chunks.append((await self._reader.readexactly(size + 2))[:-2])
        await self._reader.readexactly(2)
        return b"".join(chunks)
