"""A PostgreSQL server of a test's own, on a port of loopback: it can be killed, copied as a standby, and promoted."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import asyncpg

from tests.e2e.gateway import free_port
from tests.store.pg_binaries import END_WITH_PARENT, MISSING, find_binaries, group_of, server_user

DATABASE = "gateway"
_STARTS_WITHIN_S = 30.0
_SETTINGS = {
    "fsync": "on",
    "listen_addresses": "127.0.0.1",
    "max_connections": "300",
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    "wal_keep_size": "256MB",
    "autovacuum_naptime": "10min",
}


class Place(NamedTuple):
    """A network namespace of its own to run in."""

    namespace: str
    host: str
    """Address in it under which the tests reach the server."""
    network: str
    """Of the gateways."""


class DatabaseServer:
    """Made by `new` or `standby`; started by the thread that outlives it, because it ends with that thread."""

    def __init__(self, home: Path, name: str, place: Place | None = None) -> None:
        self.name = name
        self.host = "127.0.0.1" if place is None else place.host
        self.port = free_port()
        self._place = place
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None
        self.settings = dict(_SETTINGS)
        """What it is started with."""

    @classmethod
    def new(cls, name: str = "primary", place: Place | None = None) -> DatabaseServer:
        """An empty server, not started yet."""
        home = Path(tempfile.mkdtemp(prefix=f"eventmill-{name}-", dir="/tmp"))
        if user := server_user():
            shutil.chown(home, user)
        server = cls(home, name, place)
        server._run("initdb", "-D", server.data, "-U", "gateway", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        if place is not None:
            server.settings |= {"listen_addresses": "*"}
            with (server.data / "pg_hba.conf").open("a") as rules:
                rules.write(f"host all all {place.network} trust\n")
        return server

    def standby(self, name: str = "standby") -> DatabaseServer:
        """A copy of this server, which must not have been started yet; it follows as soon as both run."""
        assert self._process is None, "only what does not run can be copied"
        copy = DatabaseServer(Path(tempfile.mkdtemp(prefix=f"eventmill-{name}-", dir="/tmp")), name, self._place)
        copy.settings = self.settings | {
            "primary_conninfo": f"host=127.0.0.1 port={self.port} user=gateway application_name={name}"
        }
        subprocess.run(["cp", "-a", str(self.data), str(copy.data)], check=True)
        (copy.data / "standby.signal").touch()
        if user := server_user():
            for path in (copy._home, copy.data / "standby.signal"):
                shutil.chown(path, user)
        return copy

    @property
    def data(self) -> Path:
        return self._home / "data"

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def dsn(self) -> str:
        """Of the database that the gateway uses."""
        return f"postgresql://gateway@{self.address}/{DATABASE}"

    def start(self) -> DatabaseServer:
        """Returns once it answers."""
        given = {**self.settings, "port": str(self.port), "unix_socket_directories": str(self._home)}
        settings = [part for name, value in given.items() for part in ("-c", f"{name}={value}")]
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._enter(), str(_binaries() / "postgres"), "-D", str(self.data), *settings],
                user=None if self._place else server_user(),
                group=None if self._place else group_of(server_user()),
                cwd=self._home,
                stdout=log,
                stderr=log,
            )
        _wait(self._until_it_answers())
        return self

    def _enter(self) -> Sequence[str]:
        """What stands in front of the command. Only root enters a namespace, so that it becomes another user there."""
        if self._place is None:
            return END_WITH_PARENT
        user = server_user() or ""
        become = ("--reuid", user, "--regid", str(group_of(user)), "--clear-groups")
        return ("ip", "netns", "exec", self._place.namespace, "setpriv", *become, "--pdeathsig", "QUIT")

    def make_database(self) -> None:
        _wait(self.execute(f"CREATE DATABASE {DATABASE}", "postgres"))

    def commit_on(self, standby: DatabaseServer) -> None:
        """From now on nothing is committed that is not on the standby's disk too. Returns once it follows."""
        _wait(self._commit_on(standby))

    async def execute(self, statement: str, database: str = DATABASE) -> Any:
        """The first value of the answer. A standby that is committed on shows what was done, too."""
        settings = {"synchronous_commit": "remote_apply"}
        dsn = f"postgresql://gateway@{self.address}/{database}"
        connection = await asyncpg.connect(dsn, timeout=5, server_settings=settings)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    async def promote(self) -> None:
        """From standby to primary; returns once it takes writes."""
        assert await self.execute("SELECT pg_promote(true, 30)", "postgres")

    def kill(self) -> None:
        """SIGKILL to all its processes at once, as if the machine were gone."""
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGSTOP)  # so that it starts nothing meanwhile
            for child in _children(self._process.pid):
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
        self._process.kill()
        self._process.wait(10)

    def close(self) -> None:
        """Whatever its state: afterwards nothing of it is left."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(10)
        shutil.rmtree(self._home, ignore_errors=True)

    def __enter__(self) -> DatabaseServer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.close()

    async def _until_it_answers(self) -> None:
        assert self._process is not None
        deadline_s = time.monotonic() + _STARTS_WITHIN_S
        while not await self._answers():
            alive = self._process.poll() is None and time.monotonic() < deadline_s
            assert alive, f"{self.name} did not start\n{(self._home / 'log').read_text()[-2000:]}"
            await asyncio.sleep(0.02)

    async def _answers(self) -> bool:
        try:
            await self.execute("SELECT 1", "postgres")
        except (OSError, TimeoutError, asyncpg.CannotConnectNowError):
            return False
        return True

    async def _commit_on(self, standby: DatabaseServer) -> None:
        name = standby.name
        await self.execute(f"ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 ({name})'", "postgres")
        await self.execute("SELECT pg_reload_conf()", "postgres")
        follows = f"SELECT sync_state = 'quorum' FROM pg_stat_replication WHERE application_name = '{name}'"
        deadline_s = time.monotonic() + _STARTS_WITHIN_S
        while not await self.execute(follows, "postgres"):
            assert time.monotonic() < deadline_s, f"{name} does not follow {self.name}"
            await asyncio.sleep(0.02)

    def _run(self, program: str, *arguments: object) -> None:
        subprocess.run(
            [str(_binaries() / program), *map(str, arguments)],
            user=server_user(),
            group=group_of(server_user()),
            cwd=self._home,
            capture_output=True,
            check=True,
        )


def _binaries() -> Path:
    found = find_binaries()
    assert found is not None, MISSING
    return found


def _children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    if listed.exists():
        return [int(child) for child in listed.read_text().split()]
    shown = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False).stdout
    return [int(child) for child in shown.split()]


def _wait(work: Coroutine[Any, Any, Any]) -> None:
    """From inside or outside an event loop."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()
