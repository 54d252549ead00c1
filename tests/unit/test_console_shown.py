"""What the console makes of text, numbers and JSON of strangers: `ui.shown`, `ui.json_view`, `ui.charts`."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import escape

from eventmill.ui import charts
from eventmill.ui.json_view import json_view
from eventmill.ui.shown import HIDDEN, ago, duration, mark_hidden, room_left, safe_text, size, time_tag


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 ms"),
        (0.25, "250 ms"),
        (3.21, "3.2 s"),
        (59, "59 s"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (90_061, "1 d 1 h"),
    ],
)
def test_durations_have_two_units(seconds: float, expected: str) -> None:
    """As people say them."""
    assert duration(seconds) == expected


def test_sizes_and_times() -> None:
    """Binary units; UTC, with the milliseconds for the page's script; never where there is none."""
    assert [size(each) for each in (0, 1023, 1536, 5 * 2**30)] == ["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]
    assert ">1970-01-02 00:00:00 UTC<" in time_tag(86_400_000)
    assert "never" in time_tag(0) and "never" in ago(None, 5)


@given(st.text(max_size=200))
def test_text_of_strangers_is_text(value: str) -> None:
    """Nothing of it is markup, and nothing hidden is left."""
    shown = mark_hidden(value)
    assert not HIDDEN.search(shown)
    if not HIDDEN.search(value):
        assert shown == escape(value)


def test_direction_stays_inside() -> None:
    """What turns the text around is named, and isolated."""
    assert safe_text("a\u202eb") == '<bdi>a<span class="ctl">U+202E</span>b</bdi>'


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(_JSON)
def test_any_json_can_be_shown(value: object) -> None:
    """As sound markup, whatever is in it."""
    ElementTree.fromstring(json_view(json.dumps(value)))


def test_huge_json_is_cut() -> None:
    """Long strings fold, long lists and deep ones end, and each says so; what is no JSON is shown as it is."""
    assert "show all 5000 characters" in json_view({"a": "x" * 5000})
    assert len(json_view({"a": "x" * 3_000_000})) < 100_000
    assert "too much to show" in json_view(list(range(20_000)))
    deep: object = 1
    for _ in range(500):
        deep = [deep]
    assert "…" in json_view(deep)
    assert "&lt;b&gt;" in json_view("<b>")


def test_charts_say_what_they_show() -> None:
    """Each is sound SVG with its content in words; of nothing as well."""
    made = [
        charts.sparkline([0, 1, 2], 'a "label"'),
        charts.sparkline([], "empty"),
        charts.bars([charts.Bar("now", 3), charts.Bar("<b>", 0)], "bars"),
        charts.histogram([charts.Bar("200", 3, "ok"), charts.Bar("500", 0, "bad")], "codes"),
        charts.attempts([charts.Mark(5, "first"), charts.Mark(9, "second", "bad")], 5, "attempts"),
        charts.attempts([charts.Mark(5, "only")], 5, "one"),
        charts.meter(2.5, "full", marks=(0.5,)),
    ]
    for each in made:
        root = ElementTree.fromstring(each)
        assert root.get("role") == "img" and root.get("aria-label")
    assert charts.histogram([], "none") == ""


def test_room_that_is_far_off_is_not_told_to_the_day() -> None:
    """Nobody plans for the day after some hundred years."""
    assert room_left(1.2).startswith("1 day left")
    assert room_left(40).startswith("40 days left")
    assert room_left(167_694).startswith("more than a year")
