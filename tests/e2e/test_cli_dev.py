"""`eventmill dev|config|completion`: clock, faults, mails and snapshots of a gateway in dev mode, and its settings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import StartGateway
from tests.e2e.harness.command_line import CommandLine


@pytest.fixture(scope="module")
def line(start_shared_gateway: StartGateway) -> CommandLine:
    """Commands for one gateway with one registration."""
    line = CommandLine(start_shared_gateway("--dev"))
    line.ok("provider", "create", "--label", "Warehouse")
    line.ok("eventmetadata", "create", "Warehouse", "com.acme.low", "--label", "Low", "--description", "Runs out")
    line.ok("registration", "create", "--name", "Reader", "--event", "Warehouse:com.acme.low")
    return line


def test_the_clock(line: CommandLine) -> None:
    """Shown, moved by a day, hurried and slowed down again."""
    before = line.read("dev", "clock")["offset_seconds"]
    assert line.read("dev", "clock", "--advance", "1d")["offset_seconds"] >= before + 86_400
    assert line.read("dev", "clock", "--rate", "60")["rate"] == 60
    assert "rate      1.0" in line.ok("dev", "clock", "--rate", "1")
    assert "is no length of time" in line.misused("dev", "clock", "--advance", "tomorrow")


@pytest.mark.on_files  # a node's faults are in its memory, and concern what it delivers
def test_faults(line: CommandLine) -> None:
    """Added by the registration's name, listed, taken away."""
    added = line.read("dev", "fault", "add", "Reader", "status", "--times", "2", "--status", "503")
    assert (added["kind"], added["times"], added["status"]) == ("status", 2, 503)
    line.ok("dev", "fault", "add", "Reader", "latency")
    rows = line.ok("dev", "fault", "list").splitlines()
    assert [row.split()[1] for row in rows[1:]] == ["status", "latency"]
    assert len(line.read("dev", "fault", "list")) == 2
    assert line.ok("dev", "fault", "clear", "Reader") == "no fault is left for Reader\n"
    assert line.ok("dev", "fault", "clear") == "no fault is left\n"
    assert line.read("dev", "fault", "list") == []
    assert "goes with the kind status" in line.refused("dev", "fault", "add", "Reader", "drop", "--status", "500")


def test_mails(line: CommandLine) -> None:
    """An empty mailbox says so; what it would hold is in the tests of notices."""
    line.ok("dev", "mail", "clear")
    assert line.read("dev", "mail", "list") == []
    assert line.run("dev", "mail", "list").message == "no mail\n"
    assert line.refused("dev", "mail", "show") == "the mailbox is empty"
    assert "is not in the mailbox" in line.refused("dev", "mail", "show", "nix")


@pytest.mark.on_files  # a snapshot is a copy of the files
def test_a_snapshot_seeds_another_gateway(line: CommandLine, start_gateway: StartGateway, tmp_path: Path) -> None:
    """Written for its owner alone."""
    file = tmp_path / "snapshot.tar.gz"
    line.ok("dev", "snapshot", str(file))
    assert file.stat().st_mode & 0o777 == 0o600
    other = CommandLine(start_gateway("--dev", "--seed", str(file)))
    assert "Reader" in other.ok("registration", "list")
    assert "Forget every provider" in other.run("dev", "reset", given="n\n").message
    assert "its tenants and the clock stayed" in other.ok("dev", "reset", "--yes")
    assert other.read("registration", "list")["_embedded"]["registrations"] == []


@pytest.mark.on_files  # a snapshot is a copy of the files
def test_a_snapshot_is_put_back(start_gateway: StartGateway, tmp_path: Path) -> None:
    """Once the command has ended the gateway answers again, with what the file holds; what is no snapshot changes
    nothing."""
    line = CommandLine(start_gateway("--dev"))
    file = tmp_path / "snapshot.tar.gz"
    line.ok("provider", "create", "--label", "Kept")
    line.ok("dev", "snapshot", str(file))
    line.ok("dev", "reset", "--yes")
    other = tmp_path / "other"
    other.write_bytes(b"nothing of the kind")
    assert line.refused("dev", "restore", str(other), "--yes")
    assert "cannot be read" in line.refused("dev", "restore", str(tmp_path / "none"), "--yes")
    assert "Kept" not in line.ok("provider", "list")
    assert "began anew" in line.ok("dev", "restore", str(file), "--yes")
    assert "Kept" in line.ok("provider", "list")


def test_settings(line: CommandLine) -> None:
    """Each with its source; secrets hidden, also inside URLs; what is misspelt is named."""
    chosen = {"EVENTMILL_PORT": "18080", "EVENTMILL_METRICS_TOKEN": "s3cret", "EVENTMILL_PROT": "1"}
    chosen |= {"EVENTMILL_EGRESS_PROXY": "http://user:s3cret@proxy:3128"}
    shown = line.run("config", "show", "--changed", "--dev", variables=chosen)
    rows = {row.split()[0]: row.split()[1:] for row in shown.output.splitlines()}
    assert rows == {
        "SETTING": ["SOURCE", "VALUE"],
        "EVENTMILL_PORT": ["environment", "18080"],
        "EVENTMILL_DEV": ["flag", "true"],
        "EVENTMILL_METRICS_TOKEN": ["environment", "(hidden)"],
        "EVENTMILL_EGRESS_PROXY": ["environment", "http://user:(hidden)@proxy:3128"],
    }
    assert "eventmill: EVENTMILL_PROT is no setting; EVENTMILL_PORT is" in shown.message.splitlines()
    [port] = [each for each in line.read("config", "show", "port") if each["name"] == "port"]
    assert port == {"name": "port", "variable": "EVENTMILL_PORT", "value": 8080, "default": 8080, "source": "default"}
    broken = line.run("config", "show", variables={"EVENTMILL_PORT": "many"})
    assert broken.code == 2 and "EVENTMILL_PORT='many' cannot be used" in broken.message


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(line: CommandLine, shell: str) -> None:
    """Each shell gets a script that asks the command; what the command answers to it names its subcommands."""
    assert "_EVENTMILL_COMPLETE" in line.ok("completion", shell)
    asked = {"_EVENTMILL_COMPLETE": f"{shell}_complete", "COMP_WORDS": "eventmill journal c", "COMP_CWORD": "2"}
    asked = asked if shell != "fish" else {**asked, "COMP_CWORD": "c"}
    done = subprocess.run(
        [sys.executable, "-m", "eventmill"], capture_output=True, text=True, timeout=30, env={**os.environ, **asked}
    )
    assert "cursor" in done.stdout, done
