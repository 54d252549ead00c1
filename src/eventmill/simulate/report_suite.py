"""A colleague at work on the settings of a report suite: one to three changes in a row, by the same hand."""

from __future__ import annotations

from random import Random

from eventmill.simulate.moment import REPORT_SUITE_CHANGE, Moment, Story, wait_s
from eventmill.simulate.person import COLLEAGUES

_REPORT_SUITES = ("acmeprod", "acmeapp", "acmestage")
_CHANGES = ("processing_rules", "evar_enabled", "event_enabled", "classification", "time_zone", "ip_exclusion")


def tell_report_suite(dice: Random, _number: int) -> Story:
    report_suite, colleague = dice.choice(_REPORT_SUITES), dice.choice(COLLEAGUES)
    for at, change in enumerate(dice.sample(_CHANGES, dice.randint(1, 3))):
        body = {"rsid": report_suite, "changeType": change, "changedBy": colleague}
        yield Moment(0 if at == 0 else 15 + wait_s(dice, 90), REPORT_SUITE_CHANGE, body)
