"""A webhook that listens on loopback while a block runs, and does on each connection what its behaviour says."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

_HOST = "127.0.0.1"
_HEAD_BYTES_MAX = 256 * 1024
_BACKLOG_FILLERS = 4


@dataclass(frozen=True)
class Received:
    """A request."""

    method: str
    path: str
    """With its query."""
    headers: list[tuple[str, str]]
    """As sent, in order."""
    body: bytes

    def header(self, name: str) -> str | None:
        """The first of that name, which is given in lower case."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    @property
    def challenge(self) -> str | None:
        """The value to give back, when this asks for consent to deliveries."""
        values = parse_qs(urlsplit(self.path).query).get("challenge")
        return values[0] if values and self.method == "GET" else None


@dataclass(eq=False)
class Connection:
    """One accepted connection, numbered from 1, and what a behaviour needs of it."""

    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    receiver: Receiver

    async def read_request(self) -> Received | None:
        """The next request, also noted in `receiver.requests`; None when the client closed.

        A receiver that passes challenges answers them here, and they count as no request."""
        while True:
            request = await self._read()
            if request is None or request.challenge is None or not self.receiver.passes_challenges:
                if request is not None:
                    self.receiver.note(request)
                return request
            value = request.challenge.encode()
            head = f"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {len(value)}\r\n\r\n"
            await self.send(head.encode() + value)

    async def _read(self) -> Received | None:
        try:
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode(errors="surrogateescape")
            start, *lines = head[:-4].split("\r\n")
            method, path, _ = start.split(" ")
            headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
            return Received(method, path, headers, await self._read_body(headers))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def _read_body(self, headers: list[tuple[str, str]]) -> bytes:
        named = {name.lower(): value for name, value in headers}
        if named.get("transfer-encoding", "").lower() != "chunked":
            return await self.reader.readexactly(int(named.get("content-length", 0)))
        body = b""
        while size := int((await self.reader.readuntil(b"\r\n")).partition(b";")[0], 16):
            body += (await self.reader.readexactly(size + 2))[:-2]
        while await self.reader.readuntil(b"\r\n") != b"\r\n":
            pass  # trailers
        return body

    async def send(self, raw: bytes) -> None:
        """Waits while the client does not read."""
        self.writer.write(raw)
        await self.writer.drain()

    async def closed_by_client(self) -> None:
        """Until the client closed or aborted the connection; what still arrives is thrown away."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Behaviour = Callable[[Connection], Awaitable[None]]
"""Runs once per connection, which ends when it returns."""


@dataclass
class Receiver:
    """What there is to know of a listening webhook."""

    port: int = 0
    host: str = _HOST
    scheme: str = "http"
    passes_challenges: bool = False
    connections: int = 0
    """Accepted so far; with TLS, those whose handshake succeeded."""
    requests: list[Received] = field(default_factory=list)
    on_request: Callable[[Received], None] | None = None
    """Called with each request after it was noted."""

    def note(self, request: Received) -> None:
        self.requests.append(request)
        if self.on_request is not None:
            self.on_request(request)

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}/hook"


@asynccontextmanager
async def receiving(
    behaviour: Behaviour,
    tls: ssl.SSLContext | None = None,
    port: int = 0,
    *,
    host: str = _HOST,
    passes_challenges: bool = False,
) -> AsyncIterator[Receiver]:
    """Listens while the block runs, at `port` or any free one of `host`, a loopback address; https when `tls` is given.

    `passes_challenges`: consents to deliveries as a good webhook does, and keeps `behaviour` for the deliveries."""
    scheme = "http" if tls is None else "https"
    receiver = Receiver(host=host, scheme=scheme, passes_challenges=passes_challenges)
    running: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        receiver.connections += 1
        try:
            await behaviour(Connection(receiver.connections, reader, writer, receiver))
            writer.close()
            await writer.wait_closed()
        except (ConnectionError, ssl.SSLError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            running.discard(task)

    server = await asyncio.start_server(accept, host, port, ssl=tls, limit=_HEAD_BYTES_MAX)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


@asynccontextmanager
async def refusing_handshake(tls: ssl.SSLContext) -> AsyncIterator[Receiver]:
    """Serves one connection whose TLS handshake `tls` refuses, with the alert that says why.

    On a thread with plain sockets, because asyncio's own server drops that alert."""
    listener = socket.create_server((_HOST, 0))

    def serve() -> None:
        accepted, _ = listener.accept()
        with (
            accepted.dup() as below,
            tls.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False) as above,
        ):
            with contextlib.suppress(ssl.SSLError):
                above.do_handshake()
            with contextlib.suppress(ConnectionError):  # closing with unread bytes would overtake the alert with a RST
                while below.recv(65536):
                    pass

    with listener:
        thread = asyncio.create_task(asyncio.to_thread(serve))
        yield Receiver(port=listener.getsockname()[1], scheme="https")
        await thread


@contextmanager
def never_accepting() -> Iterator[Receiver]:
    """A port whose connects hang, as those to a host that went away do: its queue is full. On Linux."""
    with contextlib.ExitStack() as open_sockets:
        listener = open_sockets.enter_context(socket.socket())
        listener.bind((_HOST, 0))
        listener.listen(0)
        for _ in range(_BACKLOG_FILLERS):
            filler = open_sockets.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield Receiver(port=listener.getsockname()[1])


def unused_port() -> int:
    """A loopback port on which nothing listens."""
    with socket.socket() as sock:
        sock.bind((_HOST, 0))
        return int(sock.getsockname()[1])
