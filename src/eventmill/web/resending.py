"""Sends a registration one event again, or those of one attempt. Additions of ours."""

from __future__ import annotations

from eventmill.errors import GatewayError, Reason
from eventmill.flow.replays import Resent
from eventmill.flow.traces import attempt_positions
from eventmill.ids import uuid_bytes, uuid_text
from eventmill.model import Caller
from eventmill.web.checks import show
from eventmill.web.http import Reply, Request, json_reply
from eventmill.web.parts import Parts
from eventmill.web.paths import not_found
from eventmill.web.recovery_bodies import ResentAttempt, ResentEvent
from eventmill.web.registration_reads import workspace_registration


async def resend_event(parts: Parts, request: Request, caller: Caller) -> Reply:
    """POST …/events/{event}/resend"""
    registration = await workspace_registration(parts, request, caller)
    event_id = uuid_bytes(request.params["event"])
    if event_id is None:
        raise not_found(f"event {show(request.params['event'])}", f"registration {registration.registration_id}")
    return json_reply(202, _resent(event_id, await parts.replays.resend(registration, event_id)))


async def resend_attempt(parts: Parts, request: Request, caller: Caller) -> Reply:
    """POST …/attempts/{attempt}/resend"""
    registration = await workspace_registration(parts, request, caller)
    attempt = request.params["attempt"]
    positions = attempt_positions(await parts.store.traces(registration.id), attempt)
    if positions is None:
        raise not_found(f"attempt {show(attempt)}", f"the traces of registration {registration.registration_id}")
    if not positions:
        message = f"attempt {attempt} was a challenge and held no event; POST .../challenge asks the webhook again"
        raise GatewayError(Reason.NOT_FOUND, message)
    events = await parts.store.fetch(await parts.store.shard(registration.org), sorted(positions))
    if not events:
        raise not_found(f"what attempt {attempt} delivered is kept no longer: its event")
    items = [_resent(each.event_id, await parts.replays.resend(registration, each.event_id)) for each in events]
    return json_reply(202, ResentAttempt(attempt, items))


_RESENT = {
    "scheduled": "is sent once more, now",
    "hastened": "was waiting for a retry, which is made now",
    "under_way": "is being sent at this moment; nothing was changed",
}


def _resent(event_id: bytes, resent: Resent) -> ResentEvent:
    text = uuid_text(event_id)
    return ResentEvent(text, resent.outcome, resent.replay_id, f"event {text} {_RESENT[resent.outcome]}")
