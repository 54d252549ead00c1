"""When a failing webhook becomes unstable and is then disabled, and when it has recovered: tables of rules over counts.

"Retry Doc" of Adobe I/O Events; `v3` is its current text, `v1` the one of 2024 to 2026. What is counted are attempts,
each retry being one, and a batch one; challenges are none. Pure: it neither counts nor stores; attempts come as buckets
of a few minutes, those since the registration last became `verified`, so the figures end up to a bucket early.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from itertools import accumulate
from types import MappingProxyType
from typing import Literal

import msgspec

from eventmill.model import WebhookStatus

RuleSet = Literal["v3", "v1"]
EarlyRecovery = Literal["next_success", "window", "off"]

DAY_MS = 86_400_000
HALF_HOUR_MS = 1_800_000
ATTEMPTS_MIN = 10
"""Fewer in a window say nothing about a webhook, however they end."""
SUCCESSES_MIN_PERCENT = 20
"""Exactly so many are enough."""


class Tally(msgspec.Struct, frozen=True):
    """A bucket of attempts."""

    start_ms: int
    """Business time; none of its attempts began earlier, but for successes that were under way."""
    ok: int
    failed: int
    gave_up: int = 0
    """Events, or batches, whose retries ran out."""


class Condition(Enum):
    """The text completes "when ..."."""

    DAY_FAILING = "the last 24 hours are failing"
    DAY_NOT_FAILING = "the last 24 hours are not failing"
    HALF_HOUR_FAILING = "the last 30 minutes are failing"
    SUCCESS = "a delivery succeeds"
    SUCCESS_AND_HALF_HOUR_NOT_FAILING = "a delivery succeeds, and the last 30 minutes are not failing"
    GAVE_UP = "the retries of an event run out"


class Rule(msgspec.Struct, frozen=True):
    status: WebhookStatus
    condition: Condition
    becomes: WebhookStatus
    after_ms: int = 0
    """Not before the status is this old."""


RULES: Mapping[RuleSet, tuple[Rule, ...]] = MappingProxyType(
    {
        "v3": (
            Rule("verified", Condition.DAY_FAILING, "unstable"),
            Rule("unstable", Condition.DAY_FAILING, "hook_unreachable", DAY_MS),
            Rule("unstable", Condition.DAY_NOT_FAILING, "verified", DAY_MS),
        ),
        "v1": (
            Rule("unstable", Condition.SUCCESS, "verified"),
            Rule("verified", Condition.GAVE_UP, "hook_unreachable"),
            Rule("unstable", Condition.GAVE_UP, "hook_unreachable"),
            Rule("verified", Condition.DAY_FAILING, "hook_unreachable"),
            Rule("unstable", Condition.DAY_FAILING, "hook_unreachable"),
            Rule("verified", Condition.HALF_HOUR_FAILING, "unstable"),
        ),
    }
)
"""The first that applies counts. A status without rules stays until somebody changes the registration."""

EARLY_RECOVERY: Mapping[EarlyRecovery, tuple[Rule, ...]] = MappingProxyType(
    {
        "next_success": (Rule("unstable", Condition.SUCCESS, "verified"),),
        "window": (Rule("unstable", Condition.SUCCESS_AND_HALF_HOUR_NOT_FAILING, "verified"),),
        "off": (),
    }
)
"""Come before the rules of `v3`; those of `v1` have a recovery of their own."""

WATCHED = frozenset(rule.status for rules in RULES.values() for rule in rules)
"""Statuses that attempts and time can change."""


def rules_for(rule_set: RuleSet, early_recovery: EarlyRecovery) -> tuple[Rule, ...]:
    return (*EARLY_RECOVERY[early_recovery], *RULES["v3"]) if rule_set == "v3" else RULES[rule_set]


class Figures(msgspec.Struct, frozen=True):
    """Attempts of a window."""

    attempts: int
    failed: int

    @property
    def is_failing(self) -> bool:
        successes = self.attempts - self.failed
        return self.attempts >= ATTEMPTS_MIN and 100 * successes < SUCCESSES_MIN_PERCENT * self.attempts


class Case(msgspec.Struct, frozen=True):
    """What the rules look at."""

    status: WebhookStatus
    since_ms: int
    """When it took this status; a bucket began then."""
    tallies: Sequence[Tally]
    """Oldest first: at least those of the last 24 hours."""


class Outlook(msgspec.Struct, frozen=True):
    """Where a registration stands, and what time alone will make of it."""

    day: Figures
    half_hour: Figures
    becomes: WebhookStatus | None
    """At once, by the first rule that applies."""
    next_ms: int | None
    """Without further attempts, the first rule to apply will do so then; None when none ever will, or one does now."""
    then: WebhookStatus | None
    """What it makes of it. Where its age is the reason: should the last 24 hours then be like those until now."""


def judge(case: Case, rules: Sequence[Rule], now_ms: int) -> Outlook:
    """Where the case stands at `now_ms`. The next time is later than now."""
    sums = _Sums(case.tallies)
    day, half_hour = sums.since(now_ms - DAY_MS), sums.since(now_ms - HALF_HOUR_MS)
    own = [rule for rule in rules if rule.status == case.status]
    becomes = _becomes(case, own, sums, now_ms, now_ms - case.since_ms)
    if becomes is None:
        for at_ms in sorted(_turns(case, own, sums, now_ms)):
            then = _becomes(case, own, sums, at_ms, at_ms - case.since_ms)
            if then is not None:
                like_now = _becomes(case, own, sums, now_ms, at_ms - case.since_ms)
                return Outlook(day, half_hour, None, at_ms, like_now or then)
    return Outlook(day, half_hour, becomes, None, None)


def _becomes(case: Case, own: Sequence[Rule], sums: _Sums, at_ms: int, age_ms: int) -> WebhookStatus | None:
    for rule in own:
        if age_ms >= rule.after_ms and _holds(rule.condition, case, sums, at_ms):
            return rule.becomes
    return None


def _holds(condition: Condition, case: Case, sums: _Sums, at_ms: int) -> bool:
    match condition:
        case Condition.DAY_FAILING:
            return sums.since(at_ms - DAY_MS).is_failing
        case Condition.DAY_NOT_FAILING:
            return not sums.since(at_ms - DAY_MS).is_failing
        case Condition.HALF_HOUR_FAILING:
            return sums.since(at_ms - HALF_HOUR_MS).is_failing
        case Condition.SUCCESS:
            return sums.has_success(case.since_ms)
        case Condition.SUCCESS_AND_HALF_HOUR_NOT_FAILING:
            return sums.has_success(case.since_ms) and not sums.since(at_ms - HALF_HOUR_MS).is_failing
        case Condition.GAVE_UP:
            return any(tally.gave_up for tally in case.tallies)


def _turns(case: Case, own: Sequence[Rule], sums: _Sums, now_ms: int) -> Iterator[int]:
    """Times after now at which a rule may begin to apply by time alone: its age, and buckets leaving a window."""
    for rule in own:
        if case.since_ms + rule.after_ms > now_ms:
            yield case.since_ms + rule.after_ms
    if sums.may_fail():
        for start_ms in sums.starts:
            for window_ms in (HALF_HOUR_MS, DAY_MS):
                if start_ms + window_ms >= now_ms:
                    yield start_ms + window_ms + 1


class _Sums:
    """Sums over the newest buckets, each in one look-up."""

    def __init__(self, tallies: Sequence[Tally]) -> None:
        self.starts = [tally.start_ms for tally in tallies]
        self._ok = [0, *accumulate(tally.ok for tally in tallies)]
        self._failed = [0, *accumulate(tally.failed for tally in tallies)]

    def since(self, start_ms: int) -> Figures:
        """Of the buckets that begin then or later: nothing older is ever counted."""
        at = bisect_left(self.starts, start_ms)
        failed = self._failed[-1] - self._failed[at]
        return Figures(failed + self._ok[-1] - self._ok[at], failed)

    def has_success(self, start_ms: int) -> bool:
        return self._ok[-1] > self._ok[bisect_left(self.starts, start_ms)]

    def may_fail(self) -> bool:
        """Whether any window could be failing."""
        return 100 * self._failed[-1] > (100 - SUCCESSES_MIN_PERCENT) * ATTEMPTS_MIN


def tell(status: WebhookStatus, outlook: Outlook, next_evaluation: str) -> str:
    """The outlook of a watched registration in one sentence; `next_evaluation` is `next_ms` as text."""
    day = outlook.day
    figures = f"{day.failed} of {day.attempts} attempts failed in 24 h"
    if outlook.becomes is not None:
        return f"{figures}; becomes {outlook.becomes} now"
    if outlook.then is None:
        return f"{figures}; stays {status} while nothing is attempted"
    return f"{figures}; next evaluation {next_evaluation}: becomes {outlook.then} unless attempts change that"
