"""An activity of a test: drafted, approved, live, perhaps paused and live again, ended. Each state follows another."""

from __future__ import annotations

from itertools import pairwise
from random import Random

from eventmill.simulate.moment import ACTIVITY_STATE_CHANGE, Moment, Story, wait_s

_NAMES = ("Spring banner", "Checkout button", "Search ranking", "Hero image", "Free delivery hint", "Price layout")
_PATHS = (
    ("draft", "approved", "live", "ended"),
    ("draft", "approved", "live", "paused", "live", "ended"),
    ("draft", "approved", "draft", "approved", "live", "ended"),
    ("draft", "archived"),
)
_FIRST_ID = 318


def tell_activity(dice: Random, number: int) -> Story:
    name = f"{dice.choice(_NAMES)} {chr(ord('A') + dice.randrange(4))}"
    path = dice.choice(_PATHS)
    for at, (previous, new) in enumerate(pairwise(path)):
        body = {
            "activityId": _FIRST_ID + number,
            "activityName": name,
            "previousState": previous,
            "newState": new,
        }
        yield Moment(0 if at == 0 else 20 + wait_s(dice, 600), ACTIVITY_STATE_CHANGE, body)
