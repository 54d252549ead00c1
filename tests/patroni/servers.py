"""Three PostgreSQL servers on loopback, each under a Patroni of its own, over one etcd: as docs/postgresql.md says."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.gateway import call
from tests.store.pg_binaries import MISSING, find_binaries, group_of, server_user
from tests.waiting import eventually

ROOT = Path(__file__).parents[2]
_TOOLS = ROOT / ".make/patroni"
_PAGE = ROOT / "docs/postgresql.md"
_SCOPE = "eventmill"
_SECRET = "secret"  # the page's
_NAMES = ("db1", "db2", "db3")
_CALM_WITHIN_S = 120.0


class Member:
    """One server and its Patroni: what would have a machine of its own."""

    def __init__(self, home: Path, name: str, etcd_port: int, dynamic: Mapping[str, Any]) -> None:
        self.name = name
        self.home = home / name
        self.port = _quiet_port()
        self.rest_port = _quiet_port()
        self._etcd_port = etcd_port
        self._dynamic = dict(dynamic)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def config(self) -> Path:
        return self.home / "patroni.yaml"

    def start(self) -> None:
        """By the thread that outlives it."""
        self.home.mkdir(exist_ok=True)
        self.config.write_text(yaml.safe_dump(self._settings()))
        if user := server_user():
            shutil.chown(self.home, user)
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*_become(), str(_TOOLS / "bin/patroni"), str(self.config)], cwd=self.home, stdout=log, stderr=log
            )

    def kill(self) -> None:
        """The machine is gone: SIGKILL to Patroni and to all processes of the server."""
        self.signal(signal.SIGSTOP)  # so that none of them starts another meanwhile
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(10)
            self._process = None

    def signal(self, number: signal.Signals) -> None:
        """To all of them."""
        for pid in self._processes():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def state(self) -> dict[str, Any]:
        """What its Patroni says of its server; nothing while it does not answer."""
        state: dict[str, Any] = {}
        with suppress(OSError, ValueError):
            state = json.loads(call("GET", f"http://127.0.0.1:{self.rest_port}/patroni").body)
        return state

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def log_text(self) -> str:
        log = self.home / "log"
        return log.read_text(errors="replace") if log.exists() else "it was never started"

    def _processes(self) -> list[int]:
        """All that work in its directory: Patroni, and the server in `data`."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if (entry / "cwd").readlink().is_relative_to(self.home):
                    found.append(int(entry.name))
        return found

    def _settings(self) -> dict[str, Any]:
        binaries = find_binaries()
        assert binaries is not None, MISSING
        rest = f"127.0.0.1:{self.rest_port}"
        users = {"superuser": "postgres", "replication": "replicator", "rewind": "rewinder"}
        return {
            "scope": _SCOPE,
            "name": self.name,
            "restapi": {"listen": rest, "connect_address": rest},
            "etcd3": {"host": f"127.0.0.1:{self._etcd_port}"},
            "bootstrap": {
                "dcs": self._dynamic,
                "initdb": [{"encoding": "UTF8"}, {"locale": "C"}, {"auth-host": "scram-sha-256"}],
            },
            "postgresql": {
                "listen": self.address,
                "connect_address": self.address,
                "data_dir": str(self.home / "data"),
                "bin_dir": str(binaries),
                "pgpass": str(self.home / "pgpass"),
                "authentication": {kind: {"username": name, "password": _SECRET} for kind, name in users.items()},
                "pg_hba": [f"host {which} all 127.0.0.1/32 scram-sha-256" for which in ("all", "replication")],
                "parameters": {"shared_buffers": "32MB", "unix_socket_directories": str(self.home)},
            },
        }


