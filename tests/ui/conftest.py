"""Fixtures of the console's tests: one browser, one gateway in dev mode with something in it, one that is strict."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.e2e.gateway import Gateway
from tests.ui.browser import chromium
from tests.ui.content import Content, fill

PASSWORD = "correct horse battery"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@dataclass(frozen=True)
class Filled:
    gateway: Gateway
    content: Content

    @property
    def url(self) -> str:
        return self.gateway.url


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    """In dev mode; what tests add to it stays, so none may depend on how much there is."""
    gateway = Gateway(tmp_path_factory.mktemp("console") / "data", ("--dev",))
    try:
        gateway.start()
        yield Filled(gateway, fill(gateway))
    finally:
        gateway.close()


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Gateway]:
    """In dev mode, nothing in it."""
    gateway = Gateway(tmp_path / "data", ("--dev",))
    try:
        yield gateway.start()
    finally:
        gateway.close()


@pytest.fixture(scope="session")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """In dev mode with tokens checked, so that people have to sign in: an admin, a developer and a viewer."""
    flags = ("--dev", "--auth", "strict")
    gateway = Gateway(tmp_path_factory.mktemp("strict") / "data", flags)
    try:
        gateway.start()
        for name in ("admin", "developer", "viewer"):
            add_user(gateway, name, name)
        yield gateway
    finally:
        gateway.close()


def add_user(gateway: Gateway, name: str, role: str, *options: str) -> None:
    """By the command line, as the first person comes to be."""
    command = [sys.executable, "-m", "eventmill", "user", "add", name, "--role", role, "--password-stdin", *options]
    where = ["--data", str(gateway.data), "--port", str(gateway.port)]
    env = {**os.environ, **gateway.variables}
    if "--store" in gateway.flags:
        env["EVENTMILL_STORE"] = gateway.flags[gateway.flags.index("--store") + 1]
    done = subprocess.run([*command, *where], input=f"{PASSWORD}\n".encode(), capture_output=True, timeout=60, env=env)
    assert done.returncode == 0, done.stderr.decode()


def add_organization(gateway: Gateway, name: str) -> str:
    """Its id."""
    command = [sys.executable, "-m", "eventmill", "org", "create", name, "--json"]
    where = ["--data", str(gateway.data), "--port", str(gateway.port)]
    done = subprocess.run([*command, *where], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    made: str = json.loads(done.stdout)["id"]
    return made
