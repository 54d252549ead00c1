"""Takes proxy connections: reads what each asks for, ends the TLS of tunnels itself, and hands the rest to `forward`.

Listens on loopback only: whoever can connect could otherwise speak to the gateway under any of Adobe's names.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Coroutine
from http import HTTPStatus
from pathlib import Path

import structlog
from aiohttp import web

from eventmill import telemetry
from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.errors import StartupError
from eventmill.local_ca import server_certificate
from eventmill.proxy.connection import HttpServer
from eventmill.proxy.forward import Forwarder, refuse
from eventmill.proxy.target import Refusal, end_of_head, read_absolute, read_target

log = structlog.get_logger()

_CONNECTIONS_MAX = 512
_HEAD_TIMEOUT_S = 10.0
_HANDSHAKE_TIMEOUT_S = 10.0
_REFUSALS_TOLD_MAX = 1000
_FINISH_S = 5.0
_RENEWAL_CHECK_S = 24 * 3600.0


class Proxy:
    """One per process; made, started and closed inside one event loop."""

    def __init__(self, config: Config, forwarder: Forwarder, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self.hosts = frozenset(config.adobe_hosts)
        self.greetings: set[_Greeting] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._forwarder = forwarder
        self._told: set[str] = set()
        self._tunnelled = HttpServer(self._tunnelled_request, self.note_refusal)
        self._plain = HttpServer(self._plain_request, self.note_refusal)
        self._tls = self._tls_context()
        self._server: asyncio.Server | None = None

    def _tls_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        context.sni_callback = self._check_server_name
        self._load_certificate(context)
        return context

    def _load_certificate(self, context: ssl.SSLContext) -> None:
        data, hosts = Path(self._config.data), self._config.adobe_hosts
        context.load_cert_chain(server_certificate(data, hosts, now_ms=self._clock.machine_ms()).chain_file)

    def _check_server_name(self, _tls: object, name: str | None, _context: ssl.SSLContext) -> int | None:
        if name is None or name.lower() in self.hosts:
            return None
        self.note_refusal(f"a TLS client asked for the server name {name!r}")
        return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME

    async def start(self, host: str, port: int) -> int:
        """Listen; the port, which the system chooses for 0. Raises `OSError`."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Greeting(self), host, port)
        self._own(self._renew())
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Take nothing new, let requests under way finish within 5 s, then cut off what is left."""
        if self._server is not None:
            self._server.close()
        for greeting in list(self.greetings):
            greeting.abort()
        for http in (self._tunnelled, self._plain):
            http.pre_shutdown()  # idle connections end at once
        await asyncio.gather(self._tunnelled.shutdown(_FINISH_S), self._plain.shutdown(_FINISH_S))
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._forwarder.close()

    @property
    def is_full(self) -> bool:
        served = len(self._tunnelled.connections) + len(self._plain.connections)
        return len(self.greetings) + len(self._tasks) + served >= _CONNECTIONS_MAX

    def open_tunnel(self, transport: asyncio.Transport) -> None:
        self._own(self._end_tls(transport))

    def take_request(self, transport: asyncio.Transport, received: bytes) -> None:
        _hand_over(transport, self._plain(), received)

    async def _end_tls(self, transport: asyncio.Transport) -> None:
        early = _Early()
        loop = asyncio.get_running_loop()
        try:
            inner = await loop.start_tls(
                transport, early, self._tls, server_side=True, ssl_handshake_timeout=_HANDSHAKE_TIMEOUT_S
            )
        except (OSError, TimeoutError) as error:  # ssl.SSLError is an OSError
            self.note_refusal(f"no TLS in the tunnel: {str(error) or type(error).__name__}")
            transport.abort()
            return
        except asyncio.CancelledError:
            transport.abort()
            raise
        if inner is not None and not early.is_lost:
            _hand_over(inner, self._tunnelled(), bytes(early.received))

    async def _tunnelled_request(self, request: web.BaseRequest) -> web.StreamResponse:
        if not request.raw_path.startswith("/"):
            return refuse(400, "bad_request", "a request inside a tunnel names a path, not a URL")
        return await self._forwarder.forward(request, request.raw_path)

    async def _plain_request(self, request: web.BaseRequest) -> web.StreamResponse:
        """Each is checked: a connection may carry several."""
        try:
            target = read_absolute(request.raw_path, self.hosts).target
        except Refusal as refusal:
            self.note_refusal(refusal.message)
            return refuse(refusal.status, "refused", refusal.message)
        return await self._forwarder.forward(request, target)

    def note_refusal(self, cause: str) -> None:
        """Each cause once: a client that keeps knocking does not fill the log."""
        if cause not in self._told and len(self._told) < _REFUSALS_TOLD_MAX:
            self._told.add(cause)
            log.warning(telemetry.PROXY_REFUSED, cause=cause)

    def _own(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _renew(self) -> None:
        """A proxy that runs for a year serves the renewed certificate from the day it is made."""
        while True:
            await asyncio.sleep(_RENEWAL_CHECK_S)
            try:
                self._load_certificate(self._tls)
            except (StartupError, OSError) as error:
                log.warning(telemetry.TLS_CERTIFICATE_FAILED, cause=str(error))


def _hand_over(transport: asyncio.Transport, protocol: asyncio.Protocol, received: bytes) -> None:
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    if received:
        protocol.data_received(received)


class _Early(asyncio.Protocol):
    """Keeps what a client sends between the end of its handshake and the moment its tunnel is handed over."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.is_lost = False

    def data_received(self, data: bytes) -> None:
        self.received += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True


class _Greeting(asyncio.Protocol):
    """A connection until its first request head is complete."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._timer = asyncio.get_running_loop().call_later(_HEAD_TIMEOUT_S, self._time_out)
        is_full = self._proxy.is_full
        self._proxy.greetings.add(self)
        if is_full:
            self._refuse(Refusal(503, f"this proxy already holds {_CONNECTIONS_MAX} connections"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()

    def data_received(self, data: bytes) -> None:
        if self._transport.is_closing():
            return
        self._received += data
        try:
            end = end_of_head(self._received)
            if not end:
                return
            asked = read_target(bytes(self._received[:end]), self._proxy.hosts)
            if asked.kind == "tunnel" and len(self._received) > end:
                raise Refusal(400, "bytes came before the tunnel was granted")
        except Refusal as refusal:
            self._refuse(refusal)
            return
        self._leave()
        if asked.kind == "tunnel":
            self._transport.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            self._proxy.open_tunnel(self._transport)
        else:
            self._proxy.take_request(self._transport, bytes(self._received))

    def abort(self) -> None:
        self._leave()
        self._transport.abort()

    def _leave(self) -> None:
        self._timer.cancel()
        self._proxy.greetings.discard(self)

    def _time_out(self) -> None:
        self._refuse(Refusal(408, f"no complete request came within {_HEAD_TIMEOUT_S:.0f} s"))

    def _refuse(self, refusal: Refusal) -> None:
        self._proxy.note_refusal(refusal.message)
        body = f"eventmill proxy: {refusal.message}\n".encode("ascii", "backslashreplace")
        self._transport.write(
            b"HTTP/1.1 %d %s\r\ncontent-type: text/plain\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
            % (refusal.status, HTTPStatus(refusal.status).phrase.encode(), len(body))
            + body
        )
        self._transport.close()