class Servers:
    """Those three, and what operators ask of them."""

    def __init__(self, home: Path, etcd_port: int, dynamic: Mapping[str, Any]) -> None:
        self.members = [Member(home, name, etcd_port, dynamic) for name in _NAMES]

    @property
    def dsn(self) -> str:
        """As the page writes it."""
        return f"postgresql://eventmill:{_SECRET}@{','.join(member.address for member in self.members)}/eventmill"

    async def start(self) -> None:
        """Returns once the page's database is there."""
        for member in self.members:
            member.start()
        await self.until_calm()
        for statement in _blocks("sql")[0].split(";"):
            self.sql(statement.replace("...", _SECRET))

    async def until_calm(self) -> None:
        """One leads, and all others that run follow and have a voice in what is committed."""
        look = functools.partial(asyncio.to_thread, self._is_calm)
        await eventually(look, "a primary, and standbys that follow it", _CALM_WITHIN_S)

    def leader(self) -> Member:
        """The primary."""
        return next(member for member in self._running() if member.state().get("role") == "primary")

    def standbys(self) -> list[Member]:
        """Those that run."""
        return [member for member in self._running() if member is not self.leader()]

    def switch_over(self) -> None:
        """As planned work begins: another one leads, without anything going wrong."""
        command = [_TOOLS / "bin/patronictl", "-c", self.leader().config, "switchover", _SCOPE, "--force"]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120)
        assert "Successfully switched over" in done.stdout, done.stdout + done.stderr

    def sql(self, statement: str) -> str:
        """On the primary, as its superuser."""
        binaries = find_binaries()
        dsn = f"postgresql://postgres:{_SECRET}@{self.leader().address}/postgres"
        command = [f"{binaries}/psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", statement, dsn]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def _running(self) -> list[Member]:
        return [member for member in self.members if member.is_running]

    def _is_calm(self) -> bool:
        """As each of them says itself: what one knows of another may be older than its death."""
        states = [member.state() for member in self._running()]
        primaries = [state for state in states if state.get("role") == "primary"]
        if len(primaries) != 1:
            return False
        followers = primaries[0].get("replication", ())
        follow = [each for each in followers if (each["state"], each["sync_state"]) == ("streaming", "quorum")]
        return len(follow) == len(followers) == len(states) - 1 == sum("quorum_standby" in state for state in states)


def page_settings() -> dict[str, Any]:
    """The dynamic configuration that docs/postgresql.md recommends."""
    settings: dict[str, Any] = yaml.safe_load(_blocks("yaml")[0])
    return settings


@contextmanager
def servers(dynamic: Mapping[str, Any]) -> Iterator[Servers]:
    """Not started yet. Afterwards nothing of them is left."""
    home = Path(tempfile.mkdtemp(prefix="eventmill-patroni-", dir="/tmp"))
    home.chmod(0o755)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        port, peers = _quiet_port(), _quiet_port()
        own, others = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peers}"
        flags = {
            "data-dir": home / "etcd",
            "listen-client-urls": own,
            "advertise-client-urls": own,
            "listen-peer-urls": others,
            "initial-advertise-peer-urls": others,
            "initial-cluster": f"default={others}",
        }
        command = [_TOOLS / "etcd/usr/bin/etcd", *(f"--{name}={value}" for name, value in flags.items())]
        with (home / "etcd.log").open("ab") as log:
            etcd = subprocess.Popen([*_END_WITH_PARENT, *map(str, command)], stdout=log, stderr=log)
        stack.callback(etcd.wait, 10)
        stack.callback(etcd.kill)
        some = Servers(home, port, dynamic)
        for member in some.members:
            stack.callback(member.kill)
        yield some


_END_WITH_PARENT = ("setpriv", "--pdeathsig", "TERM")
"""Tests may be killed; Patroni then stops its server."""


def _become() -> Sequence[str]:
    """In front of Patroni, which must not be root. It may read root's files, as its Python may be among them."""
    user = server_user()
    if user is None:
        return _END_WITH_PARENT
    capability = ("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search")
    return (*_END_WITH_PARENT, "--reuid", user, "--regid", str(group_of(user)), "--clear-groups", *capability)


def _quiet_port() -> int:
    """Free, and no client is given it while its server is dead: clients' ports begin above."""
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", _PAGE.read_text(), re.MULTILINE | re.DOTALL)
