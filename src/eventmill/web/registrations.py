"""Writing event registrations: create, replace, patch, challenge again, delete ("Registration API")."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable

import msgspec

from eventmill.errors import Conflict, GatewayError, Reason, StaleVersion
from eventmill.flow.cursors import cursor_deletions
from eventmill.flow.probe import ChallengeResult
from eventmill.flow.registration_change import decode_registration, lane_op, registration_keys, replacement
from eventmill.flow.targets import Target, delivers
from eventmill.flow.writes import WRITES_MAX
from eventmill.model import Caller, Credential, Lane, Registration, Workspace
from eventmill.store.control import CloseLane, ControlOp, Create, Delete, OpenLane, Require
from eventmill.web import registration_drafts as drafts
from eventmill.web.checks import convert, invalid, read_object
from eventmill.web.forms import RegistrationCreate, RegistrationUpdate
from eventmill.web.http import NO_CONTENT, Reply, Request
from eventmill.web.parts import Parts
from eventmill.web.patch import apply_patch, read_patch
from eventmill.web.paths import path_workspace
from eventmill.web.registration_reads import registration_reply, stored_registration
from eventmill.web.undelivered import undelivered_brief


async def create_registration(parts: Parts, request: Request, caller: Caller) -> Reply:
    workspace = path_workspace(parts, request, caller)
    form = read_object(await request.json_body(parts.config.request_bytes_max), RegistrationCreate)
    drafts.check_form(parts, form)
    credential = _client_credential(parts, workspace, form.client_id)
    draft = await drafts.new_draft(parts, workspace, form)
    challenge = await drafts.ask(parts, draft)
    if challenge is not None and not challenge.passed and not challenge.answered and parts.config.strict_challenge:
        raise GatewayError(Reason.CHALLENGE_FAILED, f"webhook_url: {challenge.explanation}")
    now_ms, secret = parts.clock.now_ms(), parts.ids.uuid()
    lane = Lane(await parts.store.allocate("lane"))
    registration = drafts.settled(draft, challenge, lambda: parts.validations.begin(secret))
    registration = msgspec.structs.replace(registration, id=lane, created_ms=now_ms, updated_ms=now_ms)
    await drafts.write(parts, registration, _creation(parts, workspace, credential, registration), challenge)
    offer = await drafts.offer_validation(parts, registration, secret)
    if challenge is not None and offer is not None and not offer.passed and parts.config.strict_challenge:
        await _withdraw(parts, registration)
        raise GatewayError(Reason.CHALLENGE_FAILED, f"webhook_url: {challenge.explanation}; {offer.explanation}")
    return registration_reply(parts, 201, await _after(parts, registration, offer))


def _creation(
    parts: Parts, workspace: Workspace, credential: Credential | None, registration: Registration
) -> list[ControlOp]:
    doc = msgspec.json.encode(registration)
    config, lane = parts.config, registration.id
    client_max, org_max = config.registrations_per_client, config.registrations_per_org
    keys = registration_keys(registration, client_max=client_max, org_max=org_max)
    ops: list[ControlOp] = [
        Require("workspace", workspace.org, workspace.id),
        *(() if credential is None else (Require("credential", credential.org, credential.id),)),
        Create("registration", registration.org, registration.registration_id, doc, keys),
        OpenLane(lane, registration.org, registration.registration_id),
    ]
    if not delivers(registration):
        ops.append(lane_op(registration))
    return ops


async def _withdraw(parts: Parts, registration: Registration) -> None:
    """Delete what was stored only so that its webhook could be offered a link, unless somebody has changed it since."""
    assert registration.validation is not None
    for _ in range(WRITES_MAX):
        stored = await parts.store.get("registration", registration.org, registration.registration_id)
        validation = None if stored is None else decode_registration(stored).validation
        if stored is None or validation is None or validation.secret_sha256 != registration.validation.secret_sha256:
            return
        close = CloseLane(registration.id, b"", parts.clock.now_ms())
        cursors = await cursor_deletions(parts.store, registration)
        with contextlib.suppress(StaleVersion, Conflict):
            delete = Delete("registration", registration.org, stored.id, stored.version)
            await parts.store.write([*cursors, delete, close])
            await parts.catalogue.refresh()
            return


async def _after(parts: Parts, registration: Registration, offer: ChallengeResult | None) -> Registration:
    """The registration as its webhook's answer to the offer left it; the link may have been opened meanwhile."""
    stored = None
    if offer is not None:
        stored = await parts.store.get("registration", registration.org, registration.registration_id)
    return registration if stored is None else decode_registration(stored)


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
    return await _change(parts, workspace, registration_id, lambda known: drafts.redraft(parts, known, form))


