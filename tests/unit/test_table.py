"""How the command line shows what a gateway answered."""

from __future__ import annotations

import json

import pytest

from eventmill.cli.places import called
from eventmill.cli.table import print_fields, print_json, print_list, print_table

COLUMNS = {"ID": "id", "NAME": "name"}


def test_columns_line_up(capsys: pytest.CaptureFixture[str]) -> None:
    """As wide as the widest cell on the terminal, whatever script it is in; nothing trails."""
    print_table(
        [{"id": "日本", "name": "wide"}, {"id": "e\u0301te\u0301", "name": "accents"}, {"id": "1", "name": None}],
        COLUMNS,
        "none",
    )

    expected = ["ID    NAME", "日本  wide", "e\u0301te\u0301   accents", "1"]
    assert capsys.readouterr().out.splitlines() == expected


def test_an_empty_list_is_said_beside_the_output(capsys: pytest.CaptureFixture[str]) -> None:
    """Programs that read the table get no line of prose."""
    print_table([], COLUMNS, "no project yet")

    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "no project yet\n")


def test_a_list_for_people_or_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    """What is shown for people, programs do not get: the JSON is the gateway's own."""
    for as_json in (False, True):
        print_list(
            [{"id": "1", "name": "a"}], COLUMNS, "none", as_json=as_json, show=lambda each: {**each, "name": "A"}
        )

    shown = capsys.readouterr().out
    assert shown.startswith("ID  NAME\n1   A\n")
    assert json.loads(shown.partition("1   A\n")[2]) == [{"id": "1", "name": "a"}]


def test_names_command_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Control characters and such that turn the text around are not printed; JSON escapes or keeps what it must."""
    print_fields([("name", "a\x1b[31m\u202eb"), ("id", 5)])
    print_json({"name": "\x1b"})

    shown = capsys.readouterr().out
    assert shown.splitlines()[:2] == ["name  a\ufffd[31m\ufffdb", "id    5"]
    assert json.loads(shown.partition("id    5\n")[2]) == {"name": "\x1b"}
    assert "\x1b" not in shown


def test_what_a_question_calls_a_thing() -> None:
    """By name and id; by its id when it has no name."""
    assert [called({"id": "1", "name": name}) for name in ("Shop", "")] == ["Shop (1)", "1"]
