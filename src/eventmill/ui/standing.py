"""What a registration's status comes to for people: one word to filter by, a colour, a few words."""

from __future__ import annotations

from typing import NamedTuple

from eventmill.model import Registration


class Standing(NamedTuple):
    key: str
    tone: str
    """A class: ok, warn, bad, quiet."""
    words: str


ACTIVE = Standing("active", "ok", "active")
JOURNAL = Standing("journal", "ok", "journal only")
WAITING = Standing("waiting", "warn", "waits for validation")
UNSTABLE = Standing("unstable", "warn", "unstable")
UNREACHABLE = Standing("unreachable", "bad", "disabled: unreachable")
UNVERIFIED = Standing("unverified", "bad", "disabled: challenge failed")
OFF = Standing("off", "quiet", "switched off")

STANDINGS = (ACTIVE, JOURNAL, WAITING, UNSTABLE, UNREACHABLE, UNVERIFIED, OFF)


def standing_of(registration: Registration) -> Standing:
    """A webhook that the gateway disabled says so, though it counts as switched off as well."""
    if registration.webhook_status == "hook_unreachable":
        return UNREACHABLE
    if registration.webhook_status == "verification_failed":
        return UNVERIFIED
    if not registration.enabled:
        return OFF
    if registration.delivery_type == "journal":
        return JOURNAL
    return {"accepted": WAITING, "unstable": UNSTABLE}.get(registration.webhook_status, ACTIVE)
