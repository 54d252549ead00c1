"""The demo's gateway: `eventmill serve --dev` as a child process in a directory of its own, ended by its pid."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path
from types import TracebackType

import aiohttp

from eventmill.config import ENV_PREFIX, Config
from eventmill.demo.failure import DemoFailedError
from eventmill.errors import StartupError

_READY_WITHIN_S = 30.0
_LOOK_EVERY_S = 0.02
_ENDS_WITHIN_S = 20.0
_SAYS = "eventmill: "
"""How the command opens the line that says why it could not start."""


class GatewayProcess:
    """Runs between `async with` and its end; ready when entered."""

    def __init__(self, directory: Path, port: int | None) -> None:
        """`port` None: a free one. Raises `StartupError` when the port cannot be had."""
        self.config = Config(dev=True, data=str(directory / "data"), port=_take_port(port))
        self.log_path = directory / "gateway.log"
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> GatewayProcess:
        """Raises `StartupError` saying what the gateway said."""
        config = self.config
        with self.log_path.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "eventmill", "serve", "--dev"),
                *("--data", config.data, "--port", str(config.port), "--log-format", "text"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Settings of the caller's shell are for the caller's gateway.
                env={name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)},
                start_new_session=True,  # Ctrl-C is for the demo, which ends it in good order
            )
        try:
            await asyncio.wait_for(self._wait_ready(self._process), _READY_WITHIN_S)
        except TimeoutError:
            await self._end()
            raise DemoFailedError(f"the gateway is not ready after {_READY_WITHIN_S:.0f} s") from None
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        await self._end()

    async def _wait_ready(self, process: asyncio.subprocess.Process) -> None:
        async with aiohttp.ClientSession() as session:
            while process.returncode is None:
                try:
                    async with session.get(f"{self.config.url}/readyz") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientConnectionError:
                    pass
                await asyncio.sleep(_LOOK_EVERY_S)
        said = [line for line in self.log_path.read_text(errors="replace").splitlines() if line.startswith(_SAYS)]
        if said:
            raise StartupError(said[-1].removeprefix(_SAYS))
        raise DemoFailedError(f"the gateway ended before it was ready, with exit code {process.returncode}")

    async def _end(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _ENDS_WITHIN_S)
        except TimeoutError:
            process.kill()
            await process.wait()


def _take_port(wanted: int | None) -> int:
    """Asked before the gateway starts: if another gateway had it, that one would answer in its place."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted or 0))
        except OSError as error:
            message = (
                f"port {wanted} cannot be had: {os.strerror(error.errno or 0)}. "
                "Stop what uses it, choose another with --port, or leave --port out for a free one."
            )
            raise StartupError(message) from None
        port: int = probe.getsockname()[1]
        return port
