"""The forward proxy on real sockets: tunnels, plain requests, bad clients, a gateway that comes and goes."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from eventmill.clock import SystemClock
from eventmill.config import Config
from eventmill.proxy import listener
from eventmill.proxy.forward import Forwarder
from eventmill.proxy.listener import Proxy
from eventmill.proxy.target import HEAD_BYTES_MAX
from eventmill.testing import (
    Behaviour,
    Connection,
    Receiver,
    answering,
    answering_once,
    receiving,
    response,
    unused_port,
)

pytestmark = pytest.mark.anyio

HOSTS = ("api.adobe.io", "eventsingress.adobe.io")
CONNECT = b"CONNECT api.adobe.io:443 HTTP/1.1\r\nhost: api.adobe.io:443\r\nproxy-connection: close\r\n\r\n"
GRANTED = b"HTTP/1.1 200 Connection established\r\n\r\n"


@dataclass
class Client:
    """One connection to the proxy; after `tunnel` it is inside."""

    proxy_port: int
    ca_file: Path
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, raw: bytes) -> None:
        self.writer.write(raw)
        await self.writer.drain()

    async def read_answer(self) -> tuple[int, dict[str, str], bytes]:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        start, *lines = head[:-4].split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return int(start.split(" ")[1]), headers, body

    async def ask(self, raw: bytes) -> tuple[int, dict[str, str], bytes]:
        await self.send(raw)
        return await self.read_answer()

    async def tunnel(self, server_name: str = "api.adobe.io") -> None:
        await self.send(CONNECT)
        assert await self.reader.readexactly(len(GRANTED)) == GRANTED
        trusting = ssl.create_default_context(cafile=str(self.ca_file))
        trusting.set_alpn_protocols(["h2", "http/1.1"])
        await self.writer.start_tls(trusting, server_hostname=server_name)

    async def closed(self) -> None:
        with suppress(ConnectionError, ssl.SSLError):
            await self.reader.read()


@dataclass
class Running:
    proxy: Proxy
    port: int
    ca_file: Path

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield Client(self.port, self.ca_file, reader, writer)
        finally:
            writer.transport.abort()


@asynccontextmanager
async def proxying(directory: Path, gateway: Receiver | int) -> AsyncIterator[Running]:
    port = gateway if isinstance(gateway, int) else gateway.port
    config = Config(data=str(directory / "data"), adobe_hosts=HOSTS)
    forwarder = Forwarder(f"http://127.0.0.1:{port}", ssl.create_default_context())
    proxy = Proxy(config, forwarder, SystemClock())
    try:
        yield Running(proxy, await proxy.start("127.0.0.1", 0), directory / "data" / "ca" / "ca.pem")
    finally:
        await proxy.close()


@asynccontextmanager
async def proxied(directory: Path, behaviour: Behaviour) -> AsyncIterator[tuple[Receiver, Running]]:
    async with receiving(behaviour) as gateway, proxying(directory, gateway) as running:
        yield gateway, running


async def test_a_request_through_a_tunnel(tmp_path: Path) -> None:
    """Method, path, query, body and headers arrive unchanged; the reply comes back with status, phrase and headers."""
    raw = response(
        b'{"a":1}', "299 Fine", "content-type: application/json\r\nX-Request-Id: 7\r\nlink: <a>\r\nlink: <b>\r\n"
    )
    async with receiving(answering(raw)) as gateway, proxying(tmp_path, gateway) as running, running.client() as client:
        await client.tunnel()
        await client.send(
            b"POST /events/1/%2Fa?q=%20&b HTTP/1.1\r\nhost: api.adobe.io\r\nX-Api-Key: k\r\nconnection: x-hop\r\n"
            b"x-hop: 1\r\ncontent-length: 4\r\n\r\nbody"
        )
        head = (await client.reader.readuntil(b"\r\n\r\n")).decode()
        body = await client.reader.readexactly(7)

    [request] = gateway.requests
    assert (request.method, request.path, request.body) == ("POST", "/events/1/%2Fa?q=%20&b", b"body")
    assert ("X-Api-Key", "k") in request.headers
    assert request.header("x-hop") is None
    assert request.header("host") == f"127.0.0.1:{gateway.port}"
    assert body == b'{"a":1}'
    assert head.startswith("HTTP/1.1 299 Fine\r\n")
    assert "X-Request-Id: 7\r\n" in head
    assert head.index("link: <a>\r\n") < head.index("link: <b>\r\n")


async def test_a_connection_carries_many_requests(tmp_path: Path) -> None:
    """Keep-alive on both sides: an SDK's polling costs one handshake."""
    async with (
        proxied(tmp_path, answering(lambda request: response(request.path.encode()))) as (gateway, running),
        running.client() as client,
    ):
        await client.tunnel()
        for number in range(5):
            status, _, body = await client.ask(b"GET /%d HTTP/1.1\r\nhost: api.adobe.io\r\n\r\n" % number)
            assert (status, body) == (200, b"/%d" % number)

    assert gateway.connections == 1


