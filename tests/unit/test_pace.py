"""`eventmill.core.pace`: a lane's window follows the outcomes of its attempts, its rate holds over any stretch."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventmill.core.pace import CREDIT_S, FAILURES_IN_A_ROW, Rate, Window

STEPS = {"s": Window.succeeded, "f": Window.failed, "t": Window.timed_out, "r": Window.restart}


def after(cap: int, steps: str) -> Window:
    window = Window(cap)
    for step in steps:
        STEPS[step](window)
    return window


@pytest.mark.parametrize(
    ("steps", "size"),
    [
        pytest.param("", 16, id="starts at the cap"),
        pytest.param("s" * 100, 16, id="never beyond it"),
        pytest.param("t", 8, id="a time-out halves"),
        pytest.param("tttt", 1, id="down to one"),
        pytest.param("ttttt", 1, id="at least one"),
        pytest.param("t" + "s" * 7, 8, id="not yet a window of successes"),
        pytest.param("t" + "s" * 8, 9, id="grows by one per window of successes"),
        pytest.param("t" + "s" * (8 + 9), 10, id="and again"),
        pytest.param("t" + "sssfsss", 8, id="single failures do not count for growth"),
        pytest.param("f" * (FAILURES_IN_A_ROW - 1), 16, id="failures shrink nothing yet"),
        pytest.param("f" * FAILURES_IN_A_ROW, 1, id="but so many in a row do"),
        pytest.param("f" * (FAILURES_IN_A_ROW - 1) + "sf", 16, id="a success between"),
        pytest.param("f" * FAILURES_IN_A_ROW + "s", 2, id="slow start: one success, two places"),
        pytest.param("f" * FAILURES_IN_A_ROW + "sss", 4, id="two more of that round: four"),
        pytest.param("r" + "s" * 7, 8, id="third round"),
        pytest.param("r" + "s" * 15, 16, id="fourth round, all the way open"),
        pytest.param("r" + "s" * 7 + "f", 4, id="a failure ends the slow start"),
        pytest.param("r" + "s" * 7 + "f" + "s" * 4, 5, id="from there on one per window"),
        pytest.param("r" + "s" * 7 + "t" + "s" * 3, 4, id="so does a time-out"),
        pytest.param("t" * FAILURES_IN_A_ROW + "sss", 4, id="time-outs in a row begin anew as well"),
    ],
)
def test_window_of_sixteen(steps: str, size: int) -> None:
    """Success, failure, time-out, restart, in this order."""
    assert after(16, steps).size == size


@given(cap=st.integers(1, 64), steps=st.text("sftr", max_size=300), caps=st.lists(st.integers(1, 64), max_size=3))
def test_window_stays_between_one_and_its_cap(cap: int, steps: str, caps: list[int]) -> None:
    """Whatever happens, changes of the cap included; and enough successes open it all the way."""
    window = after(cap, steps)
    assert 1 <= window.size <= cap
    for last in [cap, *caps]:
        window.recap(last)
        assert 1 <= window.size <= last
    for _ in range(last * last):
        window.succeeded()
    assert window.size == last


@given(before=st.integers(1, 64), cap=st.integers(1, 64))
def test_open_window_follows_its_cap(before: int, cap: int) -> None:
    """Both ways; one that is not open only shrinks."""
    window, shrunk = Window(before), Window(2 * before)
    shrunk.timed_out()
    window.recap(cap)
    shrunk.recap(cap)
    assert (window.size, shrunk.size) == (cap, min(before, cap))


@given(
    events_per_s=st.floats(0.1, 2000),
    units=st.lists(st.tuples(st.integers(1, 50), st.floats(0, 0.2)), min_size=1, max_size=80),
)
def test_rate_holds_over_any_stretch(events_per_s: float, units: list[tuple[int, float]]) -> None:
    """Between any two units, however late each is sent, no more events went than rate, credit and one unit allow."""
    rate, now_s, sent = Rate(events_per_s), 1000.0, list[tuple[float, int]]()
    for events, late_s in units:
        now_s = max(now_s, rate.free_s) + late_s
        rate.take(events, now_s)
        sent.append((now_s, events))
    for first in range(len(sent)):
        total = 0
        for at_s, events in sent[first:]:
            allowed = events_per_s * (at_s - sent[first][0] + CREDIT_S) + events
            total += events
            assert total <= allowed * (1 + 1e-9) + 1e-6


@pytest.mark.parametrize("events_per_s", [0.5, 7, 100, 1500])
@pytest.mark.parametrize("unit", [1, 20])
@pytest.mark.parametrize("tick_s", [0.0, 0.004])
def test_rate_is_met(events_per_s: float, unit: int, tick_s: float) -> None:
    """Within 5 % over a while, also when every wake-up comes a few milliseconds late."""
    rate, now_s, units = Rate(events_per_s), 0.0, 0
    while now_s < 10 + 40 * unit / events_per_s:
        rate.take(unit, now_s)
        units += 1
        if rate.free_s > now_s:
            now_s = rate.free_s + tick_s
    assert units * unit / now_s == pytest.approx(events_per_s, rel=0.05)


def test_what_was_long_unused_is_lost() -> None:
    """After an hour's silence only a moment's credit is left."""
    rate = Rate(10)
    rate.take(1, 0.0)
    rate.take(1, 3600.0)
    assert rate.free_s == pytest.approx(3600.0)
