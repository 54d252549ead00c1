"""Whether this machine's clock and the database's agree: what answers prove, and what is said of it."""

from __future__ import annotations

import time

import pytest
from structlog.testing import capture_logs

from eventmill.cli.diagnosis import diagnose
from eventmill.clock import SystemClock
from eventmill.config import Config
from eventmill.store.postgres.drift import Drift
from tests.store.postgres import empty_database


def drift_of(*answers: tuple[int, int, int]) -> Drift:
    drift = Drift("the database")
    for answer in answers:
        drift.note(*answer)
    return drift


@pytest.mark.parametrize(
    ("answers", "ahead_ms"),
    [
        ([(1000, 1000, 1002)], 0),
        ([(1000, 1500, 9000)], 0),
        ([(9000, 1000, 9004)], 8000),
        ([(1000, 9000, 1004)], -7996),
        ([(9000, 1000, 9004), (20_000, 15_000, 30_000)], 8000),
        ([(9000, 1000, 9004), (20_000, 20_000, 20_004)], 4),
        ([(9000, 1000, 3000)], 2000),
    ],
    ids=["agree", "slow answer", "ahead", "behind", "slow answer later", "set right", "set right meanwhile"],
)
def test_what_answers_prove(answers: list[tuple[int, int, int]], ahead_ms: int) -> None:
    """No more than that: a slow answer neither makes a difference nor takes one back."""
    assert drift_of(*answers).ahead_ms == ahead_ms


def test_what_is_done_about_it() -> None:
    """Nothing up to a minute; then there is a doubt, either way; ahead by more than an hour no events are taken, while
    one that is behind does no harm to the order of a journal."""
    for ahead_s, is_doubtful, refuses in (
        (60, False, False),
        (61, True, False),
        (-61, True, False),
        (3600, True, False),
        (3601, True, True),
        (-86_400, True, False),
    ):
        drift = drift_of((ahead_s * 1000, 0, ahead_s * 1000))
        assert (bool(drift.doubt()), bool(drift.refusal())) == (is_doubtful, refuses), ahead_s
    assert drift_of((75_000, 0, 75_000)).doubt() == "this machine's clock is 75 s ahead of that of the database"
    assert drift_of((0, 75_000, 0)).doubt() == "this machine's clock is 75 s behind that of the database"


def test_the_log_says_it_once() -> None:
    """When the clocks come apart, and when they agree again."""
    drift = drift_of()
    with capture_logs() as logs:
        for ahead_ms in (0, 90_000, 95_000, 0, 0):
            drift.note(ahead_ms, 0, ahead_ms)
            drift.tell()
    assert [(log["event"], log["ahead_s"]) for log in logs] == [("clock_adrift", 90.0), ("clock_in_time", 0.0)]


@pytest.mark.parametrize(("ahead_s", "which"), [(3, ""), (20, "20 s ahead of"), (-20, "20 s behind")])
def test_the_doctor_compares_the_clocks(monkeypatch: pytest.MonkeyPatch, ahead_s: int, which: str) -> None:
    """Before a minute is over and a start is refused; some seconds are nobody's trouble."""

    class Wrong(SystemClock):
        def machine_ms(self) -> int:
            return time.time_ns() // 1_000_000 + ahead_s * 1000

    monkeypatch.setattr("eventmill.cli.diagnosis.SystemClock", Wrong)
    found = [each for each in diagnose(Config(store=empty_database()), {}) if each.about == "clock"]
    if not which:
        assert not found
        return
    assert found[0].level == "problem" and found[0].cause.startswith(f"this machine's clock is {which}")
    assert "NTP" in found[0].remedy
