"""Checks the event registrations of an app before it is packed, as `aio app pack` asks for. Stores nothing.

An app names events by provider metadata, because its users' organizations have providers of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from eventmill.errors import GatewayError, Reason
from eventmill.model import Caller, OrgId, Provider
from eventmill.web import fields
from eventmill.web.checks import convert, invalid, parse_text_json, show
from eventmill.web.families import listed_families
from eventmill.web.http import Reply, Request, json_reply
from eventmill.web.parts import Parts
from eventmill.web.paths import path_workspace
from eventmill.web.shapes import ValidApp


class AppInterest(msgspec.Struct, frozen=True):
    provider_metadata: fields.FamilyId
    event_codes: Annotated[list[fields.EventCode], msgspec.Meta(min_length=1)]


class AppRegistration(msgspec.Struct, frozen=True, kw_only=True):
    name: fields.RegistrationName
    events_of_interest: Annotated[list[AppInterest], msgspec.Meta(min_length=1)]
    description: fields.RegistrationDescription | None = None
    runtime_action: fields.RuntimeAction | None = None


async def validate_registrations(parts: Parts, request: Request, caller: Caller) -> Reply:
    """200 with the names when all are valid; else 400 that names the first wrong one by its index and member."""
    workspace = path_workspace(parts, request, caller)
    document = parse_text_json(await request.json_body(parts.config.request_bytes_max))
    if not isinstance(document, list):
        raise GatewayError(Reason.INVALID_BODY, "the body must be a JSON array of registrations")
    registrations = convert(document, list[AppRegistration])
    _refuse_repeated_names(registrations)
    providers = await _providers(parts, workspace.org)
    for at, registration in enumerate(registrations):
        for number, interest in enumerate(registration.events_of_interest):
            _check_interest(parts, providers, interest, f"[{at}].events_of_interest[{number}]")
    return json_reply(200, ValidApp(valid=True, registrations=[each.name for each in registrations]))


def _refuse_repeated_names(registrations: Sequence[AppRegistration]) -> None:
    seen: dict[str, int] = {}
    for at, registration in enumerate(registrations):
        first = seen.setdefault(registration.name, at)
        if first != at:
            raise invalid(f"[{at}].name", f"{show(registration.name)} is the name of [{first}] already")


async def _providers(parts: Parts, org: OrgId) -> list[Provider]:
    """All that the organization may subscribe to."""
    stored = await parts.store.list_docs("provider", org)
    own = [msgspec.json.decode(each.doc, type=Provider) for each in stored]
    return own + [each.provider for each in parts.catalogue.builtin.providers]


def _check_interest(parts: Parts, providers: Sequence[Provider], interest: AppInterest, where: str) -> None:
    family_id = interest.provider_metadata
    if family_id not in {family.id for family in listed_families(parts)}:
        raise invalid(f"{where}.provider_metadata", f"{show(family_id)} does not exist", Reason.UNKNOWN_EVENT)
    candidates = [provider.id for provider in providers if provider.provider_metadata == family_id]
    for number, code in enumerate(interest.event_codes):
        if not any(parts.catalogue.event_metadata(provider_id, code) for provider_id in candidates):
            what = f"no provider of provider metadata {family_id} has the event code {show(code)}"
            raise invalid(f"{where}.event_codes[{number}]", what, Reason.UNKNOWN_EVENT)
