"""Faults that somebody asked for: what an attempt suffers, and what is left for the next."""

from __future__ import annotations

from eventmill.core.faults import HARMLESS, Fault, Plan, plan_attempt


def test_nothing_set_does_nothing() -> None:
    """No fault, no harm."""
    assert plan_attempt(()) == (HARMLESS, ())


def test_a_fault_is_for_so_many_attempts() -> None:
    """It counts down, and is over."""
    faults: tuple[Fault, ...] = (Fault("status", 2, 503),)
    first, faults = plan_attempt(faults)
    second, faults = plan_attempt(faults)
    third, faults = plan_attempt(faults)
    assert (first, second, third, faults) == (Plan(status=503), Plan(status=503), HARMLESS, ())


def test_faults_of_one_kind_follow_each_other() -> None:
    """The second begins when the first is over; other kinds strike beside it."""
    faults: tuple[Fault, ...] = (Fault("status", 1, 500), Fault("latency", 2, latency_ms=30), Fault("status", 1, 503))
    first, faults = plan_attempt(faults)
    second, faults = plan_attempt(faults)
    assert first == Plan(latency_ms=30, status=500)
    assert (second, faults) == (Plan(latency_ms=30, status=503), ())


def test_every_kind_has_its_effect() -> None:
    """Dropping, doubling and holding."""
    plan, _ = plan_attempt((Fault("drop", 1), Fault("duplicate", 1), Fault("reorder", 1)))
    assert plan == Plan(is_held=True, is_dropped=True, is_doubled=True)
