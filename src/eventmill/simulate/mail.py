"""A mail to one person: sent, then bounced or delivered, then perhaps opened, then perhaps clicked."""

from __future__ import annotations

from random import Random

from eventmill.simulate.moment import DELIVERY_STATUS, Moment, Story, wait_s

_BOUNCES = 0.08
_OPENS = 0.65
_CLICKS = 0.5


def tell_mail(dice: Random, delivery_id: str, email: str) -> Story:
    def status(after_s: float, name: str) -> Moment:
        body = {"deliveryId": delivery_id, "recipientEmail": email, "status": name}
        return Moment(after_s, DELIVERY_STATUS, body)

    yield status(1 + wait_s(dice, 2), "sent")
    if dice.random() < _BOUNCES:
        yield status(1 + wait_s(dice, 4), "bounced")
        return
    yield status(1 + wait_s(dice, 3), "delivered")
    if dice.random() < _OPENS:
        yield status(5 + wait_s(dice, 240), "opened")
        if dice.random() < _CLICKS:
            yield status(2 + wait_s(dice, 30), "clicked")
