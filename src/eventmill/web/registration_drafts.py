"""From a form to a registration that can be stored: what it names is looked up, its webhook asked, its lane switched.

A webhook is challenged before anything is stored, so nobody ever sees a registration whose status is not known yet.
Document and lane change in one write. Whether a lane pushes follows from the document: a registration that is enabled
and has a webhook does, any other has an open gap (`DisableLane`), which ends at the head when it starts to push. So a
journal that becomes a webhook, or a registration that is enabled again, is sent new events only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import msgspec

from eventmill.errors import Conflict, GatewayError, LimitReached, Reason, StoreUnavailable
from eventmill.flow.probe import ChallengeResult
from eventmill.flow.targets import delivers
from eventmill.model import EventBridgeDestination, Lane, Registration, Workspace
from eventmill.store.base import ControlOp, DisableLane, EnableLane, Key
from eventmill.web.checks import show
from eventmill.web.forms import RegistrationCreate, RegistrationUpdate, check_registration
from eventmill.web.interests import find_interests
from eventmill.web.parts import Parts


def check_form(parts: Parts, form: RegistrationUpdate) -> None:
    check_registration(form, http_allowed=parts.config.webhook_allow_http or parts.config.dev)


async def new_draft(parts: Parts, workspace: Workspace, form: RegistrationCreate) -> Registration:
    """The registration as asked for, before its status, its lane and its times are known."""
    blank = Registration(
        id=Lane(0),
        registration_id=parts.ids.uuid(),
        org=workspace.org,
        project_id=workspace.project_id,
        workspace_id=workspace.id,
        client_id=form.client_id,
        name="",
        description="",
        events_of_interest=(),
        delivery_type=form.type,
        webhook_url=None,
        enabled=True,
        webhook_status="verified",
        created_ms=0,
        updated_ms=0,
    )
    return await redraft(parts, blank, form)


async def redraft(parts: Parts, known: Registration, form: RegistrationUpdate) -> Registration:
    """`known` as the form wants it. Raises `UNKNOWN_EVENT`, and `CONFLICT` when its name is taken."""
    draft = msgspec.structs.replace(
        known,
        name=form.name,
        description=form.description or "",
        events_of_interest=await find_interests(parts, known.org, form.events_of_interest),
        delivery_type=form.type,
        webhook_url=form.hook,
        runtime_action=form.action,
        retry_url=None if form.hook else known.webhook_url or known.retry_url,
        destination_metadata=_destination(form),
        enabled=form.enabled is not False,
    )
    await _refuse_taken_name(parts, draft)
    return draft


def _destination(form: RegistrationUpdate) -> EventBridgeDestination | None:
    given = form.destination_metadata
    if form.type != "aws_eventbridge" or given is None:
        return None
    return EventBridgeDestination(given.aws_region or "", given.aws_account_id or "")


def update_document(registration: Registration) -> dict[str, Any]:
    """The update model of a registration, null where there is none: what a JSON Patch changes."""
    document: dict[str, Any] = {name: getattr(registration, name, None) for name in _PATCHED}
    interests = registration.events_of_interest
    return document | {
        "events_of_interest": [{"event_code": each.event_code, "provider_id": each.provider_id} for each in interests],
        "destination_metadata": msgspec.to_builtins(registration.destination_metadata),
        "subscriber_filters": [],
    }


_PATCHED = RegistrationUpdate.__struct_fields__


async def _refuse_taken_name(parts: Parts, registration: Registration) -> None:
    """Before somebody's webhook is called for nothing; the store decides again."""
    holders = await parts.store.list_docs("registration", registration.org, _name_key(registration))
    for holder in holders:
        if holder.id != registration.registration_id:
            raise _name_taken(registration, holder.id)


def _name_key(registration: Registration) -> tuple[str, str]:
    return "name", f"{registration.workspace_id}/{registration.name}"


def _name_taken(registration: Registration, holder_id: str) -> Conflict:
    message = f"a registration named {show(registration.name)} exists in workspace {registration.workspace_id}"
    return Conflict(message, holder_id)


async def ask(parts: Parts, draft: Registration) -> ChallengeResult | None:
    """The challenge. None when nobody is asked: not every type has a webhook, and disabling needs no answer."""
    if draft.webhook_url is None or not draft.enabled:
        return None
    return await parts.challenge(draft.webhook_url, draft.registration_id, draft.client_id)


def settled(draft: Registration, challenge: ChallengeResult | None) -> Registration:
    """The draft with its status. Disabling a webhook by hand leaves its status as it was."""
    if challenge is not None:
        status, enabled = ("verified", True) if challenge.passed else ("verification_failed", False)
        return msgspec.structs.replace(draft, webhook_status=status, enabled=enabled)
    if draft.webhook_url is not None:
        return draft
    # An event bus is verified once its owner has associated it.
    status = "accepted" if draft.delivery_type == "aws_eventbridge" else "verified"
    return msgspec.structs.replace(draft, webhook_status=status)


def lane_op(registration: Registration) -> EnableLane | DisableLane:
    """Both have no effect on a lane that is in that state already."""
    if delivers(registration):
        return EnableLane(registration.id, registration.updated_ms)
    return DisableLane(registration.id, _pause_cause(registration), registration.updated_ms)


def _pause_cause(registration: Registration) -> str:
    if registration.runtime_action is not None:
        return "runtime_action"
    if registration.webhook_url is None:
        return registration.delivery_type
    return "disabled" if registration.webhook_status == "verified" else registration.webhook_status


def keys(parts: Parts, registration: Registration, *, counted: bool) -> tuple[Key, ...]:
    """`counted`: the quotas bind who creates, not who changes what exists."""
    name, value = _name_key(registration)
    return (
        Key("workspace", registration.workspace_id),
        Key(name, value, at_most=1),
        Key("client", registration.client_id, parts.config.registrations_per_client if counted else 0),
        Key("org", registration.org, parts.config.registrations_per_org if counted else 0),
    )


async def write(
    parts: Parts, registration: Registration, ops: Sequence[ControlOp], challenge: ChallengeResult | None
) -> None:
    try:
        await parts.store.write(ops)
    except Conflict as conflict:
        # A quota of 1 is a unique key to the store, so it speaks of a conflict too.
        holders = await parts.store.list_docs("registration", registration.org, _name_key(registration))
        if any(holder.id == conflict.conflicting_id for holder in holders):
            raise _name_taken(registration, conflict.conflicting_id or "") from None
        raise GatewayError(Reason.QUOTA_REACHED, _quota_message(parts, registration)) from None
    except LimitReached:
        raise GatewayError(Reason.QUOTA_REACHED, _quota_message(parts, registration)) from None
    finally:
        await parts.catalogue.refresh()
    if challenge is not None and challenge.traces:
        # The registration is stored: that its traces are not must not look like a failure.
        with contextlib.suppress(StoreUnavailable):
            await parts.store.add_traces(registration.id, challenge.traces)


def _quota_message(parts: Parts, registration: Registration) -> str:
    config = parts.config
    return (
        f"the limit of registrations is reached: {config.registrations_per_client or 'any number'} for client id "
        f"{registration.client_id}, {config.registrations_per_org or 'any number'} for organization {registration.org}"
    )
