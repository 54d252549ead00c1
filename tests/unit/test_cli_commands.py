"""What holds for all commands: the list of `--help`, what it costs, and that each one is run by a test."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import click
import jsonschema
import pytest

from eventmill.cli.main import cli
from scripts.cli_docs import ANSWERS, COMMON, OWN, schema_name, schemas, walk

ROOT = Path(__file__).parent.parent.parent
COMMANDS = {words: command for words, command in walk(cli) if not isinstance(command, click.Group)}


@pytest.mark.parametrize("name", cli.list_commands(click.Context(cli)))
def test_the_list_says_what_the_command_says(name: str) -> None:
    """The list of commands is written down, so that it need not import them; so it could be wrong."""
    command = cli.get_command(click.Context(cli), name)

    assert command is not None and command.name == name
    assert cli.lazy_commands[name].about == command.short_help


def test_an_unknown_command() -> None:
    """Is no command, and no traceback."""
    assert cli.get_command(click.Context(cli), "no-such") is None


def test_help_imports_no_command() -> None:
    """`eventmill --help` answers within the time that Python and click take."""
    script = (
        "import sys, eventmill.cli.main as main; from click.testing import CliRunner; "
        "assert CliRunner().invoke(main.cli, ['--help']).exit_code == 0; "
        "print(sorted(name for name in sys.modules if name.startswith('eventmill')))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)

    known = {"eventmill", "eventmill.cli", "eventmill.cli.main", "eventmill.cli.lazy", "eventmill.errors"}
    assert set(re.findall(r"'([\w.]+)'", done.stdout)) - known <= {"eventmill.cli.hidden_arguments"}


@pytest.mark.parametrize("words", [pytest.param(words, id=" ".join(words)) for words in COMMANDS])
def test_every_command_is_run_by_a_test(words: tuple[str, ...]) -> None:
    """Somewhere in the tests its words stand one after the other."""
    spelled = ", ".join(f'"{word}"' for word in words)

    assert spelled in quoted_words() or f"eventmill {' '.join(words)}" in documents()


@cache
def quoted_words() -> str:
    """The tests, with one blank for all white space."""
    tests = "\n".join(path.read_text() for path in (*ROOT.glob("tests/*/*.py"), *ROOT.glob("tests/*/*/*.py")))
    return " ".join(tests.split())


@cache
def documents() -> str:
    """The documents whose commands are run as they stand there."""
    run = re.findall(r"\"((?:docs/)?[\w-]+\.md)\"", (ROOT / "tests/e2e/test_readme.py").read_text())
    return "\n".join((ROOT / name).read_text() for name in run if (ROOT / name).exists())


@pytest.mark.parametrize("words", [pytest.param(words, id=" ".join(words)) for words in COMMANDS])
def test_every_option_is_explained(words: tuple[str, ...]) -> None:
    """A command says what it does, and each of its options what it is for."""
    command = COMMANDS[words]

    assert command.help
    for option in command.params:
        assert not isinstance(option, click.Option) or option.help or option.default is not None or option.metavar


def test_every_schema_is_one() -> None:
    """What is published is JSON Schema, for flags that there are, and nothing else lies beside it."""
    names = {name for name, _ in schemas()}
    for _, text in schemas():
        jsonschema.Draft202012Validator.check_schema(json.loads(text))
    for key in {**OWN, **ANSWERS}:
        words, flags = key.partition(" --")[::2]
        assert not flags or f"--{flags}" in options_of(words), key
    assert names == {schema_name(key) for key in {**OWN, **ANSWERS}}
    assert names == {path.name for path in (ROOT / "docs/schemas/cli").iterdir()}


def test_every_json_has_a_schema() -> None:
    """Each command with --json has a published schema, and no other command has one."""
    described = {key.partition(" --")[0] for key in {**OWN, **ANSWERS}}

    assert described == {" ".join(words) for words in COMMANDS if "--json" in options_of(" ".join(words))}


def options_of(words: str) -> list[str]:
    return [name for each in COMMANDS[tuple(words.split())].params for name in each.opts]


def test_no_command_takes_an_option_of_the_common_ones_for_something_else() -> None:
    """They are described once, so they mean the same everywhere: a place, an account, a port."""
    for words, command in COMMANDS.items():
        for option in command.params:
            if isinstance(option, click.Option) and option.name in COMMON:
                assert option.metavar or option.type is click.INT, (words, option.name)