async def patch_registration(parts: Parts, request: Request, caller: Caller) -> Reply:
    """PATCH: the members of the update model, null where there is none. Challenges as a PUT does, changed or not."""
    workspace, registration_id = await _known(parts, request, caller)
    patch = await read_patch(request, parts.config)

    async def revise(registration: Registration) -> Registration:
        document = apply_patch(drafts.update_document(registration), patch, parts.config)
        if document.get("subscriber_filters") is None:
            document["subscriber_filters"] = []  # removed, not left out
        form = convert(document, RegistrationUpdate)
        drafts.check_form(parts, form)
        return await drafts.redraft(parts, registration, form)

    return await _change(parts, workspace, registration_id, revise)


async def challenge_registration(parts: Parts, request: Request, caller: Caller) -> Reply:
    """Ours: the registration as it is, asked again and enabled, as a PUT without a change would be."""
    workspace, registration_id = await _known(parts, request, caller)

    async def revise(registration: Registration) -> Registration:
        if registration.webhook_url is None:
            message = f"registration {registration_id} has no webhook_url to challenge"
            raise GatewayError(Reason.CHALLENGE_FAILED, message)
        return msgspec.structs.replace(registration, enabled=True)

    return await _change(parts, workspace, registration_id, revise)


async def _known(parts: Parts, request: Request, caller: Caller) -> tuple[Workspace, str]:
    """Refuses an unknown one before its body is looked at."""
    workspace = path_workspace(parts, request, caller)
    return workspace, (await stored_registration(parts, workspace, request.params["registration"])).id


async def _change(
    parts: Parts, workspace: Workspace, registration_id: str, revise: Callable[[Registration], Awaitable[Registration]]
) -> Reply:
    """Store what `revise` makes of the registration, and answer with it; made again when another change came first. No
    webhook is asked twice for that."""
    asked: dict[tuple[str | None, str | None], ChallengeResult | None] = {}
    secret = parts.ids.uuid()
    for _ in range(WRITES_MAX):
        stored = await stored_registration(parts, workspace, registration_id)
        before = decode_registration(stored)
        draft = await revise(before)
        wanted = (draft.webhook_url, draft.ca_bundle) if draft.enabled else (None, None)
        if wanted not in asked:
            asked[wanted] = await drafts.ask(parts, draft)
        registration = drafts.settled(draft, asked[wanted], lambda: parts.validations.begin(secret))
        registration = msgspec.structs.replace(registration, updated_ms=parts.clock.now_ms())
        try:
            await drafts.write(parts, registration, replacement(stored, registration), asked[wanted])
        except StaleVersion:
            continue
        offer = await drafts.offer_validation(parts, registration, secret)
        return await _changed_reply(parts, before, await _after(parts, registration, offer))
    raise StaleVersion("registration", registration_id)


async def _changed_reply(parts: Parts, before: Registration, after: Registration) -> Reply:
    """Tells of what waits to be sent if the registration was not pushed to before, and is now."""
    if delivers(after) and not delivers(before):
        brief = await undelivered_brief(parts, after)
        if brief.total:
            return registration_reply(parts, 200, after, brief)
    return registration_reply(parts, 200, after)


async def delete_registration(parts: Parts, request: Request, caller: Caller) -> Reply:
    """Its journal is gone at once; retries that are scheduled run on under the tombstone."""
    workspace = path_workspace(parts, request, caller)
    for _ in range(WRITES_MAX):
        stored = await stored_registration(parts, workspace, request.params["registration"])
        registration = decode_registration(stored)
        close = CloseLane(registration.id, _tombstone(parts, registration), parts.clock.now_ms())
        cursors = await cursor_deletions(parts.store, registration)
        try:
            delete = Delete("registration", registration.org, stored.id, stored.version)
            await parts.store.write([*cursors, delete, close])
        except (StaleVersion, Conflict):
            continue  # the tombstone must say where its last version delivered to, and no cursor stay behind
        await parts.catalogue.refresh()
        return NO_CONTENT
    raise StaleVersion("registration", request.params["registration"])


def _tombstone(parts: Parts, registration: Registration) -> bytes:
    """Empty when no retry of it can be scheduled, or none shall run on."""
    credential = parts.catalogue.credential_by_client(registration.client_id)
    target = Target.for_registration(registration, credential)
    return target.encode() if target.is_somewhere and not parts.config.cancel_retries_on_delete else b""
