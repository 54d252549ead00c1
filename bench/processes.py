"""Processes of a bench: started in a session of their own, measured through /proc, ended by their ids. Linux only."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BENCH = Path(__file__).parent
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(condition: Callable[[], bool], seconds_max: float, what: str, step_s: float = 0.02) -> None:
    until_s = time.monotonic() + seconds_max
    while not condition():
        if time.monotonic() > until_s:
            raise SystemExit(f"gave up after {seconds_max:.0f} s: {what}")
        time.sleep(step_s)


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


class Process:
    """One program under bench/ or a module, until the `with` block ends."""

    def __init__(self, *args: str, env: dict[str, str] | None = None, log: Path | None = None) -> None:
        self._out = log.open("ab") if log else subprocess.DEVNULL
        self._popen = subprocess.Popen(
            [sys.executable, *args],
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._out,
            start_new_session=True,
        )
        self.pid = self._popen.pid

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @property
    def ended(self) -> bool:
        return self._popen.poll() is not None

    def end(self, patience_s: float = 20.0) -> None:
        """SIGTERM, then SIGKILL to whatever is left of its session."""
        if not self.ended:
            self._popen.terminate()
            try:
                self._popen.wait(patience_s)
            except subprocess.TimeoutExpired:
                os.killpg(self.pid, signal.SIGKILL)
                self._popen.wait()
        if not isinstance(self._out, int):
            self._out.close()


def run_tool(name: str, *args: object, seconds_max: float) -> Any:
    """A program of this directory that prints one JSON value."""
    command = [sys.executable, str(BENCH / name), *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds_max, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed: {done.stderr.strip() or done.stdout.strip()}")
    return json.loads(done.stdout)


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def rss_mb(pid: int) -> float:
    return _status_kb(pid, "VmRSS") / 1000


def peak_rss_mb(pid: int) -> float:
    return _status_kb(pid, "VmHWM") / 1000


def _status_kb(pid: int, name: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024 / 1000
    raise KeyError(name)


def cpu_s(pid: int) -> float:
    """CPU time of the process so far, its ended children not included."""
    return _ticks(pid, 11, 12) / _TICKS_PER_S


def cpu_of_tree_s(pid: int) -> float:
    """CPU time of the process and its children so far, those included that have ended."""
    return (_ticks(pid, 11, 12, 13, 14) + sum(_ticks(child, 11, 12) for child in children_of(pid))) / _TICKS_PER_S


def _ticks(pid: int, *places: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:  # it has ended since it was listed
        return 0
    return sum(int(fields[place]) for place in places)
