"""A real PostgreSQL server for the tests: started once per run, one fresh database for each data directory."""

from __future__ import annotations

import asyncio
import atexit
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import cache
from itertools import count
from pathlib import Path
from urllib.parse import quote

import asyncpg
import msgspec
import pytest

from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.store.postgres.connect import Connection
from eventmill.store.postgres.migrations import Migrations
from eventmill.store.postgres.queries import load_queries
from eventmill.store.postgres.store import PostgresStore
from tests.store.builders import DAY_MS, START_MS
from tests.store.pg_binaries import END_WITH_PARENT, MISSING, find_binaries, group_of, server_user

_SETTINGS = {
    "fsync": "on",
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    "autovacuum_naptime": "10min",
    "log_min_messages": "fatal",
}


class Server:
    """One cluster in a directory of its own; its socket too, so that nobody else finds it."""

    def __init__(self) -> None:
        binaries = find_binaries()
        if binaries is None:
            pytest.fail(MISSING, pytrace=False)
        self._home = Path(tempfile.mkdtemp(prefix="eventmill-pg-", dir="/tmp"))
        self._user = server_user()
        if self._user is not None:
            shutil.chown(self._home, self._user)
        self._data = self._home / "data"
        self._as_user(binaries / "initdb", "-D", self._data, "-U", "gateway", "-A", "trust", "-E", "UTF8", "--locale=C")
        settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
        command = [
            *END_WITH_PARENT,
            str(binaries / "postgres"),
            "-D",
            str(self._data),
            "-k",
            str(self._home),
            *settings,
        ]
        self._process = subprocess.Popen(
            command,
            user=self._user,
            group=group_of(self._user),
            cwd=self._home,
            stderr=subprocess.DEVNULL,
        )
        atexit.register(self.stop)
        _run(self._answers())

    def dsn(self, database: str) -> str:
        return f"postgresql://gateway@/{database}?host={quote(str(self._home))}"

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(10)
        shutil.rmtree(self._home, ignore_errors=True)

    async def _answers(self) -> None:
        for _ in range(1500):
            try:
                connection = await asyncpg.connect(self.dsn("postgres"))
            except (OSError, asyncpg.CannotConnectNowError):
                await asyncio.sleep(0.02)
            else:
                await connection.close()
                return
        pytest.fail(f"PostgreSQL did not start in {self._home}", pytrace=False)

    def _as_user(self, *command: object) -> None:
        done = subprocess.run(
            [str(part) for part in command],
            user=self._user,
            group=group_of(self._user),
            cwd=self._home,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            pytest.fail(f"{command[0]} failed: {done.stderr}", pytrace=False)


@cache
def server() -> Server:
    """One per process: workers of a parallel run do not share theirs."""
    return Server()


def open_postgres(config: Config, clock: Clock) -> PostgresStore:
    """Over the database that goes with the data directory, which is one for dev mode: without it the front of a node,
    whose children have the slots."""
    shared = msgspec.structs.replace(config, store=database_of(config.data), dev=True)
    return PostgresStore(shared, clock, delivers=config.dev)


_TEMPLATE = "made"
_made: dict[str, str] = {}


def database_of(data: str) -> str:
    """DSN of the database that goes with a data directory; made when it is asked for first."""
    server()  # by this thread: the server ends with the one that starts it
    if not _made:
        _run(_make_template())
    if data not in _made:
        _made[data] = f"d{len(_made)}"
        _run(_create(_made[data], _TEMPLATE))
    return server().dsn(_made[data])


def empty_database() -> str:
    """DSN of a database without any schema of ours."""
    server()
    name = f"e{next(_numbers)}"
    _run(_create(name, "template1"))
    return server().dsn(name)


_numbers = count(1)


def _run(work: Coroutine[None, None, None]) -> None:
    """From inside or outside an event loop."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


async def _make_template() -> None:
    await _create(_TEMPLATE, "template1")
    connection = await asyncpg.connect(server().dsn(_TEMPLATE))
    await Migrations(connection, _TEMPLATE).add()
    for day in range(START_MS // DAY_MS, START_MS // DAY_MS + 4):
        await connection.execute(load_queries("log")["make_day"], day)
    await connection.close()


async def _create(name: str, template: str) -> None:
    connection = await asyncpg.connect(server().dsn("postgres"))
    await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    await connection.close()


@asynccontextmanager
async def plain(tmp_path: Path) -> AsyncIterator[Connection]:
    """A connection beside those of the nodes."""
    connection = await asyncpg.connect(database_of(str(tmp_path)))
    try:
        yield connection
    finally:
        await connection.close()
