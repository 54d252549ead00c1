"""Which attempts Debug Tracing shows."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from eventmill.ui.pages.trace_filter import TraceFilter


@dataclass
class Tried:
    """An attempt."""

    ok: bool = True
    status: int = 200
    duration_ms: int = 5
    retry: str = ""
    id: str = "d-1"
    event_ids: str = "e-1,e-2"


@pytest.mark.parametrize(
    ("wanted", "attempt", "passes"),
    [
        (TraceFilter(), Tried(), True),
        (TraceFilter(outcome="success"), Tried(ok=False), False),
        (TraceFilter(outcome="error"), Tried(ok=False), True),
        (TraceFilter(codes=(404, 503)), Tried(status=503), True),
        (TraceFilter(codes=(404, 503)), Tried(status=200), False),
        (TraceFilter(time="0-2"), Tried(duration_ms=1999), True),
        (TraceFilter(time="0-2"), Tried(duration_ms=2000), False),
        (TraceFilter(time="2-4"), Tried(duration_ms=2000), True),
        (TraceFilter(time="4"), Tried(duration_ms=60_000), True),
        (TraceFilter(time="10"), Tried(duration_ms=9_999), False),
        (TraceFilter(retries="only"), Tried(retry="2"), True),
        (TraceFilter(retries="without"), Tried(retry="2"), False),
        (TraceFilter(q="E-2"), Tried(), True),
        (TraceFilter(q="d-2"), Tried(), False),
    ],
)
def test_each_filter_narrows(wanted: TraceFilter, attempt: Tried, passes: bool) -> None:
    """By outcome, response code, response time, retries, and part of an id; times from, and below."""
    assert wanted.lets_through(attempt) is passes


def test_links_change_one_thing() -> None:
    """Everything else stays; a change begins at the first page; a code that is clicked again goes."""
    wanted = TraceFilter(outcome="error", codes=(503,), after="d-9")
    assert wanted.query(time="4") == {"outcome": "error", "codes": "503", "time": "4"}
    assert wanted.query(codes=wanted.with_code(404)) == {"outcome": "error", "codes": "404,503"}
    assert wanted.query(codes=wanted.with_code(503)) == {"outcome": "error"}
    assert wanted.query(after="d-12")["after"] == "d-12"
