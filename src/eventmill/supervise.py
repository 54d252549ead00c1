"""Starts the delivery children, restarts those that die or hang, and drains them at the end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections import Counter
from functools import partial

import msgspec
import structlog

from eventmill import telemetry
from eventmill.config import Config
from eventmill.store.children import BEAT_S, Beat, ParentStore
from eventmill.web.parts import DeliveryProcess

log = structlog.get_logger()

_RESTART_DELAY_S = 0.2
_RESTART_DELAY_MAX_S = 10.0
_HEALTHY_AFTER_S = 10.0
_MISSED_MAX = 20
"""Beats in a row: a child that goes through a hundred thousand registrations may be silent for some."""


class DeliveryChildren:
    def __init__(self, store: ParentStore, config: Config) -> None:
        self._store = store
        self._config = config
        self._stopping = False
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._starts: Counter[int] = Counter()
        self._slots: dict[int, int] = {}
        self._heard: set[int] = set()
        """Those that gave a sign of life lately."""

    async def run(self) -> None:
        """Keep every child alive until `stop`."""
        async with asyncio.TaskGroup() as owner:
            for index in range(self._config.delivery_children):
                owner.create_task(self._keep_alive(index))

    def processes(self) -> tuple[DeliveryProcess, ...]:
        """By their number."""
        return tuple(
            DeliveryProcess(index, process.pid, process.returncode is None, self._slots[index], self._starts[index] - 1)
            for index, process in sorted(self._processes.items())
        )

    async def stop(self) -> None:
        """Ask all to drain; those that have not gone in time are killed, and what they had under way repeats."""
        self._stopping = True
        self._store.drain_children()
        waits = [asyncio.create_task(process.wait()) for process in self._processes.values()]
        if not waits:
            return
        await asyncio.wait(waits, timeout=self._config.drain_timeout_s + 1)
        for process in self._processes.values():
            if process.returncode is None:
                process.kill()
        await asyncio.gather(*waits)

    async def _keep_alive(self, index: int) -> None:
        delay_s = _RESTART_DELAY_S
        loop = asyncio.get_running_loop()
        while not self._stopping:
            started_s = loop.time()
            code, cause = None, ""
            try:
                code = await self._run_child(index)
            except OSError as error:  # no memory, process or file to be had now; publishing goes on meanwhile
                cause = str(error)
            if self._stopping:
                return
            if loop.time() - started_s > _HEALTHY_AFTER_S:
                delay_s = _RESTART_DELAY_S
            log.error(telemetry.DELIVERY_EXITED, process=index, code=code, cause=cause, restart_in_s=delay_s)
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, _RESTART_DELAY_MAX_S)

    async def _run_child(self, index: int) -> int:
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "eventmill.delivery_process",
                    str(theirs.fileno()),
                    stdin=asyncio.subprocess.PIPE,
                    pass_fds=(theirs.fileno(),),
                )
        except BaseException:
            ours.close()
            raise
        self._processes[index] = process
        self._starts[index] += 1
        log.info(telemetry.DELIVERY_STARTED, process=index, pid=process.pid)
        self._slots[index] = 0
        self._store.attach_child(ours, index, self._config.delivery_children, partial(self._hear, index))
        assert process.stdin is not None
        with contextlib.suppress(ConnectionError):  # it died at once; its exit code tells
            process.stdin.write(msgspec.json.encode(self._config))
            await process.stdin.drain()
            process.stdin.close()
        watching = asyncio.create_task(self._kill_silent(index, process))
        try:
            return await process.wait()
        finally:
            watching.cancel()

    def _hear(self, index: int, beat: Beat) -> None:
        self._slots[index] = beat.slots
        self._heard.add(index)

    async def _kill_silent(self, index: int, process: asyncio.subprocess.Process) -> None:
        """Counts looks, not time: whoever was stopped together with the child hears of it before there are so many."""
        missed = 0
        while missed < _MISSED_MAX:
            self._heard.discard(index)
            await asyncio.sleep(BEAT_S)
            missed = 0 if index in self._heard else missed + 1
        log.error(telemetry.DELIVERY_SILENT, process=index, pid=process.pid)
        process.kill()