async def test_concurrent_tunnels(tmp_path: Path) -> None:
    """Fifty clients at once get their own answers."""

    async def visit(running: Running, number: int) -> bytes:
        async with running.client() as client:
            await client.tunnel(HOSTS[number % 2])
            return (await client.ask(b"GET /%d HTTP/1.1\r\nhost: x\r\n\r\n" % number))[2]

    async with proxied(tmp_path, answering(lambda request: response(request.path.encode()))) as (_, running):
        answers = await asyncio.gather(*(visit(running, number) for number in range(50)))

    assert answers == [b"/%d" % number for number in range(50)]


async def test_a_plain_request(tmp_path: Path) -> None:
    """Absolute form without TLS reaches the gateway under its path alone, request after request."""
    async with proxied(tmp_path, answering(response())) as (gateway, running), running.client() as client:
        first = await client.ask(b"GET http://api.adobe.io/healthz?a=1 HTTP/1.1\r\nhost: api.adobe.io\r\n\r\n")
        second = await client.ask(b"GET http://eventsingress.adobe.io HTTP/1.1\r\nhost: x\r\n\r\n")
        third = await client.ask(b"GET http://other.example/ HTTP/1.1\r\nhost: other.example\r\n\r\n")

    assert [answer[0] for answer in (first, second, third)] == [200, 200, 403]
    assert b"other.example" in third[2]
    assert [request.path for request in gateway.requests] == ["/healthz?a=1", "/"]


