"""The guides of two terminals, followed literally: the first block is the gateway's, the others are the reader's."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.gateway import READY_WITHIN_S, call, free_port
from tests.e2e.test_readme import NEXT_STEP, ROOT, masked, steps
from tests.waiting import eventually

pytestmark = pytest.mark.on_files  # their first block starts a gateway on a data directory

GUIDES = ("docs/app-builder.md",)


def ready(port: int) -> bool:
    try:
        return call("GET", f"http://127.0.0.1:{port}/readyz").status == 200
    except OSError:
        return False


@pytest.mark.parametrize("page", GUIDES)
def test_a_guide_leads_where_it_says(page: str, tmp_path: Path) -> None:
    """In an empty directory each block succeeds and prints what stands below it."""
    follow(page, tmp_path, Path(sys.executable).parent)


def follow(page: str, tmp_path: Path, programs: Path) -> None:
    """As a reader would whose `eventmill` is in `programs`."""
    (first, _), *others = steps((ROOT / page).read_text())
    port = free_port()
    variables = {
        "HOME": str(tmp_path),
        "PATH": f"{programs}:{os.environ['PATH']}",
        "EVENTMILL_PORT": str(port),
    }
    with (tmp_path / "gateway.log").open("wb") as log:
        gateway = subprocess.Popen(
            ["sh", "-eu", "-c", first], cwd=tmp_path, env=variables, stdout=log, stderr=log, start_new_session=True
        )
    try:
        asyncio.run(eventually(lambda: ready(port), "the gateway's start", READY_WITHIN_S))
        script = f"\necho '{NEXT_STEP}'\n".join(command for command, _ in others)
        done = subprocess.run(
            ["sh", "-eu", "-c", script], cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=120
        )
    finally:
        os.killpg(gateway.pid, signal.SIGKILL)
        gateway.wait()

    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{(tmp_path / 'gateway.log').read_text()}"
    outputs = done.stdout.split(f"{NEXT_STEP}\n")
    assert [masked(output) for output, (_, shown) in zip(outputs, others, strict=True) if shown is not None] == [
        masked(shown) for _, shown in others if shown is not None
    ]
