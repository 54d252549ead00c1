"""`eventmill.core.preference`: what `Prefer` and `Accept` ask for, and what is passed over."""

from __future__ import annotations

import pytest

from eventmill.core.preference import names_type, read_wait


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ([], 0),
        (["wait=10"], 10),
        (["wait=0"], 0),
        (["Wait = 10"], 10),
        (['wait="10"'], 10),
        (["respond-async, wait=7; foo=bar"], 7),
        (["respond-async", "wait=7"], 7),
        (["wait=5, wait=9", "wait=11"], 5),
        (["wait"], 0),
        (["wait=-1"], 0),
        (["wait=1.5"], 0),
        (["wait=ten, wait=3"], 3),
        (["waiting=4"], 0),
        (['note="a, wait=5", wait=7'], 7),
        (['note="a\\", wait=5", wait=7'], 7),
        (['wait="5'], 0),
        (['wait=5"'], 0),
    ],
)
def test_wait(prefer: list[str], seconds: int) -> None:
    """RFC 7240: any place in any header, quoted or not; the first counts, and what is no number is no preference."""
    assert read_wait(prefer) == seconds


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        ("application/json;q=0", False),
        ("application/json, text/plain, */*", True),
        ("application/json;q=0.5, text/plain", False),
        ("application/json;q=0.5, text/*;q=0.9", False),
        ("text/plain;q=0.4, application/json;q=0.5", True),
        ("application/vnd.adobecloud.events+json", False),
    ],
)
def test_accept(accept: str, expected: bool) -> None:
    """JSON only for who names it, and does not like text better; wildcards name nothing."""
    assert names_type(accept, "application/json", "text/plain") is expected
