"""`eventmill.core.retry`: which outcomes are retried, and when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventmill.core.retry import SCHEDULE_MIN, Verdict, held_until_ms, judge, next_due_ms, retry_after_s

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


# --- Asked to wait, and jitter ---


@given(elapsed_ms=st.integers(0, 25 * 60 * MINUTE_MS), wait_ms=st.integers(0, 15 * MINUTE_MS))
def test_due_time_is_not_before_what_was_asked_for(elapsed_ms: int, wait_ms: int) -> None:
    """The first grid point from then on; the last one when none is left, as long as one is left at all."""
    due_ms = next_due_ms(FIRST_MS, FIRST_MS + elapsed_ms, FIRST_MS + elapsed_ms + wait_ms)
    grid = [minutes * MINUTE_MS for minutes in SCHEDULE_MIN]
    later = [at for at in grid if at > elapsed_ms]
    allowed = [at for at in later if at >= elapsed_ms + wait_ms] or later[-1:]

    assert due_ms == (FIRST_MS + allowed[0] if allowed else None)


@given(elapsed_ms=st.integers(0, 25 * 60 * MINUTE_MS), jitter=st.floats(0, 1))
def test_jitter_moves_a_due_time_towards_the_next(elapsed_ms: int, jitter: float) -> None:
    """Later by that share of the distance; the last retry is at 24 hours exactly."""
    plain, moved = (next_due_ms(FIRST_MS, FIRST_MS + elapsed_ms, 0, share) for share in (0, jitter))
    if plain is None:
        assert moved is None
        return
    after = next_due_ms(FIRST_MS, plain)
    assert moved == plain + (0 if after is None else int(jitter * (after - plain)))


NOW_S = 784_111_777
"""Sun, 06 Nov 1994 08:49:37 GMT."""


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("9" * 40, float("inf")),
        ("Sun, 06 Nov 1994 08:51:37 GMT", 120),
        ("Sunday, 06-Nov-94 08:51:37 GMT", 120),
        ("Sun Nov  6 08:51:37 1994", 120),
        ("Sun, 06 Nov 1994 08:00:00 GMT", 0),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("١٢", None),
        ("Sun, 31 Feb 1994 08:51:37 GMT", None),
        ("Sun, 06 Nov 1994 08:51:37 +0100", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    """Seconds, or one of the three forms of a date; a date in the past is no wait, anything else is nothing."""
    assert retry_after_s(value, NOW_S * 1000) == seconds
