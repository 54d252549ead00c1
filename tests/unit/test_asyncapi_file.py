"""Files that `eventmill asyncapi import` reads: YAML and JSON, and what of YAML no document can have."""

from __future__ import annotations

import io
from typing import Any

import pytest

from eventmill.cli.asyncapi import read_file
from eventmill.cli.remote import Failed


def read(text: str) -> Any:
    file = io.StringIO(text)
    file.name = "events.yaml"
    return read_file(file)


def bomb(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"time": "2026-03-01", "n": [1, 2.5, null, true]}', {"time": "2026-03-01", "n": [1, 2.5, None, True]}),
        ("time: 2026-03-01T10:00:00Z\nday: 2026-03-01", {"time": "2026-03-01T10:00:00Z", "day": "2026-03-01"}),
        ("a: &a {x: 1}\nb: {<<: *a, y: *a}", {"a": {"x": 1}, "b": {"x": 1, "y": {"x": 1}}}),
    ],
)
def test_read(text: str, expected: Any) -> None:
    """JSON, times as texts, aliases."""
    assert read(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("&a [*a]", "more than 1,000,000 values"),
        (bomb(8), "more than 1,000,000 values"),
        ("[" * 2000, "nested too deeply"),
        ("a: !!binary aGk=", "a value that JSON has not"),
        ("a: !!set {x}", "a value that JSON has not"),
        ("!!binary aGk=: 1", "a value that JSON has not"),
        ("a: .nan", "a value that JSON has not: nan"),
        ("a: -.inf", "a value that JSON has not: -inf"),
        ("a: " + "9" * 5000, "neither YAML nor JSON"),
        ("!!python/object/apply:os.getcwd []", "neither YAML nor JSON"),
        ("a: [", "neither YAML nor JSON"),
    ],
)
def test_refusals(text: str, message: str) -> None:
    """A file that stands for more than it has, or for what JSON has not, is refused in words, soon."""
    with pytest.raises(Failed, match=message):
        read(text)
