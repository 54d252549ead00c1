"""From a form to a registration that can be stored: what it names is looked up, its webhook asked.

A webhook is challenged before anything is stored. One that answered, but not as it should, is offered a link to
validate later. That is stored first: the webhook may open the link before it has even answered the offer, and after a
crash in between the link is good, or expires. `flow.registration_change` switches the lane.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from eventmill.errors import Conflict, GatewayError, LimitReached, Reason, StoreUnavailable
from eventmill.flow.probe import ChallengeResult
from eventmill.flow.registration_change import name_key
from eventmill.model import EventBridgeDestination, Lane, Registration, Validation, WebhookStatus, Workspace
from eventmill.store.control import ControlOp
from eventmill.web.certificates import read_ca_bundle
from eventmill.web.checks import invalid, show
from eventmill.web.filter_drafts import check_filterable, draft_filters, filter_documents
from eventmill.web.forms import RegistrationCreate, RegistrationUpdate, check_registration
from eventmill.web.interests import find_interests
from eventmill.web.parts import Parts

_PROXY_RETRY_S = 30


def check_form(parts: Parts, form: RegistrationUpdate) -> None:
    check_registration(form, http_allowed=parts.config.webhook_allow_http or parts.config.dev)
    most = parts.config.lane_in_flight_max
    if form.max_in_flight is not None and form.max_in_flight > most:
        raise invalid("max_in_flight", f"must be at most {most} here, but is {form.max_in_flight}")


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
        events_of_interest=await find_interests(parts, known.org, form.events_of_interest, known.events_of_interest),
        delivery_type=form.type,
        webhook_url=form.hook,
        ca_bundle=read_ca_bundle("ca_bundle", form.bundle) if form.bundle else None,
        max_in_flight=form.max_in_flight,
        events_per_second=form.events_per_second,
        runtime_action=form.action,
        destination_metadata=_destination(form),
        subscriber_filters=draft_filters(parts, known, form.subscriber_filters),
        **_retry_targets(known, form),
        enabled=form.enabled is not False,
    )
    check_filterable(parts, draft)
    await _refuse_taken_name(parts, draft)
    return msgspec.structs.replace(draft, webhook_status=_bus_status(parts, known, draft))


def _retry_targets(known: Registration, form: RegistrationUpdate) -> dict[str, Any]:
    """Scheduled retries go where the registration delivers; a journal's to where it delivered last."""
    if form.type != "journal":
        return {"retry_url": None, "retry_ca_bundle": None, "retry_action": None, "retry_destination": None}
    if known.delivery_type == "journal":
        return {}
    return {
        "retry_url": known.webhook_url,
        "retry_ca_bundle": known.ca_bundle,
        "retry_action": known.runtime_action,
        "retry_destination": known.destination_metadata,
    }


def _bus_status(parts: Parts, known: Registration, draft: Registration) -> WebhookStatus:
    """A partner event source is verified once its owner has associated it; a custom bus needs no association. Any other
    type keeps its status until it is settled."""
    mode, bus = parts.config.eventbridge_mode, draft.destination_metadata
    if bus is None:
        return known.webhook_status
    was_associated = bus == known.destination_metadata and known.webhook_status in ("verified", "unstable")
    return "verified" if mode == "custom" or (mode == "partner" and was_associated) else "accepted"


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
        "subscriber_filters": filter_documents(registration),
    }


_PATCHED = RegistrationUpdate.__struct_fields__


async def _refuse_taken_name(parts: Parts, registration: Registration) -> None:
    """Before somebody's webhook is called for nothing; the store decides again."""
    holders = await parts.store.list_docs("registration", registration.org, name_key(registration))
    for holder in holders:
        if holder.id != registration.registration_id:
            raise _name_taken(registration, holder.id)


def _name_taken(registration: Registration, holder_id: str) -> Conflict:
    message = f"a registration named {show(registration.name)} exists in workspace {registration.workspace_id}"
    return Conflict(message, holder_id)


async def ask(parts: Parts, draft: Registration) -> ChallengeResult | None:
    """The challenge. None when nobody is asked: not every type has a webhook, and disabling needs no answer.

    Raises `EGRESS_PROXY_FAILED` when it never got as far as the webhook: that is no reason to disable anything."""
    if draft.webhook_url is None or not draft.enabled:
        return None
    bundle = draft.ca_bundle or ""
    challenge = await parts.challenge(draft.webhook_url, draft.registration_id, draft.client_id, bundle)
    if not challenge.blames_endpoint:
        raise GatewayError(Reason.EGRESS_PROXY_FAILED, challenge.explanation, retry_after_s=_PROXY_RETRY_S)
    return challenge


def settled(draft: Registration, challenge: ChallengeResult | None, begin: Callable[[], Validation]) -> Registration:
    """The draft with its status. Disabling a webhook by hand leaves its status as it was, unless that was open.

    `begin` is called for a validation when the webhook is to be offered one."""
    draft = msgspec.structs.replace(draft, validation=None)
    if challenge is not None and challenge.answered and not challenge.passed:
        return msgspec.structs.replace(draft, webhook_status="accepted", enabled=True, validation=begin())
    if challenge is not None:
        status, enabled = ("verified", True) if challenge.passed else ("verification_failed", False)
        return msgspec.structs.replace(draft, webhook_status=status, enabled=enabled)
    if draft.webhook_url is not None:
        was_open = draft.webhook_status == "accepted"
        return msgspec.structs.replace(draft, webhook_status="verification_failed") if was_open else draft
    if draft.destination_metadata is not None:
        return draft
    return msgspec.structs.replace(draft, webhook_status="verified")


async def write(
    parts: Parts, registration: Registration, ops: Sequence[ControlOp], challenge: ChallengeResult | None
) -> None:
    try:
        await parts.store.write(ops)
    except Conflict as conflict:
        # A quota of 1 is a unique key to the store, so it speaks of a conflict too.
        holders = await parts.store.list_docs("registration", registration.org, name_key(registration))
        if any(holder.id == conflict.conflicting_id for holder in holders):
            raise _name_taken(registration, conflict.conflicting_id or "") from None
        raise GatewayError(Reason.QUOTA_REACHED, _quota_message(parts, registration)) from None
    except LimitReached:
        raise GatewayError(Reason.QUOTA_REACHED, _quota_message(parts, registration)) from None
    finally:
        await parts.catalogue.refresh()
    if challenge is not None:
        await _add_traces(parts, registration, challenge)


async def offer_validation(parts: Parts, registration: Registration, secret: str) -> ChallengeResult | None:
    """Offer the webhook the link that the stored registration waits for; refused, the registration has failed. None:
    it waits for none."""
    if registration.webhook_url is None or registration.validation is None:
        return None
    url, client_id, ca_bundle = registration.webhook_url, registration.client_id, registration.ca_bundle or ""
    offer = await parts.offer(url, registration.registration_id, client_id, secret, ca_bundle)
    if not offer.passed:
        await parts.validations.refuse(registration.org, registration.registration_id, secret)
    await _add_traces(parts, registration, offer)
    return offer


async def _add_traces(parts: Parts, registration: Registration, challenge: ChallengeResult) -> None:
    """The registration is stored: that its traces are not must not look like a failure."""
    if challenge.traces:
        with contextlib.suppress(StoreUnavailable):
            await parts.store.add_traces(registration.id, challenge.traces)


def _quota_message(parts: Parts, registration: Registration) -> str:
    config = parts.config
    return (
        f"the limit of registrations is reached: {config.registrations_per_client or 'any number'} for client id "
        f"{registration.client_id}, {config.registrations_per_org or 'any number'} for organization {registration.org}"
    )
