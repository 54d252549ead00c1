"""The filters guide: every example in its tables gives the verdict that the table says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from eventmill.core.ruler import BRANCHES_MAX, FILTER_CHARS_MAX, ITEMS_MAX, OR_DEPTH_MAX, compile_filter
from eventmill.core.ruler_event import read_event
from eventmill.core.ruler_match import matches, view_event

GUIDE = (Path(__file__).parents[2] / "docs" / "filters.md").read_text()
EXAMPLES = re.findall(r"^\| `(\{.*\})` \| `(\{.*\})` \| (match|no match) \|$", GUIDE, re.MULTILINE)


def test_all_rows_are_examples() -> None:
    """No row with a filter in it is left out, however it is written."""
    assert len(EXAMPLES) == len(re.findall(r"^\| `\{", GUIDE, re.MULTILINE)) > 30


@pytest.mark.parametrize(("text", "event", "verdict"), EXAMPLES)
def test_example(text: str, event: str, verdict: str) -> None:
    """As the guide says."""
    wanted = compile_filter(text)
    view = view_event(read_event(event.encode()), wanted.paths)
    assert matches(wanted, view) == (verdict == "match")


def test_limits() -> None:
    """The table of limits is the one that is enforced."""
    table = GUIDE.partition("## Limits")[2].partition("##")[0]
    for limit in (f"{FILTER_CHARS_MAX:,}", ITEMS_MAX, BRANCHES_MAX, f"{OR_DEPTH_MAX} levels"):
        assert f"| {limit} |" in table
