"""The pytest plugin, as its users run it: their own pytest, their own directory, a gateway from the fixture."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from eventmill.testing.gateway import seconds

ROOT = Path(__file__).parents[2]
BY_SCOPE = """
import os

seen = []

def test_one(eventmill):
    seen.append(eventmill.port)
    eventmill.topic(label="Left behind")

def test_two(eventmill, eventmill_client):
    seen.append(eventmill.port)
    left = [each["label"] for each in eventmill_client.get_all_providers() if each["label"] == "Left behind"]
    assert (len(set(seen)), len(left)) == ({})
    eventmill.reset()
    assert "Left behind" not in [each["label"] for each in eventmill_client.get_all_providers()]
"""
FAILING = """
def test_of_somebody(eventmill):
    eventmill.wait_for_event(eventmill.subscribe(eventmill.topic()), within_s=0.2)
"""


def run_pytest(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, with this plugin and no other."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "eventmill.pytest_plugin", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, "--rootdir", str(directory), "-W", "error", *arguments, str(directory)],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=120,
        env={
            **os.environ,
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "EVENTMILL_STORE": "postgresql://nobody@127.0.0.1:1/x",
        },
    )


@pytest.mark.slow
def test_examples_pass() -> None:
    """Those of examples/testing, as they stand there."""
    done = run_pytest(ROOT / "examples" / "testing", "-c", "pytest.ini")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("scope", "expected"), [("function", "2, 0"), ("session", "1, 1")])
@pytest.mark.slow
def test_a_gateway_is_for_a_test_or_for_all(tmp_path: Path, scope: str, expected: str) -> None:
    """With scope session there is one, and what a test leaves is there until somebody resets it."""
    (tmp_path / "test_scopes.py").write_text(BY_SCOPE.replace("{}", expected))
    done = run_pytest(tmp_path, "--eventmill-scope", scope, "-c", os.devnull)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_a_failed_test_shows_what_the_gateway_said(tmp_path: Path) -> None:
    """What was awaited, for how long, and the log."""
    (tmp_path / "test_failing.py").write_text(FAILING)
    done = run_pytest(tmp_path, "-c", os.devnull)
    assert done.returncode == 1
    assert "no such event within 0.2 s; 0 others came" in done.stdout
    assert "log of the gateway at http://127.0.0.1:" in done.stdout
    assert "gateway_ready" in done.stdout


def test_pytest_finds_the_plugin() -> None:
    """By the entry point of the package."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"eventmill": "eventmill.pytest_plugin"}


@pytest.mark.parametrize(("duration", "expected"), [("24h", 86_400), ("1d12h30m", 131_400), ("1.5s", 1.5), (90, 90)])
def test_durations(duration: str | float, expected: float) -> None:
    """In the words of the command line, or as a number of seconds."""
    assert seconds(duration) == expected


@pytest.mark.parametrize("duration", ["24", "h", "1h!", "", "-1h"])
def test_what_is_no_duration_is_refused(duration: str) -> None:
    """With what was expected."""
    with pytest.raises(ValueError, match="is no duration"):
        seconds(duration)
