"""Runs the proxy until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from eventmill import telemetry
from eventmill.clock import SystemClock
from eventmill.config import Config, is_loopback
from eventmill.errors import StartupError
from eventmill.local_ca import ensure_ca
from eventmill.proxy.forward import Forwarder
from eventmill.proxy.listener import Proxy


class ProxySettings(msgspec.Struct, frozen=True):
    host: str
    port: int
    gateway: str
    """Scheme, host and port of the gateway."""


def check_settings(host: str, port: int, gateway: str) -> ProxySettings:
    """Raises `StartupError` for an address that is not loopback, or a gateway that is not scheme, host and port."""
    if not is_loopback(host):
        raise StartupError(
            f"the proxy does not listen on {host}: whoever reaches it speaks to the gateway under Adobe's names. "
            "Use a loopback address such as 127.0.0.1."
        )
    if not 0 <= port <= 65535:
        raise StartupError(f"port {port} is not a TCP port (0 to 65535)")
    return ProxySettings(host, port, _check_gateway(gateway))


def _check_gateway(gateway: str) -> str:
    try:
        parts = urlsplit(gateway)
        port = parts.port
    except ValueError as error:
        raise StartupError(f"--gateway {gateway!r} is not a URL: {error}") from error
    rest = parts.username or parts.query or parts.fragment or parts.path.strip("/")
    if parts.scheme not in {"http", "https"} or not parts.hostname or rest:
        raise StartupError(f"--gateway {gateway!r} must be scheme, host and port, such as http://127.0.0.1:8080")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}" + ("" if port is None else f":{port}")


def run(config: Config, settings: ProxySettings, on_ready: Callable[[int], None]) -> None:
    """Serve until SIGTERM or SIGINT; `on_ready` is given the port. Raises `StartupError`."""
    telemetry.setup_logging(config)
    asyncio.run(_serve(config, settings, on_ready))


async def _serve(config: Config, settings: ProxySettings, on_ready: Callable[[int], None]) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    clock = SystemClock()
    tls = ssl.create_default_context()
    tls.load_verify_locations(ensure_ca(Path(config.data), config.adobe_hosts, now_ms=clock.machine_ms()))
    proxy = Proxy(config, Forwarder(settings.gateway, tls), clock)
    try:
        on_ready(await proxy.start(settings.host, settings.port))
        await stopping.wait()
    except OSError as error:
        raise StartupError(
            f"cannot listen on {settings.host} port {settings.port}: {os.strerror(error.errno or 0)}. "
            "Stop what uses it, or choose another with --port (and give the same to `eventmill env --aio`)."
        ) from error
    finally:
        await proxy.close()
