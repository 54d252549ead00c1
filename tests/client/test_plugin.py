"""The pytest plugin, as its users run it: their own pytest, their own directory, a gateway from the fixture."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from eventmill.testing import Gateway
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
from eventmill.testing import answering, response

def test_of_somebody(eventmill, eventmill_client, eventmill_hook):
    eventmill_hook.behave(answering(response(status="503 Busy")))
    source = eventmill.topic()
    journal = eventmill.subscribe(source)
    idle = eventmill.subscribe(eventmill.topic(), url=eventmill_hook.url)
    failing = eventmill.subscribe(source, url=eventmill_hook.url)
    eventmill_client.publish_event({"id": "one", "source": source, "type": "com.acme.test", "data": {"sku": "A1"}})
    eventmill_hook.wait_for_request()
    eventmill.wait_for_delivery(failing, lambda trace: True)
    awaited = [
        lambda: eventmill.wait_for_event(journal, lambda entry: False, within_s=0.2),
        lambda: eventmill.wait_for_delivery(failing, within_s=0.2),
        lambda: eventmill.wait_for_delivery(idle, within_s=0.2),
        lambda: eventmill_hook.wait_for_request(lambda request: request.path == "/elsewhere", within_s=0.2),
    ]
    said = []
    for wait in awaited:
        try:
            wait()
        except AssertionError as error:
            said.append(str(error))
    assert len(said) == 4
    assert not said, "\\n".join(said)
"""
SHARED = """
import pytest

@pytest.mark.parametrize("number", range(3))
def test_of_many(eventmill, eventmill_client, eventmill_hook, number, worker_id):
    registration = eventmill.subscribe(eventmill.topic(), url=eventmill_hook.url)
    eventmill_client.delete_registration(registration["registration_id"])
    source = eventmill.topic()
    registrations = [eventmill.subscribe(source, url=eventmill_hook.url) for _ in range(2)]
    eventmill_client.publish_event({"id": "1", "source": source, "type": "com.acme.test", "data": {}})
    eventmill_hook.wait_for_request(count=2)
    for each in registrations:
        eventmill.wait_for_delivery(each)
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
    for said in (
        "no such event within 0.2 s; events in the journal: 1",
        'com.acme.test one {"sku": "A1"}',
        "no such delivery within 0.2 s; attempts, newest first: 1",
        "com.acme.test answered 503",
        "no such delivery within 0.2 s; no attempts: verified, enabled",
        "0 of 1 requests within 0.2 s; requests in all: 1",
        'POST /hook com.acme.test one {"sku": "A1"}',
    ):
        assert said in done.stdout, said
    assert "log of the gateway at http://127.0.0.1:" in done.stdout
    assert "gateway_ready" in done.stdout


@pytest.mark.slow
def test_tests_share_a_gateway_and_workers_have_their_own(tmp_path: Path) -> None:
    """Whatever tests make has a name that no other has; with pytest-xdist each worker starts a gateway."""
    (tmp_path / "test_shared.py").write_text(SHARED)
    done = run_pytest(tmp_path, "-p", "xdist", "-n", "2", "--eventmill-scope", "session", "-c", os.devnull)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_port_that_was_taken_is_chosen_anew(tmp_path: Path) -> None:
    """Between choosing one and listening on it another process may be faster; a restart keeps its port."""
    gateway = Gateway(tmp_path / "gateway")
    with socket.create_server(("127.0.0.1", gateway.port)):
        taken = gateway.port
        try:
            gateway.start()
            assert gateway.port != taken and gateway.url.endswith(f":{gateway.port}")
            assert gateway.client.get_all_registrations_for_workspace() == []
        finally:
            gateway.close()


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
