"""Connections to webhooks: pooled, every dial asked of the guard, through the egress proxy if there is one.

Stands on aiohttp's connector and changes three things about it: the guard makes the sockets, a proxy's failures are
told apart from an endpoint's, and a pooled connection on which the endpoint talks unasked is dropped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from aiohttp import ClientRequest, ClientTimeout, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from eventmill.config import Config
from eventmill.send.egress import EgressProxy
from eventmill.send.netguard import DialGuard, DialRefusedError, is_named, read_named_hosts
from eventmill.send.resolver import ThreadResolver
from eventmill.send.timings import current_marks, now_s

_DNS_CACHE_S = 10
_KEEPALIVE_S = 15.0
_CLOSE_S = 1.0
_OWN_LOOKUP_S = 2.0
"""With a proxy, our own look-up of a name is a courtesy: the proxy may know names that we do not."""
_NO_TIMEOUT = ClientTimeout(total=None)


class Wire(ResponseHandler):
    """A connection. While it is pooled, what the endpoint sends is neither parsed nor kept: it would pile up.

    `pooled` has all of them that are, the oldest first."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pooled: dict[Wire, None], pooled_max: int) -> None:
        super().__init__(loop)
        self._pooled = pooled
        self._pooled_max = pooled_max
        self._is_pooled = False
        self.was_used = False
        """Whether it carried a request before."""
        self.answered_s = 0.0
        """When the answer to the request under way began; 0: not yet."""

    def enter_pool(self) -> None:
        """When there are too many, the one that has been idle for longest goes."""
        self.was_used = self._is_pooled = True
        self._pooled[self] = None
        if len(self._pooled) > self._pooled_max:
            oldest = next(iter(self._pooled))
            oldest.leave_pool()
            oldest.abort()

    def leave_pool(self) -> None:
        self._is_pooled = False
        self._pooled.pop(self, None)

    def data_received(self, data: bytes) -> None:
        if self._is_pooled:
            self.abort()
        else:
            self.answered_s = self.answered_s or now_s()
            super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.leave_pool()
        super().connection_lost(exc)


class GuardedConnector(TCPConnector):
    """Without a limit of its own: how many requests run at once is the lanes' affair. Needs a running loop.

    Notes in `current_marks` how far each new connection came."""

    def __init__(self, guard: DialGuard, resolver: AbstractResolver, pooled_max: int) -> None:
        super().__init__(
            limit=0,
            resolver=resolver,
            ttl_dns_cache=_DNS_CACHE_S,
            keepalive_timeout=_KEEPALIVE_S,
            socket_factory=guard.open_socket,
        )
        self._pooled: dict[Wire, None] = {}
        self._pooled_max = pooled_max
        self._factory = self._make_wire  # type: ignore[assignment]

    def _make_wire(self) -> Wire:
        """Called once a socket is connected, and before any TLS."""
        current_marks.get().connected_s = now_s()
        return Wire(self._loop, self._pooled, self._pooled_max)

    async def _create_connection(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: ClientTimeout,  # noqa: ASYNC109 - aiohttp's, and unlimited: see `_NO_TIMEOUT`
    ) -> ResponseHandler:
        marks = current_marks.get()
        marks.is_tls = req.is_ssl()
        marks.dialled_s = now_s()
        protocol = await self._dial(req, traces, timeout)
        marks.secured_s = now_s()
        return protocol

    async def _dial(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: ClientTimeout,  # noqa: ASYNC109 - likewise
    ) -> ResponseHandler:
        return await super()._create_connection(req, traces, timeout)

    async def _resolve_host(self, host: str, port: int, traces: Sequence[Trace] | None = None) -> list[ResolveResult]:
        found = await super()._resolve_host(host, port, traces)
        marks = current_marks.get()
        marks.resolved_s = marks.resolved_s or now_s()
        return found


class TunnelConnector(GuardedConnector):
    """Every connection is a tunnel of the egress proxy, which looks names up itself. So the guard can only judge the
    addresses that a URL names, or that we find for its name ourselves; the proxy must be told the rest."""

    def __init__(self, guard: DialGuard, resolver: AbstractResolver, pooled_max: int, proxy: EgressProxy) -> None:
        super().__init__(guard, resolver, pooled_max)
        self._guard = guard
        self._proxy = proxy

    async def _dial(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: ClientTimeout,  # noqa: ASYNC109 - likewise
    ) -> ResponseHandler:
        host, port = req.url.raw_host, req.port
        assert host is not None and port is not None
        await self._refuse_known_addresses(host, port)
        current_marks.get().resolved_s = now_s()
        tunnel = await self._proxy.open_tunnel(host, port, self._resolve_host)
        tls = self._get_ssl_context(req)
        _, protocol = await self._loop.create_connection(  # closes the socket when it fails
            self._factory, sock=tunnel, ssl=tls, server_hostname=host.rstrip(".") if tls else None
        )
        return protocol

    async def _refuse_known_addresses(self, host: str, port: int) -> None:
        found = []
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(_OWN_LOOKUP_S):
                found = await self._resolve_host(host, port)
        for each in found:
            if (text := self._guard.refusal(each["host"])) is not None:
                raise DialRefusedError(text)


class Dialler:
    """Gives connections, one pool for the hosts that the settings trust with private addresses, one for all others.

    One per event loop; usable between `start` and `close`."""

    def __init__(self, config: Config, resolver: AbstractResolver | None = None) -> None:
        self._guard = DialGuard.of(config)
        self._guard_of_named = DialGuard.of(config, for_named_hosts=True)
        self._named = read_named_hosts(config)
        self._proxy = EgressProxy.of(config)
        self._resolver = resolver
        self._pooled_max = config.webhook_idle_connections_max
        self._connectors: dict[bool, GuardedConnector] = {}

    def start(self) -> None:
        resolver = self._resolver or ThreadResolver()
        for named, guard in ((False, self._guard), (True, self._guard_of_named)):
            self._connectors[named] = (
                GuardedConnector(guard, resolver, self._pooled_max)
                if self._proxy is None
                else TunnelConnector(guard, resolver, self._pooled_max, self._proxy)
            )

    async def close(self) -> None:
        """Drop pooled connections. Requests under way should have ended or been cancelled before."""
        for connector in self._connectors.values():
            with suppress(TimeoutError):  # a peer that reads nothing can hold up an orderly close
                async with asyncio.timeout(_CLOSE_S):
                    await connector.close(abort_ssl=True)

    def refuse_port(self, port: int | None) -> None:
        """Raises `DialRefusedError` for a port that no webhook may have."""
        self._guard.refuse_port(port)

    async def connect(self, request: ClientRequest) -> Connection:
        """A pooled connection, or a new one. Raises what aiohttp's connector does, `DialRefusedError` and
        `EgressProxyError`."""
        named = bool(self._named) and is_named(request.url.raw_host or "", self._named)
        connector = self._connectors[named]
        connection = await connector.connect(request, [], _NO_TIMEOUT)
        wire_of(connection).leave_pool()
        return connection


def wire_of(connection: Connection) -> Wire:
    wire = connection.protocol
    assert isinstance(wire, Wire)
    return wire


def release(connection: Connection) -> None:
    """Give it back to the pool, for the next request."""
    wire_of(connection).enter_pool()
    connection.release()


def abort(connection: Connection) -> None:
    """Drop the connection at once: an orderly close would wait for a peer that may never read or answer."""
    if connection.protocol is not None:
        connection.protocol.abort()
    connection.close()
