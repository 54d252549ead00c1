"""Writing event registrations: create, replace, patch, delete ("Registration API")."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from eventmill.errors import GatewayError, Reason, StaleVersion
from eventmill.flow.probe import ChallengeResult
from eventmill.flow.targets import Target, delivers
from eventmill.model import Caller, Credential, Lane, Registration, Workspace
from eventmill.store.base import CloseLane, ControlOp, Create, Delete, OpenLane, Replace, Require
from eventmill.web import registration_drafts as drafts
from eventmill.web.checks import convert, invalid, read_object
from eventmill.web.forms import RegistrationCreate, RegistrationUpdate
from eventmill.web.http import NO_CONTENT, Reply, Request
from eventmill.web.parts import WRITES_MAX, Parts
from eventmill.web.patch import apply_patch, read_patch
from eventmill.web.paths import path_workspace
from eventmill.web.registration_reads import decode_registration, registration_reply, stored_registration


async def create_registration(parts: Parts, request: Request, caller: Caller) -> Reply:
    workspace = path_workspace(parts, request, caller)
    form = read_object(await request.json_body(parts.config.request_bytes_max), RegistrationCreate)
    drafts.check_form(parts, form)
    credential = _client_credential(parts, workspace, form.client_id)
    draft = await drafts.new_draft(parts, workspace, form)
    challenge = await drafts.ask(parts, draft)
    if challenge is not None and not challenge.passed and parts.config.strict_challenge:
        raise GatewayError(Reason.CHALLENGE_FAILED, f"webhook_url: {challenge.explanation}")
    now_ms = parts.clock.now_ms()
    lane = Lane(await parts.store.allocate("lane"))
    registration = msgspec.structs.replace(
        drafts.settled(draft, challenge), id=lane, created_ms=now_ms, updated_ms=now_ms
    )
    doc, keys = msgspec.json.encode(registration), drafts.keys(parts, registration, counted=True)
    ops: list[ControlOp] = [
        Require("workspace", workspace.org, workspace.id),
        *(() if credential is None else (Require("credential", credential.org, credential.id),)),
        Create("registration", registration.org, registration.registration_id, doc, keys),
        OpenLane(lane, registration.org, registration.registration_id),
    ]
    if not delivers(registration):
        ops.append(drafts.lane_op(registration))
    await drafts.write(parts, registration, ops, challenge)
    return registration_reply(parts, 201, registration)


def _client_credential(parts: Parts, workspace: Workspace, client_id: str) -> Credential | None:
    """The workspace's credential with that client id; in lenient mode there need not be one."""
    credential = parts.catalogue.credential_by_client(client_id)
    if credential is None and parts.config.lenient:
        return None
    if credential is None or (credential.org, credential.workspace_id) != (workspace.org, workspace.id):
        raise invalid("client_id", f"{client_id} is not a credential of workspace {workspace.id}")
    return credential


async def update_registration(parts: Parts, request: Request, caller: Caller) -> Reply:
    """PUT: a full replacement of everything but the client id."""
    workspace, registration_id = await _known(parts, request, caller)
    form = read_object(await request.json_body(parts.config.request_bytes_max), RegistrationUpdate)
    drafts.check_form(parts, form)
    registration = await _change(parts, workspace, registration_id, lambda _: form)
    return registration_reply(parts, 200, registration)


async def patch_registration(parts: Parts, request: Request, caller: Caller) -> Reply:
    """PATCH: the members of the update model, null where there is none. Challenges as a PUT does, changed or not."""
    workspace, registration_id = await _known(parts, request, caller)
    patch = await read_patch(request, parts.config)

    def revise(registration: Registration) -> RegistrationUpdate:
        document = apply_patch(drafts.update_document(registration), patch, parts.config)
        form = convert(document, RegistrationUpdate)
        drafts.check_form(parts, form)
        return form

    return registration_reply(parts, 200, await _change(parts, workspace, registration_id, revise))


async def _known(parts: Parts, request: Request, caller: Caller) -> tuple[Workspace, str]:
    """Refuses an unknown one before its body is looked at."""
    workspace = path_workspace(parts, request, caller)
    return workspace, (await stored_registration(parts, workspace, request.params["registration"])).id


async def _change(
    parts: Parts, workspace: Workspace, registration_id: str, revise: Callable[[Registration], RegistrationUpdate]
) -> Registration:
    """Store what `revise` makes of the registration; made again when another change came first. No webhook is asked
    twice for that."""
    asked: dict[str | None, ChallengeResult | None] = {}
    for _ in range(WRITES_MAX):
        stored = await stored_registration(parts, workspace, registration_id)
        known = decode_registration(stored)
        draft = await drafts.redraft(parts, known, revise(known))
        wanted = draft.webhook_url if draft.enabled else None
        if wanted not in asked:
            asked[wanted] = await drafts.ask(parts, draft)
        registration = drafts.settled(draft, asked[wanted])
        registration = msgspec.structs.replace(registration, updated_ms=parts.clock.now_ms())
        doc, keys = msgspec.json.encode(registration), drafts.keys(parts, registration, counted=False)
        replace = Replace("registration", registration.org, registration_id, doc, stored.version, keys)
        try:
            await drafts.write(parts, registration, [replace, drafts.lane_op(registration)], asked[wanted])
        except StaleVersion:
            continue
        return registration
    raise StaleVersion("registration", registration_id)


async def delete_registration(parts: Parts, request: Request, caller: Caller) -> Reply:
    """Its journal is gone at once; retries that are scheduled run on under the tombstone."""
    workspace = path_workspace(parts, request, caller)
    for _ in range(WRITES_MAX):
        stored = await stored_registration(parts, workspace, request.params["registration"])
        registration = decode_registration(stored)
        close = CloseLane(registration.id, _tombstone(parts, registration), parts.clock.now_ms())
        try:
            await parts.store.write([Delete("registration", registration.org, stored.id, stored.version), close])
        except StaleVersion:
            continue  # the tombstone must say where its last version delivered to
        await parts.catalogue.refresh()
        return NO_CONTENT
    raise StaleVersion("registration", request.params["registration"])


def _tombstone(parts: Parts, registration: Registration) -> bytes:
    """Empty when no retry of it can be scheduled, or none shall run on."""
    if parts.config.cancel_retries_on_delete or not (registration.webhook_url or registration.retry_url):
        return b""
    credential = parts.catalogue.credential_by_client(registration.client_id)
    return Target.for_registration(registration, credential).encode()
