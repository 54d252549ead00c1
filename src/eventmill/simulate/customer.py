"""A customer: a profile is created, goes through a journey, gets its mail on the way, and has changed in the end."""

from __future__ import annotations

from random import Random

from eventmill.simulate.journey import JOURNEYS, MAIL_STEP, Walk, draw_step_end, step_time_s
from eventmill.simulate.mail import tell_mail
from eventmill.simulate.moment import PROFILE_UPDATE, Moment, Story, wait_s
from eventmill.simulate.person import Person, make_person


def tell_customer(dice: Random, number: int) -> Story:
    person = make_person(dice, number)
    journey = dice.choice(JOURNEYS)
    walk = Walk(journey, person.profile_id)
    yield _profile(0, person, "created")
    for at, step in enumerate(journey.steps):
        yield walk.enter(1 + wait_s(dice, 3), step)
        end = draw_step_end(dice)
        if at == MAIL_STEP and end == "completed":
            yield from tell_mail(dice, journey.mailing, person.email)
        yield walk.leave(step_time_s(dice, end), step, end)
        if end != "completed":
            return
    yield _profile(1 + wait_s(dice, 5), person, "updated")


def _profile(after_s: float, person: Person, change: str) -> Moment:
    return Moment(after_s, PROFILE_UPDATE, {"identityMap": person.identity_map(), "changeType": change})
