"""`core.health`: the rules at their boundaries, and the time at which they will apply by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventmill.core.health import (
    DAY_MS,
    HALF_HOUR_MS,
    RULES,
    Case,
    EarlyRecovery,
    Figures,
    Rule,
    RuleSet,
    Tally,
    judge,
    rules_for,
    tell,
)
from eventmill.model import WebhookStatus

NOW = 1_767_225_600_000
MINUTE = 60_000
V3, V1 = rules_for("v3", "next_success"), rules_for("v1", "off")


def case(status: WebhookStatus, *tallies: Tally, since_ms: int = NOW - 60 * MINUTE) -> Case:
    return Case(status, since_ms, sorted(tallies, key=lambda tally: tally.start_ms))


def ago(minutes: float, ok: int = 0, failed: int = 0, gave_up: int = 0) -> Tally:
    return Tally(NOW - int(minutes * MINUTE), ok, failed, gave_up)


@pytest.mark.parametrize(
    ("ok", "failed", "failing"),
    [(0, 9, False), (0, 10, True), (1, 9, True), (2, 8, False), (19, 81, True), (20, 80, False), (199, 801, True)],
)
def test_a_window_fails_below_a_fifth_of_ten_or_more(ok: int, failed: int, failing: bool) -> None:
    """Fewer than ten attempts never count; exactly 20 % successful is enough."""
    assert Figures(ok + failed, failed).is_failing is failing


@pytest.mark.parametrize(
    ("rules", "known", "becomes"),
    [
        (V3, case("verified", ago(5, failed=10)), "unstable"),
        (V3, case("verified", ago(5, failed=9)), None),
        (V3, case("verified", ago(5, ok=2, failed=8)), None),
        (V3, case("verified", ago(24 * 60, failed=10)), "unstable"),
        (V3, case("verified", ago(24 * 60 + 1, failed=10)), None),
        (V3, case("unstable", ago(5, failed=100)), None),
        (V3, case("unstable", ago(5, failed=100), since_ms=NOW - DAY_MS), "hook_unreachable"),
        (V3, case("unstable", ago(5, failed=100), since_ms=NOW - DAY_MS + 1), None),
        (V3, case("unstable", ago(5, failed=9), since_ms=NOW - DAY_MS), "verified"),
        (V3, case("unstable", ago(5, ok=1, failed=100)), "verified"),
        (V3, case("unstable", ago(61, ok=1), ago(5, failed=100)), None),
        (V3, case("verified", ago(5, failed=3, gave_up=3)), None),
        (V3, case("hook_unreachable", ago(5, ok=100)), None),
        (rules_for("v3", "off"), case("unstable", ago(5, ok=100)), None),
        (rules_for("v3", "off"), case("unstable", ago(5, ok=100), since_ms=NOW - DAY_MS), "verified"),
        (rules_for("v3", "window"), case("unstable", ago(5, ok=1, failed=9)), None),
        (rules_for("v3", "window"), case("unstable", ago(5, ok=2, failed=8)), "verified"),
        (rules_for("v3", "window"), case("unstable", ago(40, failed=90), ago(5, ok=1)), "verified"),
        (rules_for("v3", "window"), case("unstable", ago(5, failed=9)), None),
        (V1, case("verified", ago(5, failed=10)), "hook_unreachable"),
        (V1, case("verified", ago(50, ok=10), ago(5, failed=10)), "unstable"),
        (V1, case("verified", ago(50, ok=10), ago(31, failed=10)), None),
        (V1, case("verified", ago(50, ok=10), ago(5, failed=1, gave_up=1)), "hook_unreachable"),
        (V1, case("unstable", ago(70, ok=10), ago(5, ok=1, failed=3)), "verified"),
        (V1, case("unstable", ago(70, ok=10), ago(5, failed=20)), None),
        (V1, case("unstable", ago(70, ok=10), ago(5, failed=41)), "hook_unreachable"),
        (V1, case("unstable", ago(70, ok=10), ago(5, failed=1, gave_up=1)), "hook_unreachable"),
    ],
)
def test_what_becomes_of_a_case(rules: Sequence[Rule], known: Case, becomes: WebhookStatus | None) -> None:
    """Each rule on both sides of its boundary."""
    assert judge(known, rules, NOW).becomes == becomes


def test_the_outlook_names_the_next_time() -> None:
    """Unstable: after its 24 hours. Verified: when old successes leave the window. Else never by time alone."""
    unstable = judge(case("unstable", ago(70, failed=20)), V3, NOW)
    assert (unstable.becomes, unstable.then) == (None, "hook_unreachable"), "should failures go on as they do"
    assert unstable.next_ms == NOW - 60 * MINUTE + DAY_MS
    assert judge(case("unstable", ago(70, failed=9)), V3, NOW).then == "verified"

    ageing = judge(case("verified", ago(600, ok=10), ago(5, failed=12)), V3, NOW)
    assert (ageing.next_ms, ageing.then) == (NOW - 600 * MINUTE + DAY_MS + 1, "unstable")

    quiet = judge(case("verified", ago(600, ok=10), ago(5, failed=5)), V3, NOW)
    assert (quiet.next_ms, quiet.then) == (None, None)


_TALLIES = st.lists(
    st.builds(ago, st.integers(0, 26 * 60), st.integers(0, 12), st.integers(0, 30), st.sampled_from([0, 0, 0, 1])),
    max_size=6,
    unique_by=lambda tally: tally.start_ms,
)
_RULES = st.builds(rules_for, st.sampled_from(get_args(RuleSet)), st.sampled_from(get_args(EarlyRecovery)))
_STATUSES: st.SearchStrategy[WebhookStatus] = st.sampled_from(["verified", "unstable"])


@settings(max_examples=25)
@given(_TALLIES, _RULES, _STATUSES, st.integers(0, 25 * 60))
def test_nothing_happens_before_the_next_time(
    tallies: list[Tally], rules: Sequence[Rule], status: WebhookStatus, age_minutes: int
) -> None:
    """Looked at every minute for 26 hours, a case without attempts changes at the announced time and not earlier."""
    known = case(status, *tallies, since_ms=NOW - age_minutes * MINUTE)
    outlook = judge(known, rules, NOW)
    if outlook.becomes is not None:
        assert (outlook.next_ms, outlook.then) == (None, None)
        return
    times = [NOW + minute * MINUTE for minute in range(1, 27 * 60)]
    first = next((at for at in times if judge(known, rules, at).becomes), None)
    if first is None:
        assert outlook.next_ms is None
    else:
        assert outlook.next_ms is not None and first - MINUTE < outlook.next_ms <= first
        assert judge(known, rules, outlook.next_ms).becomes is not None and outlook.then is not None
        assert judge(known, rules, outlook.next_ms - 1).becomes is None


def test_every_condition_of_a_window_uses_that_window() -> None:
    """What is just outside 30 minutes counts for the day alone."""
    outlook = judge(case("verified", Tally(NOW - HALF_HOUR_MS - 1, 0, 4), ago(30, failed=3)), V3, NOW)
    assert (outlook.day, outlook.half_hour) == (Figures(7, 7), Figures(3, 3))


def test_no_rule_leads_out_of_a_disabled_registration() -> None:
    """Only a changed registration does, and only what is watched becomes anything."""
    for rules in RULES.values():
        assert {rule.status for rule in rules} == {"verified", "unstable"}
        assert all(rule.becomes != rule.status for rule in rules)


def test_the_sentence() -> None:
    """Figures first, then what comes and when."""
    known = case("unstable", ago(5, failed=18), ago(90, ok=3))
    assert tell("unstable", judge(known, V3, NOW), "14:05") == (
        "18 of 21 attempts failed in 24 h; next evaluation 14:05: becomes hook_unreachable unless attempts change that"
    )
    assert tell("verified", judge(case("verified", ago(5, failed=10)), V3, NOW), "") == (
        "10 of 10 attempts failed in 24 h; becomes unstable now"
    )
    assert tell("verified", judge(case("verified"), V3, NOW), "") == (
        "0 of 0 attempts failed in 24 h; stays verified while nothing is attempted"
    )
