"""The `eventmill` command: what it offers, what it costs to ask, how failures look."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from eventmill import __version__
from eventmill.cli.asyncapi import read_file
from eventmill.cli.main import cli
from eventmill.cli.remote import Failed
from eventmill.cli.serve import serve
from eventmill.config import Config
from eventmill.core.declared import keep_mark, mark
from eventmill.errors import StartupError


def run_command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command as a process of its own, as a shell would start it."""
    command = [sys.executable, "-m", "eventmill", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=30)


def test_help_names_every_command() -> None:
    """`eventmill --help` is where a newcomer starts."""
    shown = CliRunner().invoke(cli, ["--help"])

    assert shown.exit_code == 0
    for name in ("serve", "env", "simulate", "demo", "eventmill serve --dev"):
        assert name in shown.output


def test_version() -> None:
    """`--version` prints what the package says."""
    assert CliRunner().invoke(cli, ["--version"]).output.strip() == f"eventmill, version {__version__}"


def test_every_serve_flag_is_a_setting() -> None:
    """Flags are settings by another way in; a flag of the wrong name would be silently ignored."""
    settings = {field.name for field in msgspec.structs.fields(Config)}

    assert {parameter.name for parameter in serve.params} <= settings


def test_help_loads_no_server() -> None:
    """The command line answers at once: nothing heavy is imported before a subcommand needs it."""
    heavy = {"aiohttp", "cryptography", "sqlite3", "starlette", "structlog", "uvicorn"}
    script = f"import sys, eventmill.cli.main; print(sorted({heavy!r} & set(sys.modules)))"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)

    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("command", ["serve", "env"])
def test_a_bad_setting_is_one_line_and_no_traceback(command: str, tmp_path: Path) -> None:
    """A start that cannot go on says why on standard error and exits with 2."""
    done = run_command(command, "--data", str(tmp_path / "mill"), "--port", "70000", cwd=tmp_path)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "eventmill: --port=70000 is not a TCP port (0 to 65535)\n"
    assert list(tmp_path.iterdir()) == []


def test_env_without_a_data_directory(tmp_path: Path) -> None:
    """`eventmill env` beside no gateway says what to start, and makes nothing."""
    done = run_command("env", "--data", "mill", cwd=tmp_path)

    assert (done.returncode, done.stdout) == (2, "")
    assert "mill" in done.stderr and "eventmill serve --dev" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_clock_rate_needs_dev_mode(tmp_path: Path) -> None:
    """A production gateway has no virtual clock; asking for one is refused, not ignored."""
    done = run_command("serve", "--data", str(tmp_path / "mill"), "--clock-rate", "60", cwd=tmp_path)

    assert done.returncode == 2
    assert "--dev" in done.stderr
    assert list(tmp_path.iterdir()) == []


NOWHERE = {"API_URL": "http://127.0.0.1:9", "ACCESS_TOKEN": "t"}


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("provider create", 2, "--label is missing"),
        ("keys rotate --revoke-earlier --url http://127.0.0.1:9 --token t", 1, "nobody answered; with --yes"),
        ("publish --provider P --code c --attribute priority", 2, "'priority': expected NAME=VALUE"),
        ("config show no_such_thing", 1, "no setting has no_such_thing in its name"),
        ("regsitration list", 2, "No such command 'regsitration'. Did you mean 'registration'?"),
        ("zzzzzz", 2, "No such command 'zzzzzz'."),
        ("registration list --url http://127.0.0.1:9 --token 'a b'", 2, ""),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_sent(command: str, code: int, message: str) -> None:
    """Scripts have nobody who answers questions; mistakes are named, with an exit code that tells them apart."""
    done = CliRunner().invoke(cli, shlex.split(command), env=NOWHERE, input="")

    told = isinstance(done.exception, StartupError)
    assert (done.exception.exit_code if isinstance(done.exception, StartupError) else done.exit_code) == code
    assert done.stdout == "" and (told or message in done.stderr)
    assert not told or "the access token is not one" in str(done.exception)


def test_a_file_that_is_no_yaml(tmp_path: Path) -> None:
    """One line, with the place: an editor can go there."""
    file = tmp_path / "events.yaml"
    file.write_text("name: x\nproviders: [\n")
    with pytest.raises(Failed, match=r"events\.yaml:3: neither YAML nor JSON: ") as failed, file.open() as opened:
        read_file(opened)

    assert "\n" not in failed.value.message


def test_a_new_description_keeps_its_owner() -> None:
    """A thing that a set manages stays the set's when only its description is changed; others stay nobody's."""
    assert keep_mark("New", mark("Old", "shop")) == mark("New", "shop")
    assert keep_mark("", mark("", "shop")) == mark("", "shop")
    assert keep_mark(mark("New", "other"), mark("Old", "shop")) == mark("New", "other")
    assert keep_mark("New", "Old") == "New"
