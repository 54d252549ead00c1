"""How the text of a filter is judged and laid out for people."""

from __future__ import annotations

import json

import pytest

from eventmill.ui.filter_gallery import GALLERY
from eventmill.ui.filter_text import judge, pretty


def test_a_filter_tells_what_it_looks_at() -> None:
    """Its fields, sorted; and it is compiled."""
    verdict, wanted = judge('{"type": ["a"], "data": {"left": [1]}}')
    assert verdict.paths == ("data.left", "type") and not verdict.problem
    assert wanted is not None


def test_a_mistake_is_marked_where_it_stands() -> None:
    """Line and column, and below an excerpt of that line a mark at the place."""
    verdict, wanted = judge('{\n  "data": {"left": [{"numeric": ["<", "5"]}]}\n}')
    assert wanted is None
    assert (verdict.line, verdict.excerpt[len(verdict.marker) - 1]) == (2, '"')
    assert verdict.excerpt[len(verdict.marker) - 1 :].startswith('"5"')
    assert "line" not in verdict.problem


def test_of_a_long_line_the_part_around_the_mistake_is_shown() -> None:
    """However long it is."""
    text = '{"data": {"a": ["' + "x" * 5000 + '", oops]}}'
    verdict, _ = judge(text)
    assert len(verdict.excerpt) <= 90 and verdict.excerpt[len(verdict.marker) - 1] == "o"


@pytest.mark.parametrize("text", [each.filter for each in GALLERY])
def test_laying_out_changes_nothing(text: str) -> None:
    """The same document, in lines that can be read."""
    assert json.loads(pretty(text)) == json.loads(text)
    assert "\n" in pretty(text)


def test_what_is_no_plain_json_stays_as_it_was_typed() -> None:
    """Such as a member that is there twice, which a reader of JSON would drop."""
    for text in ('{"a": [1], "a": [2]}', "{", "", '{"a": [NaN]}'):
        assert pretty(text) == text
