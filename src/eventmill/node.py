"""Runs a node until it is asked to stop: its ports, its tasks, and its end, which is orderly and bounded.

Order of an orderly end: publishing answers 503, open requests finish, attempts under way finish or are cut off and
repeated after the restart, progress is committed, the store closes. Whatever hangs, the process is gone in time.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import threading
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Protocol

import structlog

from eventmill import telemetry
from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.listening import HttpServer, Listener
from eventmill.web.http import ASGIApp
from eventmill.web.tls import keep_certificate_fresh

log = structlog.get_logger()

_GONE_S = 14.5
"""After SIGTERM the process ends itself by now, whatever hangs."""

Tasks = Sequence[Coroutine[Any, Any, None]]


class Node(Protocol):
    """What one does, by its roles."""

    stopping: asyncio.Event

    @property
    def app(self) -> ASGIApp: ...

    def chores(self) -> Tasks:
        """Cancelled when `stop` is done."""

    def deliveries(self) -> Tasks:
        """Those that end by themselves once `stop` was called."""

    async def stop(self) -> None:
        """Take nothing new; returns when what is under way outside this process has ended."""


async def run_node(
    node: Node, config: Config, clock: Clock, listeners: Sequence[Listener], on_ready: Callable[[], None]
) -> None:
    """Until SIGTERM or SIGINT, or until a port fails."""
    servers = [HttpServer(node.app, listener.tls) for listener in listeners]
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, node.stopping.set)
    async with asyncio.TaskGroup() as owner:
        serving = [
            owner.create_task(http.serve(sockets=[listener.socket]))
            for http, listener in zip(servers, listeners, strict=True)
        ]
        fresh = [keep_certificate_fresh(each.tls, config, clock) for each in listeners if each.tls]
        chores = [owner.create_task(chore) for chore in (*node.chores(), *fresh)]
        for delivery in node.deliveries():
            owner.create_task(delivery)
        stopping = owner.create_task(node.stopping.wait())
        announcing = owner.create_task(_announce(servers, config, on_ready))
        await asyncio.wait((*serving, stopping), return_when=asyncio.FIRST_COMPLETED)
        announcing.cancel()
        stopping.cancel()
        log.info(telemetry.GATEWAY_DRAINING)
        _tell_service_manager("STOPPING=1")
        _be_gone_in_time()
        node.stopping.set()
        for http in servers:
            http.should_exit = True
        await node.stop()
        for chore in chores:
            chore.cancel()


async def _announce(servers: Sequence[HttpServer], config: Config, on_ready: Callable[[], None]) -> None:
    while not all(http.started for http in servers):
        await asyncio.sleep(0.005)
    gc.freeze()  # modules and the catalogue are not garbage: each full collection would walk them again
    places = {"console": f"{config.url}/ui/"} if config.is_front else {}
    log.info(telemetry.GATEWAY_READY, url=config.url, **places)
    _tell_service_manager("READY=1")
    on_ready()


def _tell_service_manager(state: str) -> None:
    """What `Type=notify` of systemd waits for (sd_notify(3)); nothing where no service manager asks."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] in ("/", "@"):
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.sendto(state.encode(), address.replace("@", "\0", 1) if address[0] == "@" else address)


def _be_gone_in_time() -> None:
    deadline = threading.Timer(_GONE_S, os._exit, (1,))
    deadline.daemon = True
    deadline.start()
