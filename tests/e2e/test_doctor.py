"""`eventmill doctor`: each common slip is found, with its remedy, and nothing where nothing is amiss."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import auth_headers, call, free_port
from tests.e2e.harness.local_receiver import always, local_receiver

pytestmark = pytest.mark.on_files  # what is amiss is in the data directory


def doctor(*arguments: str) -> tuple[int, dict[tuple[str, str], dict[str, Any]]]:
    """The exit code and, by level and subject, what was found. How full this machine's disk is, is not ours to say."""
    command = [sys.executable, "-m", "eventmill", "doctor", "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    found = {(each["level"], each["about"]): each for each in json.loads(done.stdout)}
    return done.returncode, {key: each for key, each in found.items() if key != ("warning", "disk")}


def test_a_gateway_that_is_well_and_one_that_is_not(start_gateway: StartGateway) -> None:
    """Rights, a store of another version, a webhook that may not be dialled, mails that nobody gets, a base URL that
    nobody reaches: all in one go."""
    gateway = start_gateway("--dev")
    where = ("--data", str(gateway.data), "--port", str(gateway.port))
    assert doctor("--dev", *where) == (0, {})
    env = gateway.env()
    with local_receiver(always(200)) as receiver:
        register(gateway.url, env, receiver.url)
        assert doctor("--dev", *where) == (0, {})
        assert doctor(*where) == (0, {}), "the gateway that runs there says itself that it is in dev mode"
        code, found = doctor("--no-dev", *where)
        assert (code, set(found)) == (1, {("problem", "webhooks"), ("warning", "mail")})
        assert "EVENTMILL_WEBHOOK_ALLOW" in found["problem", "webhooks"]["remedy"]
    gateway.stop()
    (gateway.data / "seal.key").chmod(0o644)
    newer = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('PRAGMA user_version = 999')"
    subprocess.run([sys.executable, "-c", newer, f"{gateway.data}/state.db"], check=True)
    code, found = doctor("--dev", *where, "--host", "0.0.0.0")
    assert code == 1
    assert set(found) == {("problem", about) for about in ("tokens", "rights", "store", "base URL")}
    assert found["problem", "rights"]["remedy"] == f"chmod 600 {gateway.data}/seal.key"
    assert "start the newer version" in found["problem", "store"]["remedy"]
    (gateway.data / "seal.key").unlink()
    assert ("problem", "sealing key") in doctor("--dev", *where)[1]


def test_for_people_it_is_text(tmp_path: Path) -> None:
    """Two lines for each finding: what it is, and what to do."""
    command = [sys.executable, "-m", "eventmill", "doctor", "--data", str(tmp_path), "--port", str(free_port())]
    lines = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout.splitlines()
    assert any(line.startswith("problem  base URL: http://127.0.0.1:") for line in lines)
    assert lines[1::2] == [line for line in lines if line.startswith("         ")]


def register(url: str, env: dict[str, str], webhook_url: str) -> None:
    headers = {**auth_headers(env), "content-type": "application/json"}
    place = f"{url}/events/{env['consumer_org_id']}/{env['project_id']}/{env['workspace_id']}"
    provider = call("POST", f"{place}/providers", headers, {"label": "Warehouse"}).json()["id"]
    metadata = {"event_code": "com.acme.stock.low", "label": "Low", "description": "An article runs out"}
    assert call("POST", f"{place}/providers/{provider}/eventmetadata", headers, metadata).status == 201
    body = {
        "client_id": env["client_id"],
        "name": "To a till",
        "delivery_type": "webhook",
        "webhook_url": webhook_url,
        "events_of_interest": [{"provider_id": provider, "event_code": "com.acme.stock.low"}],
    }
    made = call("POST", f"{place}/registrations", headers, body)
    assert made.status == 201, made.body
