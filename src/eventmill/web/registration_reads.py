"""Reading event registrations: one, those of a workspace, those of an organization in pages ("Registration API")."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msgspec import UNSET, UnsetType

from eventmill.errors import GatewayError, Reason
from eventmill.flow.registration_change import decode_registration
from eventmill.model import Caller, Registration, Workspace
from eventmill.store.control import Versioned
from eventmill.web import hal
from eventmill.web.bodies import RegistrationBody, UndeliveredBrief
from eventmill.web.checks import show
from eventmill.web.http import HAL_TYPE, Reply, Request, hal_reply
from eventmill.web.parts import Parts
from eventmill.web.paths import not_found, path_organization, path_workspace

PAGE_SIZE = 10
PAGE_SIZE_MAX = 100
_BODIES_AT_ONCE = 100


def registration_reply(
    parts: Parts, status: int, registration: Registration, undelivered: UndeliveredBrief | UnsetType = UNSET
) -> Reply:
    return hal_reply(status, hal.registration_body(parts.config.url, parts.catalogue, registration, undelivered))


async def list_registrations(parts: Parts, request: Request, caller: Caller) -> Reply:
    """GET of a workspace's. Not paged."""
    workspace = path_workspace(parts, request, caller)
    url = f"{parts.config.url}/events/{workspace.org}/{workspace.project_id}/{workspace.id}/registrations"
    epochs = await parts.store.epoch(), parts.catalogue.epoch
    known = parts.listings.find(epochs, url)
    if known is not None:
        return Reply(200, known, HAL_TYPE)
    stored = await parts.store.list_docs("registration", workspace.org, ("workspace", workspace.id))
    reply = hal_reply(200, hal.registration_collection(url, await _bodies(parts, stored)))
    if epochs == (await parts.store.epoch(), parts.catalogue.epoch):
        parts.listings.keep(epochs, url, reply.body)
    return reply


async def _bodies(parts: Parts, stored: Sequence[Versioned]) -> list[RegistrationBody]:
    """In steps, so that a long list holds nobody else up."""
    bodies: list[RegistrationBody] = []
    for at in range(0, len(stored), _BODIES_AT_ONCE):
        step = [decode_registration(each) for each in stored[at : at + _BODIES_AT_ONCE]]
        bodies += [hal.registration_body(parts.config.url, parts.catalogue, each) for each in step]
        await asyncio.sleep(0)
    return bodies


async def page_registrations(parts: Parts, request: Request, caller: Caller) -> Reply:
    """GET of an organization's, in pages that count from 0."""
    organization = path_organization(parts, request, caller)
    number = _page_value(request, "page", 0)
    size = _page_value(request, "size", PAGE_SIZE)
    if not 1 <= size <= PAGE_SIZE_MAX:
        raise GatewayError(Reason.INVALID_PARAMETER, f"size must be 1 to {PAGE_SIZE_MAX}, but is {size}")
    stored = await parts.store.list_docs("registration", organization.id)
    if number > 0 and number * size >= len(stored):
        message = f"page {number} does not exist: {len(stored)} registrations in pages of {size}, counted from 0"
        raise GatewayError(Reason.INVALID_PARAMETER, message)
    here = stored[number * size : (number + 1) * size]
    url = f"{parts.config.url}/events/{organization.id}/registrations"
    return hal_reply(200, hal.registration_page(url, number, size, len(stored), await _bodies(parts, here)))


def _page_value(request: Request, name: str, default: int) -> int:
    text = request.query_value(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise GatewayError(Reason.INVALID_PARAMETER, f"{name} must be a number from 0 on, but is {show(text)}")
    return int(text)


async def get_registration(parts: Parts, request: Request, caller: Caller) -> Reply:
    return registration_reply(parts, 200, await workspace_registration(parts, request, caller))


async def workspace_registration(parts: Parts, request: Request, caller: Caller) -> Registration:
    """The registration of a path below a workspace; 404 when it is not there."""
    workspace = path_workspace(parts, request, caller)
    return decode_registration(await stored_registration(parts, workspace, request.params["registration"]))


async def stored_registration(parts: Parts, workspace: Workspace, registration_id: str) -> Versioned:
    stored = await parts.store.get("registration", workspace.org, registration_id)
    if stored is None or decode_registration(stored).workspace_id != workspace.id:
        raise not_found(f"registration {show(registration_id)}", f"workspace {workspace.id}")
    return stored
