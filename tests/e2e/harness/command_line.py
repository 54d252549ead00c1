"""The command line in this very process, against a running gateway: quick enough to run every command."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
from click.testing import CliRunner

from eventmill.cli.main import cli
from eventmill.errors import StartupError
from tests.e2e.gateway import Gateway
from tests.e2e.harness.process import Finished, store_named_in

SCHEMAS = Path(__file__).parent.parent.parent.parent / "docs/schemas/cli"


class CommandLine:
    """With the variables that `eventmill env` prints for the gateway, and no others of theirs."""

    def __init__(self, gateway: Gateway | None = None) -> None:
        """Without a gateway: for commands that need none."""
        self.env = {name.upper(): value for name, value in gateway.env().items()} if gateway else {}

    def run(self, *words: str, given: str | bytes = "", variables: Mapping[str, str] | None = None) -> Finished:
        """`given`: standard input."""
        environ = {**self.env, "HOME": "/nonexistent", **store_named_in(words), **(variables or {})}
        result = CliRunner().invoke(cli, words, input=given, env=environ, prog_name="eventmill")
        if isinstance(result.exception, StartupError):  # as `main` treats it
            return Finished(result.exception.exit_code, result.stdout, f"eventmill: {result.exception}\n")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Finished(result.exit_code, result.stdout, result.stderr)

    def ok(self, *words: str, given: str | bytes = "", variables: Mapping[str, str] | None = None) -> str:
        """Standard output of a command that has to succeed."""
        done = self.run(*words, given=given, variables=variables)
        assert done.code == 0, (words, done.message, done.output)
        return done.output

    def read(self, *words: str, given: str | bytes = "") -> Any:
        """What a command prints with --json, held against the schema that is published for it."""
        return check_schema(words, json.loads(self.ok(*words, "--json", given=given)))

    def refused(self, *words: str, given: str | bytes = "") -> str:
        """The message of a command that has to fail with exit code 1, in one line and with nothing printed."""
        done = self.run(*words, given=given)
        assert (done.code, done.output) == (1, ""), (words, done)
        assert done.message.startswith("eventmill: ") and done.message.count("\n") == 1, done.message
        return done.message.removeprefix("eventmill: ").rstrip()

    def misused(self, *words: str) -> str:
        """The last line of a command that could not begin: exit code 2."""
        done = self.run(*words)
        assert (done.code, done.output) == (2, ""), (words, done)
        return done.message.splitlines()[-1]


def check_schema(words: tuple[str, ...], value: Any) -> Any:
    """`value`, after it was held against the published schema of the command that `words` begin with."""
    jsonschema.validate(value, json.loads(schema_of(words).read_text()))
    return value


def schema_of(words: tuple[str, ...]) -> Path:
    """Of the command that `words` begin with; where a flag among them has a schema of its own, that one."""
    for count in range(3, 0, -1):
        command = "-".join(words[:count])
        flags = (f"{command}-{each[2:]}" for each in words if each.startswith("--"))
        for name in (*flags, command):
            path = SCHEMAS / f"{name}.json"
            if path.exists():
                return path
    raise AssertionError(f"no schema is published for: eventmill {' '.join(words)}")
