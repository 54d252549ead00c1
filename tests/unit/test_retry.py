"""`eventmill.core.retry`: which outcomes are retried, and when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventmill.core.retry import SCHEDULE_MIN, Verdict, held_until_ms, judge, next_due_ms

MINUTE_MS = 60_000
FIRST_MS = 1_772_359_201_123


def expected(status: int) -> Verdict:
    if status in range(200, 300):
        return Verdict.DELIVERED
    if status == 429 or status in range(500, 505) or status in range(506, 700):
        return Verdict.RETRY
    return Verdict.REFUSED


def test_every_status_has_its_verdict() -> None:
    """2xx is success; 429, 5xx but 505, and 6xx are retried; everything else is final."""
    assert [judge(status) for status in range(100, 1000)] == [expected(status) for status in range(100, 1000)]


def test_schedule_is_the_documented_one() -> None:
    """1, 2, 4, 8 minutes, then every 15, the last one 24 hours after the first attempt: 99 retries."""
    delays = [later - earlier for earlier, later in zip((0, *SCHEDULE_MIN), SCHEDULE_MIN, strict=False)]

    assert delays == [1, 2, 4, 8] + [15] * 95
    assert SCHEDULE_MIN[:6] == (1, 3, 7, 15, 30, 45)
    assert SCHEDULE_MIN[-1] == 24 * 60
    assert len(SCHEDULE_MIN) == 99


@pytest.mark.parametrize("attempt_ms", [0, 1, 10_000, 59_999])
def test_walk_through_all_retries(attempt_ms: int) -> None:
    """A unit that always fails meets every grid point once, however long its attempts take, and then ends."""
    seen = []
    due_ms = next_due_ms(FIRST_MS, FIRST_MS + attempt_ms)
    while due_ms is not None:
        seen.append(due_ms - FIRST_MS)
        due_ms = next_due_ms(FIRST_MS, due_ms + attempt_ms)

    assert seen == [minutes * MINUTE_MS for minutes in SCHEDULE_MIN]


@pytest.mark.parametrize(
    ("late_min", "due_min"), [(16, 30), (29, 30), (30, 45), (200, 210), (1439, 1440), (1440, None), (9000, None)]
)
def test_downtime_skips_grid_points(late_min: int, due_min: int | None) -> None:
    """After the one overdue attempt comes the next grid point; missed ones are not made up for."""
    due_ms = next_due_ms(FIRST_MS, FIRST_MS + late_min * MINUTE_MS)

    assert due_ms == (None if due_min is None else FIRST_MS + due_min * MINUTE_MS)


@given(elapsed_ms=st.integers(0, 30 * 60 * MINUTE_MS))
def test_due_time_is_the_next_grid_point(elapsed_ms: int) -> None:
    """Strictly later, on the grid, and none between."""
    due_ms = next_due_ms(FIRST_MS, FIRST_MS + elapsed_ms)
    later = [minutes * MINUTE_MS for minutes in SCHEDULE_MIN if minutes * MINUTE_MS > elapsed_ms]

    assert due_ms == (FIRST_MS + later[0] if later else None)


@pytest.mark.parametrize(("age_min", "wait_min"), [(0, 1), (1, 1), (4, 1), (20, 5), (60, 15), (10_000, 15)])
def test_what_did_not_reach_its_endpoint_waits_longer_with_age(age_min: int, wait_min: int) -> None:
    """From one minute to a quarter of an hour."""
    now_ms = FIRST_MS + age_min * MINUTE_MS

    assert held_until_ms(FIRST_MS, now_ms) == now_ms + wait_min * MINUTE_MS
