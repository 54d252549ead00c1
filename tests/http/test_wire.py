"""The HTTP server's protocol over real sockets: offered upgrades, bodies in pieces, malformed requests."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
import uvicorn
from uvicorn.server import ServerState

from eventmill.web.http import ASGIApp, Receive, Scope, Send
from eventmill.web.wire import BoundedHttp

pytestmark = pytest.mark.anyio

UPGRADE = (b"connection: Upgrade, HTTP2-Settings", b"upgrade: h2c", b"http2-settings: AAEAAEAAAAIAAAAA")
"""What java.net.http sends with its first request to an address without TLS."""
WITHIN_S = 20


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the method and the body."""
    body = scope["method"].encode() + b" "
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def serving(app: ASGIApp, http: type[BoundedHttp] = BoundedHttp, keep_alive_s: int = 5) -> AsyncIterator[int]:
    config = uvicorn.Config(
        app, port=0, http=http, ws="none", lifespan="off", log_config=None, timeout_keep_alive=keep_alive_s
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await server.shutdown()


async def talk(pieces: Sequence[bytes]) -> bytes:
    """All that is answered to pieces sent one by one, until the server hangs up."""
    async with serving(echo) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        received = await asyncio.wait_for(reader.read(), WITHIN_S)
        writer.close()
        return received


def post(body: bytes, *fields: bytes, chunked: bool = False) -> bytes:
    framing = b"transfer-encoding: chunked" if chunked else b"content-length: %d" % len(body)
    head = b"\r\n".join([b"POST / HTTP/1.1", b"host: x", *fields, framing, b"", b""])
    return head + (b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if chunked else body)


async def bodies(*pieces: bytes) -> list[bytes]:
    """Of the answers to the requests that the pieces make up, all of which must be 200."""
    received = await talk([*pieces, b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"])
    answers = received.split(b"HTTP/1.1 200 OK")[1:]
    return [answer.partition(b"\r\n\r\n")[2] for answer in answers[:-1]]


@pytest.mark.parametrize("chunked", [False, True])
async def test_body_beside_an_offered_upgrade(chunked: bool) -> None:
    """The upgrade is passed over and the body read, in one piece and byte by byte."""
    request = post(b"some data", *UPGRADE, chunked=chunked)

    assert await bodies(request) == [b"POST some data"]
    assert await bodies(*(request[at : at + 1] for at in range(len(request)))) == [b"POST some data"]


async def test_requests_after_an_offered_upgrade() -> None:
    """Further requests on the connection are answered in order, with and without an upgrade of their own."""
    requests = [
        post(b"1", *UPGRADE),
        b"GET / HTTP/1.1\r\nhost: x\r\n" + b"\r\n".join(UPGRADE) + b"\r\n\r\n",
        post(b"2"),
        post(b"", *UPGRADE),
        post(b"3", *UPGRADE, chunked=True),
    ]

    answered = [b"POST 1", b"GET ", b"POST 2", b"POST ", b"POST 3"]
    assert await bodies(b"".join(requests)) == answered
    assert await bodies(*requests) == answered


async def test_body_beside_an_offered_upgrade_is_no_request() -> None:
    """A body that looks like a request is still a body, though it comes in a segment of its own."""
    request = post(b"DELETE / HTTP/1.1\r\nhost: x\r\n\r\n", *UPGRADE)
    head, _, body = request.partition(b"\r\n\r\n")

    assert await bodies(head + b"\r\n\r\n", body) == [b"POST DELETE / HTTP/1.1\r\nhost: x\r\n\r\n"]


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00",
        b"GET / HTTP/1.1\r\nhost: x\r\nx: \x00\r\n\r\n",
        post(b"x", b"content-length: 4"),
        post(b"x", b"content-length: 1", chunked=True),
        post(b"x", b"transfer-encoding: gzip", *UPGRADE),
    ],
)
async def test_malformed_request(request_: bytes) -> None:
    """Refused like everything else: a reason, a request id; then the connection ends."""
    received = await talk([request_])

    assert received.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b'{"reason":"malformed_request",' in received
    assert re.search(rb"\r\nx-request-id: [0-9a-f]{32}\r\n", received)
    assert b"\r\nconnection: close\r\n" in received


class Impatient(BoundedHttp):
    stalled_s = 0.05


async def ask(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A request by a client that takes little until it is told to."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    return reader, writer


@pytest.mark.parametrize("pieces", [1, 1000])
async def test_a_reader_that_takes_nothing(pieces: int) -> None:
    """Its connection ends, whether there is more to write or all is written and only not taken."""
    ended = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(pieces):
            await send({"type": "http.response.body", "body": bytes(16_000_000 // pieces), "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        ended.set()

    async with serving(app, Impatient) as port:
        _, writer = await ask(port)
        await asyncio.wait_for(ended.wait(), WITHIN_S)
        writer.close()


class SlowPeer(asyncio.Transport):
    """A connection whose unsent bytes are as told, one look after the other."""

    def __init__(self, *unsent_bytes: int) -> None:
        super().__init__()
        self.unsent_bytes = list(unsent_bytes)
        self.aborted = asyncio.Event()

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes.pop(0)

    def abort(self) -> None:
        self.aborted.set()


async def test_a_slow_reader() -> None:
    """Who takes something now and then may take as long as it likes."""
    config = uvicorn.Config(echo, http=BoundedHttp, ws="none", lifespan="off", log_config=None)
    config.load()
    protocol = Impatient(config, ServerState(), {})
    peer = SlowPeer(90, 60, 30, 30)
    protocol.connection_made(peer)
    protocol.pause_writing()
    await asyncio.wait_for(peer.aborted.wait(), WITHIN_S)
    assert peer.unsent_bytes == []
