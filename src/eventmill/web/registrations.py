"""Writing event registrations: create, replace, delete ("Registration API").

A webhook is challenged before anything is stored, so nobody ever sees a registration whose status is not known yet.
Document and lane change in one write. Whether a lane pushes follows from the document: a registration that is enabled
and no journal does, any other has an open gap (`DisableLane`), which ends at the head when it starts to push. So a
journal that becomes a webhook, or a registration that is enabled again, is sent new events only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import msgspec

from eventmill.errors import Conflict, GatewayError, LimitReached, Reason, StaleVersion, StoreUnavailable
from eventmill.flow.probe import ChallengeResult
from eventmill.flow.targets import Target, delivers
from eventmill.model import Caller, Lane, Registration, Workspace
from eventmill.store.base import (
    CloseLane,
    ControlOp,
    Create,
    Delete,
    DisableLane,
    EnableLane,
    Key,
    OpenLane,
    Replace,
)
from eventmill.web.checks import invalid, show
from eventmill.web.forms import (
    RegistrationCreate,
    RegistrationUpdate,
    read_registration_create,
    read_registration_update,
)
from eventmill.web.http import NO_CONTENT, Reply, Request
from eventmill.web.interests import find_interests
from eventmill.web.parts import Parts
from eventmill.web.paths import not_found, path_workspace
from eventmill.web.registration_reads import decode_registration, registration_reply, stored_registration


def _http_allowed(parts: Parts) -> bool:
    return parts.config.webhook_allow_http or parts.config.dev


async def create_registration(parts: Parts, request: Request, caller: Caller) -> Reply:
    workspace = path_workspace(parts, request, caller)
    body = await request.body(parts.config.request_bytes_max)
    form = read_registration_create(body, http_allowed=_http_allowed(parts))
    _check_client(parts, workspace, form.client_id)
    draft = await _draft(parts, workspace, form)
    challenge = await _challenge(parts, draft)
    if challenge is not None and not challenge.passed and parts.config.strict_challenge:
        raise GatewayError(Reason.CHALLENGE_FAILED, f"webhook_url: {challenge.explanation}")
    now_ms = parts.clock.now_ms()
    lane = Lane(await parts.store.allocate("lane"))
    registration = msgspec.structs.replace(_settled(draft, challenge), id=lane, created_ms=now_ms, updated_ms=now_ms)
    ops: list[ControlOp] = [
        Create(
            "registration",
            registration.org,
            registration.registration_id,
            msgspec.json.encode(registration),
            _keys(parts, registration, counted=True),
        ),
        OpenLane(lane, registration.org, registration.registration_id),
    ]
    if not delivers(registration):
        ops.append(DisableLane(lane, _pause_cause(registration), now_ms))
    await _write(parts, registration, ops, challenge)
    return registration_reply(parts, 201, registration)


def _check_client(parts: Parts, workspace: Workspace, client_id: str) -> None:
    credential = parts.catalogue.credential_by_client(client_id)
    if credential is None and parts.config.lenient:
        return
    if credential is None or (credential.org, credential.workspace_id) != (workspace.org, workspace.id):
        raise invalid("client_id", f"{client_id} is not a credential of workspace {workspace.id}")


async def _draft(parts: Parts, workspace: Workspace, form: RegistrationCreate) -> Registration:
    """The registration as asked for, before its status, its lane and its times are known."""
    interests = await find_interests(parts, workspace.org, form.events_of_interest)
    draft = Registration(
        id=Lane(0),
        registration_id=parts.ids.uuid(),
        org=workspace.org,
        project_id=workspace.project_id,
        workspace_id=workspace.id,
        client_id=form.client_id,
        name=form.name,
        description=form.description or "",
        events_of_interest=interests,
        delivery_type=form.type,
        webhook_url=form.hook,
        enabled=form.enabled is not False,
        webhook_status="verified",
        created_ms=0,
        updated_ms=0,
    )
    await _refuse_taken_name(parts, draft)
    return draft


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


async def _challenge(parts: Parts, registration: Registration) -> ChallengeResult | None:
    """None when nobody is asked: journals have no webhook, and disabling needs no answer."""
    if registration.webhook_url is None or not registration.enabled:
        return None
    return await parts.challenge(registration.webhook_url, registration.registration_id, registration.client_id)


def _settled(draft: Registration, challenge: ChallengeResult | None) -> Registration:
    """The draft with its status. Disabling by hand leaves the status as it was."""
    if challenge is None:
        return msgspec.structs.replace(draft, webhook_status="verified") if draft.webhook_url is None else draft
    if challenge.passed:
        return msgspec.structs.replace(draft, webhook_status="verified")
    return msgspec.structs.replace(draft, webhook_status="verification_failed", enabled=False)


def _pause_cause(registration: Registration) -> str:
    if registration.delivery_type == "journal":
        return "journal"
    return "disabled" if registration.webhook_status == "verified" else registration.webhook_status


def _keys(parts: Parts, registration: Registration, *, counted: bool) -> tuple[Key, ...]:
    """`counted`: the quotas bind who creates, not who changes what exists."""
    name, value = _name_key(registration)
    return (
        Key("workspace", registration.workspace_id),
        Key(name, value, at_most=1),
        Key("client", registration.client_id, parts.config.registrations_per_client if counted else 0),
        Key("org", registration.org, parts.config.registrations_per_org if counted else 0),
    )


async def _write(
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


async def update_registration(parts: Parts, request: Request, caller: Caller) -> Reply:
    """PUT: a full replacement of everything but the client id."""
    workspace = path_workspace(parts, request, caller)
    body = await request.body(parts.config.request_bytes_max)
    stored = await stored_registration(parts, workspace, request.params["registration"])
    form = read_registration_update(body, http_allowed=_http_allowed(parts))
    draft = await _redraft(parts, decode_registration(stored), form)
    challenge = await _challenge(parts, draft)
    registration = msgspec.structs.replace(_settled(draft, challenge), updated_ms=parts.clock.now_ms())
    doc = msgspec.json.encode(registration)
    keys = _keys(parts, registration, counted=False)
    ops = [
        Replace("registration", registration.org, registration.registration_id, doc, stored.version, keys),
        _lane_op(registration),
    ]
    await _write(parts, registration, ops, challenge)
    return registration_reply(parts, 200, registration)


async def _redraft(parts: Parts, known: Registration, form: RegistrationUpdate) -> Registration:
    draft = msgspec.structs.replace(
        known,
        name=form.name,
        description=form.description or "",
        events_of_interest=await find_interests(parts, known.org, form.events_of_interest),
        delivery_type=form.type,
        webhook_url=form.hook,
        enabled=form.enabled is not False,
    )
    await _refuse_taken_name(parts, draft)
    return draft


def _lane_op(registration: Registration) -> EnableLane | DisableLane:
    """Both have no effect on a lane that is in that state already."""
    if delivers(registration):
        return EnableLane(registration.id, registration.updated_ms)
    return DisableLane(registration.id, _pause_cause(registration), registration.updated_ms)


async def delete_registration(parts: Parts, request: Request, caller: Caller) -> Reply:
    """Its journal is gone at once; retries that are scheduled run on under the tombstone."""
    workspace = path_workspace(parts, request, caller)
    stored = await stored_registration(parts, workspace, request.params["registration"])
    registration = decode_registration(stored)
    close = CloseLane(registration.id, _tombstone(parts, registration), parts.clock.now_ms())
    try:
        await parts.store.write([Delete("registration", registration.org, stored.id), close])
    except StaleVersion:
        raise not_found(f"registration {stored.id}", f"workspace {workspace.id}") from None
    await parts.catalogue.refresh()
    return NO_CONTENT


def _tombstone(parts: Parts, registration: Registration) -> bytes:
    if parts.config.cancel_retries_on_delete or registration.webhook_url is None:
        return b""
    credential = parts.catalogue.credential_by_client(registration.client_id)
    return Target.for_registration(registration, credential).encode()
