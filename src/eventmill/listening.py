"""The ports of a node, and how HTTP is served on them."""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
from collections.abc import Iterator
from typing import NamedTuple

import uvicorn

from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.errors import StartupError
from eventmill.web.http import ASGIApp
from eventmill.web.tls import https_context
from eventmill.web.wire import BoundedHttp

_REQUESTS_FINISH_S = 5
_BACKLOG = 2048


class Listener(NamedTuple):
    socket: socket.socket
    tls: ssl.SSLContext | None = None


def open_listeners(config: Config, clock: Clock) -> list[Listener]:
    """One for HTTP, and one for HTTPS if that is wanted; before the store opens. Raises `StartupError`."""
    listeners = [Listener(_listen(config.host, config.port, "--port"))]
    if config.tls_port:
        tls = https_context(config, clock)
        listeners.append(Listener(_listen(config.host, config.tls_port, "EVENTMILL_TLS_PORT"), tls))
    return listeners


def _listen(host: str, port: int, setting: str) -> socket.socket:
    """The connection backlog outlasts a moment of full load."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise StartupError(
            f"cannot listen on {host} port {port}: {error.strerror}. {_remedy(error, setting)}"
        ) from error
    listener.setblocking(False)
    return listener


def _remedy(error: OSError, setting: str) -> str:
    if error.errno == errno.EACCES:
        return f"Ports below 1024 need privileges: choose another with {setting}."
    if error.errno == errno.EADDRNOTAVAIL:
        return "This machine has no such address: choose another with --host."
    return f"Stop what uses it, or choose another with {setting} (or --host)."


class HttpServer(uvicorn.Server):
    """Signals are the node's: it has more than HTTP to end."""

    def __init__(self, app: ASGIApp, tls: ssl.SSLContext | None) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                loop="none",
                http=BoundedHttp,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=_REQUESTS_FINISH_S,
                ssl_context_factory=None if tls is None else lambda _config, _default: tls,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
