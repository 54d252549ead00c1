"""The journeys there are, and how one profile goes through a step: entered, then completed, timed out or in error."""

from __future__ import annotations

from random import Random
from typing import Literal

import msgspec

from eventmill.simulate.moment import JOURNEY_STEP, Moment, wait_s

StepEnd = Literal["completed", "timedOut", "error"]

_TIMES_OUT = 0.1
_FAILS = 0.03


class Journey(msgspec.Struct, frozen=True):
    id: str
    version: int
    mailing: str
    """Delivery id of the mail that its second step sends."""
    steps: tuple[str, ...]


JOURNEYS = (
    Journey("jrn-welcome", 3, "dm-9001", ("step-signup", "step-welcome-mail", "step-first-order", "step-thank-you")),
    Journey("jrn-cart", 7, "dm-9014", ("step-cart-left", "step-reminder-mail", "step-checkout")),
    Journey("jrn-loyalty", 2, "dm-9022", ("step-points", "step-offer-mail", "step-redeem", "step-next-tier")),
)
MAIL_STEP = 1
"""Where in a journey its mail is sent."""


class Walk(msgspec.Struct, frozen=True):
    """One profile on one journey."""

    journey: Journey
    profile_id: str

    def enter(self, after_s: float, step: str) -> Moment:
        return self._moment(after_s, step, "entered")

    def leave(self, after_s: float, step: str, end: StepEnd) -> Moment:
        return self._moment(after_s, step, end)

    def _moment(self, after_s: float, step: str, status: str) -> Moment:
        body = {
            "journeyId": self.journey.id,
            "journeyVersionId": f"{self.journey.id}-v{self.journey.version}",
            "stepId": step,
            "profileId": self.profile_id,
            "stepStatus": status,
        }
        return Moment(after_s, JOURNEY_STEP, body)


def draw_step_end(dice: Random) -> StepEnd:
    drawn = dice.random()
    if drawn < _FAILS:
        return "error"
    return "timedOut" if drawn < _FAILS + _TIMES_OUT else "completed"


def step_time_s(dice: Random, end: StepEnd) -> float:
    """How long the profile stays in the step; a time-out takes its full half hour."""
    return 1800.0 if end == "timedOut" else 2 + wait_s(dice, 45)
