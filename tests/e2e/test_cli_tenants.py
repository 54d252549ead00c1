"""Commands about tenants, people and records, as JSON that keeps to its published schemas; the operator runs them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.e2e.conftest import StartGateway
from tests.e2e.harness.command_line import CommandLine
from tests.e2e.harness.local_receiver import Got, local_receiver


class Operator:
    """Acts with the gateway's data directory."""

    def __init__(self, line: CommandLine, where: tuple[str, ...]) -> None:
        self.line = line
        self.where = where

    def ok(self, *words: str, given: str = "") -> str:
        return self.line.ok(*words, *self.where, given=given)

    def read(self, *words: str, given: str = "") -> Any:
        return self.line.read(*words, *self.where, given=given)


@pytest.fixture(scope="module")
def operator(start_shared_gateway: StartGateway) -> Operator:
    """Of a gateway in dev mode."""
    gateway = start_shared_gateway("--dev")
    return Operator(CommandLine(gateway), ("--data", str(gateway.data), "--port", str(gateway.port)))


def test_tenants(operator: Operator) -> None:
    """Each noun is made, listed, shown, changed and deleted."""
    made = operator.read("org", "create", "Acme")
    assert made in operator.read("org", "list")
    assert operator.read("org", "update", "Acme", "--name", "Acme Two")["name"] == "Acme Two"
    place = ("--org", "Acme Two")
    operator.ok("project", "create", "Warehouse", *place)
    assert [each["name"] for each in operator.read("project", "list", *place)] == ["Warehouse"]
    assert operator.read("project", "update", "Warehouse", "--title", "The warehouse", *place)["title"]
    assert operator.read("project", "get", "Warehouse", *place)["title"] == "The warehouse"
    known = [each["name"] for each in operator.read("workspace", "list", *place)]
    operator.ok("workspace", "create", "Stage2", *place)
    assert len(operator.read("workspace", "list", *place)) == len(known) + 1
    assert operator.read("workspace", "get", "Stage2", *place)["name"] == "Stage2"
    secret = operator.read("credential", "create", "Service", *place, "--workspace", "Stage2")
    assert secret["client_secret"]
    [credential] = operator.read("credential", "list", *place, "--workspace", "Stage2")
    assert operator.read("credential", "add-secret", credential["client_id"], *place)["client_secret"]
    operator.ok("credential", "delete", credential["client_id"], *place, "--yes")
    operator.ok("workspace", "delete", "Stage2", *place, "--yes")


def test_people(operator: Operator) -> None:
    """A user is added, given another role and password, and deleted."""
    made = operator.read("user", "add", "kim", "--role", "viewer", "--password-stdin", given="a long pass phrase\n")
    assert made["role"] == "viewer"
    assert operator.read("user", "role", "kim", "developer")["role"] == "developer"
    changed = operator.ok("user", "passwd", "kim", "--password-stdin", given="another pass phrase\n")
    assert changed == "changed the password of kim\n"
    assert [each["name"] for each in operator.read("user", "list")] == ["kim"]
    assert operator.ok("user", "delete", "kim", "--yes") == "deleted user kim\n"


def test_records(operator: Operator, tmp_path: Path) -> None:
    """What is on record, and what is published, as files."""
    line = operator.line
    line.ok("provider", "create", "--label", "Warehouse")
    line.ok("eventmetadata", "create", "Warehouse", "com.acme.low", "--label", "Low", "--description", "Runs out")
    line.ok("registration", "create", "--name", "Reader", "--event", "Warehouse:com.acme.low")
    line.ok("publish", "--provider", "Warehouse", "--code", "com.acme.low", "--id", "o-1", "--phidata")
    assert "o-1" in operator.ok("phi-audit", "export", "--org", "1001")
    document, org = tmp_path / "warehouse.json", ("--org", "1001")
    operator.ok("asyncapi", "export", *org, "--format", "json", "--out", str(document))
    assert "com.acme.low" in json.loads(document.read_text())["channels"]
    assert "o-1" not in operator.ok("unmatched", *org)
    assert line.read("unmatched")["total"] == 0


def test_the_schema_of_the_store(operator: Operator) -> None:
    """Beside a running gateway; there is nothing to do."""
    assert "Nothing to do." in operator.line.ok("migrate", "status", *operator.where[:2])


def test_a_replay_is_stopped(operator: Operator) -> None:
    """Paused, resumed and cancelled while it is at work."""

    def answer(got: Got) -> tuple[int, bytes]:
        return 200, parse_qs(urlsplit(got.path).query)["challenge"][0].encode() if got.method == "GET" else b""

    line = operator.line
    line.ok("provider", "create", "--label", "Shelves")
    line.ok("eventmetadata", "create", "Shelves", "com.acme.full", "--label", "Full", "--description", "Is full")
    with local_receiver(answer) as receiver:
        wanted = ("registration", "create", "--name", "Hook", "--event", "Shelves:com.acme.full")
        line.ok(*wanted, "--webhook-url", receiver.url)
        line.ok("registration", "disable", "Hook")
        given = "\n".join(str(number) for number in range(40))
        line.ok("publish", "-", "--provider", "Shelves", "--code", "com.acme.full", "--mode", "batch", given=given)
        line.ok("registration", "enable", "Hook")
        assert line.read("undelivered", "Hook")["total"] == 40
        assert line.read("replay", "start", "Hook", "--rate", "1")["state"] == "running"
        assert line.read("replay", "pause", "Hook")["state"] == "paused"
        assert line.read("replay", "resume", "Hook")["state"] == "running"
        assert line.read("replay", "cancel", "Hook")["state"] == "cancelled"
        assert line.read("replay", "show", "Hook")["state"] == "cancelled"
