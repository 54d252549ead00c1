"""`eventmill.flow.throttle`: bursts, refill, waiting times, and bounded memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventmill.flow import throttle as module
from eventmill.flow.throttle import WINDOW_S, Throttle


@pytest.mark.parametrize("requests", [1, 3, 7, 3000, 100_000])
def test_burst_is_exactly_the_capacity(requests: int) -> None:
    """A full bucket gives as many requests as the setting says, not one fewer by rounding."""
    throttle = Throttle(requests)

    taken = [throttle.take("key", 1234.5) for _ in range(requests + 1)]

    assert taken[:-1] == [0] * requests
    assert taken[-1] >= 1


def test_refill_is_steady() -> None:
    """A fifth of the capacity per second, whatever was refused meanwhile."""
    throttle = Throttle(10)
    for _ in range(30):
        throttle.take("key", 0.0)

    assert [throttle.take("key", 1.0) for _ in range(4)] == [0, 0, 1, 1]
    assert [throttle.take("key", 100.0) for _ in range(11)] == [0] * 10 + [1]


def test_waiting_time_is_long_enough() -> None:
    """Who waits as told is served."""
    throttle = Throttle(1)
    throttle.take("key", 0.0)

    wait_s = throttle.take("key", 0.5)

    assert wait_s == 5
    assert throttle.take("key", 0.5 + wait_s) == 0


def test_keys_are_apart() -> None:
    """One key's burst costs another nothing."""
    throttle = Throttle(1)

    assert [throttle.take(key, 0.0) for key in ("a", "b", "a", "b")] == [0, 0, 5, 5]


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made-up keys do not fill the memory, and a key that was busy lately stays throttled."""
    monkeypatch.setattr(module, "_KEYS_MAX", 100)
    throttle = Throttle(10)
    for _ in range(10):
        throttle.take("busy", 0.0)

    for number in range(1000):
        throttle.take(f"made up {number}", 0.001 * number)

    assert len(throttle) <= 100
    assert throttle.take("busy", 0.0) > 0


@given(waits=st.lists(st.floats(0, 2), max_size=200), requests=st.integers(1, 20))
def test_never_more_than_the_rate_allows(waits: list[float], requests: int) -> None:
    """Over any time, no more than one burst plus the refill."""
    throttle = Throttle(requests)
    now_s = served = 0.0
    for wait_s in waits:
        now_s += wait_s
        served += throttle.take("key", now_s) == 0

    assert served <= requests + now_s * requests / WINDOW_S + 1
