"""Runs the demo from its first line to its last, and leaves nothing behind: no process, no directory."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import aiohttp
import msgspec

from eventmill.clock import SystemClock
from eventmill.config import Config
from eventmill.demo import verify
from eventmill.demo.failure import DemoFailedError
from eventmill.demo.gateway import GatewayProcess
from eventmill.demo.receiver import Receiver
from eventmill.demo.screen import Screen
from eventmill.demo.tenant import Tenant
from eventmill.demo.tour import Tour
from eventmill.demo.verify import Verifier
from eventmill.flow.builtin import load_builtin
from eventmill.simulate.channel import find_channels

_INTERRUPTED = 130
_CALL_WITHIN_S = 20.0


class Access(msgspec.Struct, frozen=True):
    """What the data directory of a gateway gives to whoever may read it."""

    env: Mapping[str, str]
    """As `eventmill env` prints it."""
    operator_token: str


ReadAccess = Callable[[Config], Access]


def run_demo(screen: Screen, port: int | None, read_access: ReadAccess, *, stays: bool) -> int:
    """The exit code: 0 when everything was verified, 1 when not. `stays`: until Ctrl-C, instead of ending by itself.

    Raises `StartupError` when the gateway cannot start.
    """
    directory = Path(tempfile.mkdtemp(prefix="eventmill-demo-"))
    kept = False
    try:
        code = asyncio.run(_Show(screen, directory, read_access, stays=stays).run(port))
    except DemoFailedError as error:
        kept = True
        screen.failure(f"Not as it should be: {error}")
        screen.note(f"The gateway's log and data stay in {directory}")
        return 1
    finally:
        if not kept:
            shutil.rmtree(directory, ignore_errors=True)
    if stays:
        screen.gap()
        screen.note("The gateway has ended, its directory is gone.")
    return code


class _Show:
    def __init__(self, screen: Screen, directory: Path, read_access: ReadAccess, *, stays: bool) -> None:
        self._screen = screen
        self._directory = directory
        self._read_access = read_access
        self._stays = stays
        self._is_over = False
        """The acts have ended well; from then on Ctrl-C is the way to end."""

    async def run(self, port: int | None) -> int:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        playing = asyncio.create_task(self._play(port))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait((playing, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if stop.is_set():
            playing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await playing
        return 0 if self._is_over else _INTERRUPTED

    async def _play(self, port: int | None) -> None:
        clock = SystemClock()
        began_s = clock.machine_s()
        async with (
            GatewayProcess(self._directory, port) as gateway,
            Receiver() as receiver,
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_CALL_WITHIN_S)) as session,
        ):
            config = gateway.config
            self._open(config, receiver, clock.machine_s() - began_s)
            access = self._read_access(config)
            tenant = Tenant(session, access.env, access.operator_token)
            receiver.verifier = Verifier(access.env["client_id"], access.env["client_secret"], tenant.fetch_key)
            tour = Tour(self._screen, receiver, tenant, find_channels(load_builtin(config)), clock)
            try:
                await tour.play()
            except (aiohttp.ClientError, TimeoutError) as error:
                raise DemoFailedError(f"the gateway does not answer any more: {error!r}") from error
            self._is_over = True
            self._close(config, tour)
            if self._stays:
                await tour.watch()

    def _open(self, config: Config, receiver: Receiver, took_s: float) -> None:
        screen = self._screen
        screen.title(
            "Eventmill demo", "Events of eight channels, from a gateway of your own to a receiver that checks."
        )
        screen.act("A gateway", "One process and one directory: no account, no cloud, nothing to set up.")
        screen.place("gateway", config.url, f"ready after {took_s:.1f} s")
        screen.place("receiver", receiver.url, f"checks with {_example()}, to be copied")

    def _close(self, config: Config, tour: Tour) -> None:
        screen = self._screen
        where = ["--data", config.data, "--port", str(config.port)]
        screen.place("gateway", config.url)
        screen.place("AsyncAPI", f"{config.url}/asyncapi/catalog.json")
        screen.place("journal", tour.journal_url.removeprefix(config.url))
        if not self._stays:
            screen.gap()
            screen.note("All of it ends here. In a terminal it goes on until Ctrl-C, to be played with.")
            return
        screen.gap()
        screen.note("To go on, in a second terminal:")
        screen.gap()
        screen.note(_command("simulate", "campaign", *where))
        screen.note(f'eval "$({_command("env", *where)})"')
        screen.gap()
        screen.note("What arrives shows up here. Ctrl-C ends the gateway and removes its directory.")
        screen.gap()


def _command(*arguments: str) -> str:
    """As it can be typed where this demo was started."""
    script = Path(sys.executable).parent / "eventmill"
    return shlex.join(["eventmill" if shutil.which("eventmill") else _shown(script), *arguments])


def _example() -> str:
    """Where the verification is to be read: in the clone, or by its place in the package."""
    source = Path(verify.__file__)
    is_near = source.is_relative_to(Path.cwd()) and "site-packages" not in source.parts
    return _shown(source) if is_near else "eventmill/demo/verify.py"


def _shown(path: Path) -> str:
    """Relative when that is shorter to read and to type."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
