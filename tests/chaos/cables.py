"""A network namespace for the database, with a cable to each node that can be pulled: packets vanish, nobody is told.

Needs root on Linux. Nothing in it can be reached from outside this machine: its cables end here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count

from tests.e2e.harness.database import Place

_NETWORK = "10.213"
_numbers = count(1)


class Cable:
    """One end is the machine's, the other is in the namespace."""

    def __init__(self, namespace: str, number: int) -> None:
        self._namespace = namespace
        self._name = f"em{os.getpid() % 100_000}c{number}"
        self.host = f"{_NETWORK}.{number}.2"
        """Under which the database is reached over this cable."""
        self._near = f"{_NETWORK}.{number}.1"
        inner = f"{self._name}i"
        self._inner = inner
        _ip("link", "add", self._name, "type", "veth", "peer", "name", inner, "netns", namespace)
        _ip("addr", "add", f"{self._near}/24", "dev", self._name)
        _ip("link", "set", self._name, "up")
        _ip("-n", namespace, "addr", "add", f"{self.host}/24", "dev", inner)
        _ip("-n", namespace, "link", "set", inner, "up")

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Pulled meanwhile."""
        _ip("-n", self._namespace, "link", "set", self._inner, "down")
        try:
            yield
        finally:
            _ip("-n", self._namespace, "link", "set", self._inner, "up")

    def carries(self, address: str, port: int) -> bool:
        """Whether this is the address that the database sees at the other end."""
        return address == self._near and port > 0

    def close(self) -> None:
        _ip("link", "del", self._name)


@contextmanager
def cables(nodes: int) -> Iterator[tuple[Place, list[Cable]]]:
    """Where to start the database, and one cable for each node."""
    namespace = f"eventmill-{os.getpid()}-{next(_numbers)}"
    with ExitStack() as stack:
        _ip("netns", "add", namespace)
        stack.callback(_ip, "netns", "del", namespace)
        _ip("-n", namespace, "link", "set", "lo", "up")
        laid = []
        for number in range(nodes + 1):
            cable = Cable(namespace, number)
            stack.callback(cable.close)
            laid.append(cable)
        *ours, tests = laid
        yield Place(namespace, tests.host, f"{_NETWORK}.0.0/16"), ours


def has_namespaces() -> bool:
    """Whether this process may make them."""
    if os.getuid() != 0 or shutil.which("ip") is None or shutil.which("setpriv") is None:
        return False
    name = f"eventmill-{os.getpid()}-try"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode:
        return False
    _ip("netns", "del", name)
    return True


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