async def test_streaming_both_ways(tmp_path: Path) -> None:
    """Neither side waits for the end of the other's body: the reply begins while the request's is still coming."""

    async def gateway_side(connection: Connection) -> None:
        await connection.reader.readuntil(b"\r\n\r\n")
        await connection.reader.readuntil(b"first")
        await connection.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n")
        await connection.reader.readuntil(b"second")
        await connection.send(b"3\r\ntwo\r\n0\r\n\r\n")
        await connection.closed_by_client()

    async with proxied(tmp_path, gateway_side) as (_, running), running.client() as client:
        await client.tunnel()
        await client.send(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        await client.reader.readuntil(b"one")
        await client.send(b"6\r\nsecond\r\n0\r\n\r\n")
        await client.reader.readuntil(b"two")
        assert await client.reader.readuntil(b"0\r\n\r\n")


async def test_a_compressed_reply_stays_compressed(tmp_path: Path) -> None:
    """Bytes pass as they are: nothing is decoded on the way."""
    packed = b"\x1f\x8b\x08\x00no real gzip"
    raw = response(packed, headers="content-encoding: gzip\r\n")
    async with proxied(tmp_path, answering(raw)) as (_, running), running.client() as client:
        await client.tunnel()
        status, headers, body = await client.ask(b"GET / HTTP/1.1\r\nhost: x\r\naccept-encoding: gzip\r\n\r\n")

    assert (status, headers["content-encoding"], body) == (200, "gzip", packed)


async def test_a_client_that_expects_100(tmp_path: Path) -> None:
    """curl sends large bodies only after the interim reply, which the proxy gives."""
    async with proxied(tmp_path, answering(response())) as (gateway, running), running.client() as client:
        await client.tunnel()
        await client.send(b"POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
        assert (await client.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        status, _, _ = await client.ask(b"ab")

    assert status == 200
    assert gateway.requests[0].body == b"ab"


@pytest.mark.parametrize(
    ("method", "raw", "status"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", 200),
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n", 204),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\netag: a\r\n\r\n", 304),
        (b"DELETE", b"HTTP/1.1 404 Gone Fishing\r\ncontent-length: 0\r\n\r\n", 404),
    ],
)
async def test_replies_without_a_body(method: bytes, raw: bytes, status: int, tmp_path: Path) -> None:
    """They end with their head, and the connection goes on."""
    async with proxied(tmp_path, answering(raw)) as (_, running), running.client() as client:
        await client.tunnel()
        for _ in range(2):
            await client.send(method + b" / HTTP/1.1\r\nhost: x\r\n\r\n")
            head = await client.reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 %d " % status)
            assert b"chunked" not in head
            assert (b"content-length: 5" in head) == (method == b"HEAD")


@pytest.mark.parametrize(
    ("sent", "status", "told"),
    [
        (b"CONNECT registry.npmjs.org:443 HTTP/1.1\r\n\r\n", 403, b"'registry.npmjs.org'"),
        (b"CONNECT api.adobe.io:22 HTTP/1.1\r\n\r\n", 403, b"port 443 only"),
        (b"CONNECT 127.0.0.1:443 HTTP/1.1\r\n\r\n", 403, b"EVENTMILL_ADOBE_HOSTS"),
        (b"GET / HTTP/1.1\r\nhost: api.adobe.io\r\n\r\n", 403, b"eventmill env --aio"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100), 400, b"not an HTTP/1.1 request"),
        (b"\x00\xff\xfe", 400, b"not an HTTP/1.1 request"),
        (CONNECT + b"early", 400, b"before the tunnel was granted"),
        (b"CONNECT api.adobe.io:443 HTTP/1.1\r\nx: " + b"a" * HEAD_BYTES_MAX, 431, b"longer than"),
    ],
)
async def test_bad_first_words(sent: bytes, status: int, told: bytes, tmp_path: Path) -> None:
    """Answered with a reason and closed; nothing reaches the gateway."""
    async with proxied(tmp_path, answering(response())) as (gateway, running), running.client() as client:
        answered, _, body = await client.ask(sent)
        assert await client.reader.read() == b""

    assert answered == status
    assert told in body
    assert gateway.requests == []


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nhost: x\r\nx: \x00\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"a" * (HEAD_BYTES_MAX + 1) + b"\r\n\r\n",
    ],
)
async def test_malformed_in_a_tunnel(sent: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Refused in the proxy's own words, without what was sent, and without a traceback in the log."""
    async with proxied(tmp_path, answering(response())) as (gateway, running), running.client() as client:
        await client.tunnel()
        status, headers, body = await client.ask(sent)
        await client.closed()

    assert status == 400
    assert headers["server"] == "eventmill proxy"
    assert b'"message": "this is not an HTTP/1.1 request: ' in body
    assert b"aaaa" not in body
    assert [record for record in caplog.records if record.exc_info] == []
    assert gateway.requests == []


async def test_a_head_in_single_bytes(tmp_path: Path) -> None:
    """However a head is cut into packets, it is one."""
    async with proxied(tmp_path, answering(response())) as (_, running), running.client() as client:
        for byte in b"GET http://api.adobe.io/ HTTP/1.1\r\nhost: x\r\n\r\n":
            await client.send(bytes([byte]))
            await asyncio.sleep(0)
        status, _, _ = await client.read_answer()

    assert status == 200


async def test_a_head_that_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that says nothing is told so and closed; it cannot be held for nothing."""
    monkeypatch.setattr(listener, "_HEAD_TIMEOUT_S", 0.01)
    async with proxied(tmp_path, answering(response())) as (_, running), running.client() as client:
        await client.send(b"CONNECT api.adobe.io:443 HTTP/1.1\r\n")
        status, _, _ = await client.read_answer()
        assert await client.reader.read() == b""

    assert status == 408


async def test_too_many_connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one too many gets 503; those that are there are served."""
    monkeypatch.setattr(listener, "_CONNECTIONS_MAX", 2)  # the first, and the proxy's own chore
    async with proxied(tmp_path, answering(response())) as (_, running), running.client() as client:
        await client.tunnel()
        assert (await client.ask(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"))[0] == 200
        async with running.client() as another:
            assert (await another.read_answer())[0] == 503
        assert (await client.ask(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"))[0] == 200


async def test_a_wrong_server_name(tmp_path: Path) -> None:
    """A tunnel granted for one host is not a certificate for another; the next client is served."""
    async with proxied(tmp_path, answering(response())) as (gateway, running), running.client() as client:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await client.tunnel("other.example")
        async with running.client() as another:
            await another.tunnel()
            assert (await another.ask(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"))[0] == 200

    assert len(gateway.requests) == 1


async def test_no_tls_in_the_tunnel(tmp_path: Path) -> None:
    """Whoever speaks plain HTTP or noise inside a tunnel loses the connection, and only that."""
    async with receiving(answering(response())) as gateway, proxying(tmp_path, gateway) as running:
        for noise in (b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"\x00" * 2000):
            async with running.client() as client:
                await client.send(CONNECT)
                assert await client.reader.readexactly(len(GRANTED)) == GRANTED
                await client.send(noise)
                await client.reader.read()
                assert client.reader.at_eof()
        async with running.client() as client:
            await client.tunnel()
            assert (await client.ask(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"))[0] == 200

    assert len(gateway.requests) == 1


@pytest.mark.parametrize("start", [b"CONNECT api.adobe.io:443 HTTP/1.1", b"GET https://other.example/ HTTP/1.1"])
async def test_no_way_out_of_a_tunnel(start: bytes, tmp_path: Path) -> None:
    """Inside a tunnel a request can name no other place."""
    async with proxied(tmp_path, answering(response())) as (gateway, running), running.client() as client:
        await client.tunnel()
        status, _, _ = await client.ask(start + b"\r\nhost: other.example\r\n\r\n")

    assert status == 400
    assert gateway.requests == []


async def test_smuggling_is_refused(tmp_path: Path) -> None:
    """Two lengths for one body end the connection; the gateway sees neither reading."""
    async with proxied(tmp_path, answering(response())) as (gateway, running), running.client() as client:
        await client.tunnel()
        status, _, _ = await client.ask(
            b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /"
        )

    assert status == 400
    assert gateway.requests == []


async def test_the_gateway_is_down_and_comes_back(tmp_path: Path) -> None:
    """502 says which gateway and what to do; the same proxy serves again as soon as the gateway does."""
    port = unused_port()
    request = b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nab"
    async with proxying(tmp_path, port) as running:
        async with running.client() as client:
            await client.tunnel()
            status, _, body = await client.ask(request)
        assert status == 502
        assert f"http://127.0.0.1:{port}".encode() in body
        assert b"eventmill serve" in body

        async with receiving(answering(response()), port=port), running.client() as client:
            await client.tunnel()
            assert (await client.ask(request))[0] == 200


async def test_a_gateway_that_restarts_between_two_requests(tmp_path: Path) -> None:
    """A client keeps its tunnel: the connection that the old gateway closed is not used for the next request."""
    async with proxied(tmp_path, answering_once(response())) as (gateway, running), running.client() as client:
        await client.tunnel()
        for _ in range(2):
            assert (await client.ask(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"))[0] == 200

    assert gateway.connections == 2


async def test_a_reply_that_breaks_off(tmp_path: Path) -> None:
    """A half reply is never ended as if it were whole."""
    half = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"
    async with proxied(tmp_path, answering_once(half)) as (_, running), running.client() as client:
        await client.tunnel()
        await client.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError, ssl.SSLError)):
            await client.read_answer()


async def test_an_orderly_end(tmp_path: Path) -> None:
    """A request under way is answered; half greetings, idle tunnels and half handshakes do not hold the end up."""
    arrived, answer = asyncio.Event(), asyncio.Event()

    async def gateway_side(connection: Connection) -> None:
        await connection.read_request()
        arrived.set()
        await answer.wait()
        await connection.send(response())

    async with AsyncExitStack() as stack:
        _, running = await stack.enter_async_context(proxied(tmp_path, gateway_side))
        busy, idle, half, shy = [await stack.enter_async_context(running.client()) for _ in range(4)]
        await busy.tunnel()
        await idle.tunnel()
        await half.send(b"CONNECT api.")
        await shy.send(CONNECT)
        await shy.reader.readexactly(len(GRANTED))
        await busy.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        await arrived.wait()
        closing = asyncio.create_task(running.proxy.close())
        await half.closed()
        answer.set()
        assert (await busy.read_answer())[0] == 200
        async with asyncio.timeout(20):
            await closing
        for client in (idle, shy):
            await client.closed()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", running.port)
