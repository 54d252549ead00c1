"""The operator's egress proxy: one TCP connection to it, and the CONNECT that makes a tunnel (RFC 9110 section 9.3.6).

Plain http webhooks go through a tunnel as well, so that whatever answers after it is the endpoint, and whatever fails
before it is the proxy. The proxy is the operator's choice, so no guard stands before its own address.
"""

from __future__ import annotations

import asyncio
import socket
from base64 import b64encode
from collections.abc import Awaitable, Callable
from urllib.parse import unquote, urlsplit

import msgspec
from aiohttp.abc import ResolveResult

from eventmill.config import Config
from eventmill.errors import StartupError

_HEAD_BYTES_MAX = 16 * 1024
_SETTING = "EVENTMILL_EGRESS_PROXY"


Resolve = Callable[[str, int], Awaitable[list[ResolveResult]]]
"""Looks a host and port up. Raises `OSError`."""


class EgressProxyError(OSError):
    """The proxy gave no tunnel. Says nothing about the endpoint; the text holds no user and no password."""


class EgressProxy(msgspec.Struct, frozen=True):
    host: str
    port: int
    authorization: str
    """`Proxy-Authorization`; empty: none."""
    connect_timeout_s: float
    """How long name and connect may take; less than an attempt, so that it is seen whose fault the delay was."""

    @property
    def shown(self) -> str:
        return f"the egress proxy {_authority(self.host, self.port)}"

    @classmethod
    def of(cls, config: Config) -> EgressProxy | None:
        """None without one. Raises `StartupError` for what is no `http` URL of a proxy, without repeating it."""
        if not config.egress_proxy:
            return None
        wanted = f"{_SETTING} must be http://host:port, with user:password@ before the host if need be"
        try:
            parts = urlsplit(config.egress_proxy)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise StartupError(wanted) from None  # the cause would show the URL
        if not host or not port or parts.scheme != "http" or parts.path.strip("/") or parts.query:
            raise StartupError(wanted)
        login = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        authorization = "" if login == ":" else f"Basic {b64encode(login.encode()).decode()}"
        return cls(host, port, authorization, config.webhook_timeout_s / 2)

    async def open_tunnel(self, host: str, port: int, resolve: Resolve) -> socket.socket:
        """A connected, non-blocking socket whose other end is `host`. Raises `EgressProxyError`; a proxy that took the
        CONNECT and is silent runs into the caller's deadline, because it may be waiting for the endpoint."""
        try:
            async with asyncio.timeout(self.connect_timeout_s):
                connected = await self._dial(resolve)
        except TimeoutError:
            raise EgressProxyError(f"{self.shown} took no connection within {self.connect_timeout_s:g} s") from None
        try:
            await self._ask(connected, _authority(host, port))
        except BaseException:
            connected.close()
            raise
        return connected

    async def _dial(self, resolve: Resolve) -> socket.socket:
        loop = asyncio.get_running_loop()
        try:
            found = await resolve(self.host, self.port)
        except OSError as error:
            raise EgressProxyError(f"{self.shown} is an unknown name: {error.strerror}") from error
        failure: OSError | None = None
        for each in found:
            dialling = socket.socket(socket.AF_INET6 if ":" in each["host"] else socket.AF_INET)
            dialling.setblocking(False)
            try:
                await loop.sock_connect(dialling, (each["host"], self.port))
            except OSError as error:
                dialling.close()
                failure = error
            except BaseException:
                dialling.close()
                raise
            else:
                return dialling
        raise EgressProxyError(f"{self.shown} cannot be reached: {failure}") from failure

    async def _ask(self, connected: socket.socket, authority: str) -> None:
        loop = asyncio.get_running_loop()
        login = f"proxy-authorization: {self.authorization}\r\n" if self.authorization else ""
        try:
            await loop.sock_sendall(
                connected, f"CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n{login}\r\n".encode()
            )
            head = b""
            while b"\r\n\r\n" not in head and len(head) < _HEAD_BYTES_MAX:
                if not (more := await loop.sock_recv(connected, 4096)):
                    raise EgressProxyError(f"{self.shown} closed the connection instead of making a tunnel")
                head += more
        except EgressProxyError:
            raise
        except OSError as error:
            raise EgressProxyError(f"{self.shown} broke off instead of making a tunnel: {error.strerror}") from error
        status = _status(head)
        if status is None:
            raise EgressProxyError(f"{self.shown} did not answer in HTTP")
        if not 200 <= status <= 299:
            raise EgressProxyError(f"{self.shown} refused a tunnel with status {status}")
        if not head.endswith(b"\r\n\r\n"):
            raise EgressProxyError(f"{self.shown} sent more than its answer before the tunnel was used")


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _status(head: bytes) -> int | None:
    """Of the final answer: interim ones make no sense here, and count as it."""
    line = head.partition(b"\r\n")[0].split(b" ", 2)
    if len(line) < 2 or not line[0].startswith(b"HTTP/1.") or not line[1].isdigit() or len(line[1]) != 3:
        return None
    return int(line[1]) if b"\r\n\r\n" in head else None
