"""Organizations in the Console API, and what it says about each: event providers, services, developer terms.

Creating, renaming and deleting them is Eventmill's own addition, and the operator's alone.
"""

from __future__ import annotations

import msgspec

from eventmill.errors import GatewayError, Reason
from eventmill.model import Caller, Notice, Organization, OrgId, Provider
from eventmill.web import tenancy
from eventmill.web.checks import read_object
from eventmill.web.console.bodies import SERVICE_CODE, SERVICE_NAME, notice_body, organization_body, provider_item
from eventmill.web.console.forms import OrganizationForm, OrganizationUpdate
from eventmill.web.console.shapes import ConsoleFamily, Feature, Service, ServiceRights, Terms, TermsState, TermsText
from eventmill.web.families import listed_families
from eventmill.web.http import Reply, Request, json_reply
from eventmill.web.ims.shapes import Done
from eventmill.web.parts import Parts
from eventmill.web.paths import path_organization
from eventmill.web.providers import asks_metadata, list_metadata
from eventmill.web.tenancy_deletion import delete_tenant

DONE = Done()
"""Body of a success that has nothing to tell; clients parse every 200 as JSON."""


async def list_organizations(parts: Parts, _request: Request, caller: Caller) -> Reply:
    """GET /console/organizations: the caller's, or all for the operator. A bare array."""
    visible = [each for each in parts.catalogue.organizations() if caller.org in (None, each.id)]
    return json_reply(200, [organization_body(each) for each in visible])


async def get_organization(parts: Parts, request: Request, caller: Caller) -> Reply:
    return json_reply(200, organization_body(path_organization(parts, request, caller)))


async def create_organization(parts: Parts, request: Request, caller: Caller) -> Reply:
    _permit_operator(parts, caller)
    form = read_object(await request.json_body(parts.config.request_bytes_max), OrganizationForm)
    organization = Organization(
        id=OrgId(await tenancy.new_id(parts, "organization")),
        ims_org_id=form.code or parts.ids.random(12).hex().upper() + "@AdobeOrg",
        name=form.name,
        notice_recipients=tuple(dict.fromkeys(form.notice_recipients)),
    )
    holder = parts.catalogue.organization_by_ims(organization.ims_org_id)
    if holder is not None:
        raise tenancy.code_taken(organization.ims_org_id, holder.id)
    await tenancy.create(parts, organization, caller.client_id)
    return json_reply(201, organization_body(organization))


async def update_organization(parts: Parts, request: Request, caller: Caller) -> Reply:
    _permit_operator(parts, caller)
    known = path_organization(parts, request, caller)
    form = read_object(await request.json_body(parts.config.request_bytes_max), OrganizationUpdate)

    def decide(stored: Organization) -> Organization:
        name = stored.name if form.name is None else form.name
        recipients = stored.notice_recipients
        if form.notice_recipients is not None:
            recipients = tuple(dict.fromkeys(form.notice_recipients))
        return msgspec.structs.replace(stored, name=name, notice_recipients=recipients)

    return json_reply(200, organization_body(await tenancy.change(parts, known, caller.client_id, decide)))


async def delete_organization(parts: Parts, request: Request, caller: Caller) -> Reply:
    _permit_operator(parts, caller)
    await delete_tenant(parts, path_organization(parts, request, caller), caller.client_id)
    return json_reply(200, DONE)


def _permit_operator(parts: Parts, caller: Caller) -> None:
    if not (caller.is_admin or parts.config.lenient):
        message = "organizations are the operator's: use eventmill org, or a token it was given"
        raise GatewayError(Reason.NOT_PERMITTED, message)


async def list_families(parts: Parts, request: Request, caller: Caller) -> Reply:
    """GET …/events/providermetadata: a bare array, with what `/events/providermetadata` embeds and a `type`."""
    path_organization(parts, request, caller)
    families = [ConsoleFamily(**msgspec.structs.asdict(each), type="entp") for each in listed_families(parts)]
    return json_reply(200, families)


async def list_providers(parts: Parts, request: Request, caller: Caller) -> Reply:
    """GET …/events/providers: a bare array of the organization's own providers and the built-in ones."""
    organization = path_organization(parts, request, caller)
    embed = asks_metadata(request)
    stored = await parts.store.list_docs("provider", organization.id)
    found = [msgspec.json.decode(each.doc, type=Provider) for each in stored]
    found += [each.provider for each in parts.catalogue.builtin.providers]
    items = [provider_item(each, await list_metadata(parts, each) if embed else None) for each in found]
    return json_reply(200, items)


async def list_notices(parts: Parts, request: Request, caller: Caller) -> Reply:
    """GET …/notices: what nobody was mailed about yet, newest first. Eventmill's own addition."""
    organization = path_organization(parts, request, caller)
    stored = await parts.store.list_docs("notice", organization.id)
    notices = [msgspec.json.decode(each.doc, type=Notice) for each in stored]
    notices.sort(key=lambda each: each.at_ms, reverse=True)
    return json_reply(200, [notice_body(each) for each in notices])


async def list_services(parts: Parts, request: Request, caller: Caller) -> Reply:
    """GET …/services: the one service there is, which every credential has."""
    path_organization(parts, request, caller)
    service = Service(
        name=SERVICE_NAME,
        code=SERVICE_CODE,
        type="entp",
        enabled=True,
        entitled_for_org=True,
        deprecated=False,
        requires_approval=False,
        properties=ServiceRights(roles=None, license_configs=None),
    )
    return json_reply(200, [service])


async def get_org_terms(parts: Parts, request: Request, caller: Caller) -> Reply:
    """GET and POST /console/services/ims/organizations/{org}/terms: there is nothing to agree to."""
    path_organization(parts, request, caller)
    return json_reply(200, TermsState(accepted=True, current=True))


async def get_terms(_parts: Parts, _request: Request, _caller: Caller) -> Reply:
    return json_reply(200, Terms([TermsText("This gateway asks for no terms.", "en")]))


async def list_features(parts: Parts, request: Request, caller: Caller) -> Reply:
    """GET /console/api/organizations/{org}/features"""
    path_organization(parts, request, caller)
    return json_reply(200, [Feature("RUNTIME")])
