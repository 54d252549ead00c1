"""A gateway that is expected to refuse its start, or to say something in its log."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.gateway import Gateway
from tests.e2e.harness.engines import NODES, PATIENCE, store_variables

ENDS_WITHIN_S = 30 * PATIENCE


@dataclass(frozen=True)
class Finished:
    code: int
    output: str
    message: str
    """Standard error."""


def run_eventmill(*arguments: str, directory: Path, variables: dict[str, str] | None = None) -> Finished:
    """Run the command to its end, in `directory`."""
    done = subprocess.run(
        [sys.executable, "-m", "eventmill", *arguments],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=ENDS_WITHIN_S,
        env={**os.environ, **store_named_in(arguments), **(variables or {})},
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def store_named_in(arguments: Sequence[str]) -> dict[str, str]:
    """Where the gateway of `--data` has its data, unless that says it itself."""
    if "--data" not in arguments or "--store" in arguments:
        return {}
    return store_variables(arguments[arguments.index("--data") + 1])


def delivery_pids(gateway: Gateway) -> list[int]:
    """Process ids of the delivery processes started so far, oldest first, as the log names them."""
    log = gateway.log_path.read_text(errors="replace")
    return [int(pid) for pid in re.findall(r"delivery_started\b.*\bpid=(\d+)", log)]


def first_delivery_pids(gateway: Gateway) -> list[int] | None:
    """Those of a gateway in production mode that has just started; None: one of a node's is missing yet."""
    pids = delivery_pids(gateway)
    return pids if len(pids) >= NODES else None


def logged(gateway: Gateway, event: str) -> bool:
    return event in gateway.log_path.read_text(errors="replace")


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """The process stands still meanwhile: it learns of nothing until the end, unless its gateway ends it for that."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def is_running(pid: int) -> bool:
    """Whether the process exists and is not merely waiting to be collected by its parent."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
    return bool(state) and not state.startswith("Z")
