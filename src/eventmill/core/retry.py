"""When a failed delivery is attempted again: which outcomes are final, and the grid of the retries.

"Retry Doc" and FAQ of Adobe I/O Events: 429, 5xx but 505, and attempts without any answer (6xx) are retried, after 1,
2, 4, 8 and then every 15 minutes, for 24 hours from the first attempt. Pure tables; stores and counts nothing.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from datetime import UTC, datetime
from enum import Enum

_DELAYS_MIN = (1, 2, 4, 8)
_LONGEST_DELAY_MIN = 15
_WINDOW_MIN = 24 * 60

SCHEDULE_MIN: tuple[int, ...] = (
    *(sum(_DELAYS_MIN[: count + 1]) for count in range(len(_DELAYS_MIN))),
    *range(sum(_DELAYS_MIN) + _LONGEST_DELAY_MIN, _WINDOW_MIN + 1, _LONGEST_DELAY_MIN),
)
"""Minutes from the start of the first attempt to each retry: 1, 3, 7, 15, 30, 45 ... 1440."""

HELD_MIN_MS = 60_000
HELD_MAX_MS = 60_000 * _LONGEST_DELAY_MIN

_SCHEDULE_MS = tuple(60_000 * minutes for minutes in SCHEDULE_MIN)


_SECONDS_DIGITS = 12
_HTTP_DATES = ("%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y")
"""The form that is sent, and the two obsolete ones that are taken (section 5.6.7)."""
RETRY_AFTER_STATUSES = (429, 503)


class Verdict(Enum):
    DELIVERED = "delivered"
    RETRY = "retry"
    REFUSED = "refused"
    """Final: the receiver answered that it will not have it."""


def judge(status: int) -> Verdict:
    """What the status of an attempt means: an HTTP status, or a 6xx trace code when there was no answer."""
    if 200 <= status <= 299:
        return Verdict.DELIVERED
    if status == 429 or (500 <= status <= 699 and status != 505):
        return Verdict.RETRY
    return Verdict.REFUSED


def next_due_ms(first_ms: int, now_ms: int, not_before_ms: int = 0, jitter: float = 0.0) -> int | None:
    """When a unit whose attempt just failed is due again, or None when its 24 hours are over.

    `first_ms` is the start of its first attempt. Due times lie on a grid from there, so that neither the length of an
    attempt nor a downtime shifts them: grid points missed meanwhile are not made up for. Those before `not_before_ms`
    are left out, but never the last. `jitter`, from 0 to 1, moves a due time on by that share of the way to the grid
    point after it; the last has none.
    """
    following = bisect_right(_SCHEDULE_MS, now_ms - first_ms)
    last = len(_SCHEDULE_MS) - 1
    if following > last:
        return None
    following = min(last, max(following, bisect_left(_SCHEDULE_MS, not_before_ms - first_ms)))
    due_ms = first_ms + _SCHEDULE_MS[following]
    if jitter and following < last:
        due_ms += int(jitter * (_SCHEDULE_MS[following + 1] - _SCHEDULE_MS[following]))
    return due_ms


def retry_after_s(value: str, wall_ms: int) -> float | None:
    """The seconds that a `Retry-After` asks to wait for (RFC 9110, section 10.2.3): given as such, or as a date, which
    is compared with `wall_ms`. None for anything else; never negative."""
    value = value.strip()
    if value.isascii() and value.isdecimal():
        return float(value) if len(value) <= _SECONDS_DIGITS else float("inf")
    for form in _HTTP_DATES:
        try:
            date = datetime.strptime(value, form).replace(tzinfo=UTC)
        except ValueError:
            continue
        return max(0.0, date.timestamp() - wall_ms / 1000)
    return None


def held_until_ms(published_ms: int, now_ms: int) -> int:
    """When a unit is due again whose attempt did not get as far as its endpoint, so that nothing is known of that one.

    Such a wait is no retry and has no end of its own: the event's retention ends it. It grows with the event's age,
    from one minute to the longest delay of a retry.
    """
    return now_ms + min(max((now_ms - published_ms) // 4, HELD_MIN_MS), HELD_MAX_MS)
