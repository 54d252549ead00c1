"""Where something is, in the Console API: the project and workspace of a credential, a client id or a workspace."""

from __future__ import annotations

from eventmill.errors import GatewayError, Reason
from eventmill.model import Caller
from eventmill.web.checks import show
from eventmill.web.console.bodies import SERVICE_CODE, integration_body
from eventmill.web.console.paths import path_credential
from eventmill.web.console.shapes import (
    ClientPlace,
    CredentialPlace,
    IntegrationPage,
    ServiceProperties,
    WorkspacePlace,
)
from eventmill.web.http import Reply, Request, json_reply
from eventmill.web.parts import Parts
from eventmill.web.paths import not_found, path_organization

_PAGE_SIZE = 20
_PAGE_SIZE_MAX = 100


async def find_credential_place(parts: Parts, request: Request, caller: Caller) -> Reply:
    """GET …/projects_workspaces/credentials/{credential}: a bare array of one."""
    found = path_credential(parts, request, caller)
    return json_reply(200, [CredentialPlace(found.project_id, found.workspace_id, found.id)])


async def find_workspace_place(parts: Parts, request: Request, caller: Caller) -> Reply:
    """GET …/projects_workspaces/workspaces/{workspace}: a bare array of one."""
    org = path_organization(parts, request, caller).id
    workspace_id = request.params["workspace"]
    workspace = parts.catalogue.workspace(org, workspace_id)
    if workspace is None:
        raise not_found(f"workspace {show(workspace_id)}", f"organization {org}")
    return json_reply(200, [WorkspacePlace(workspace.project_id, workspace.id)])


async def find_client_place(parts: Parts, request: Request, caller: Caller) -> Reply:
    """GET …/clients/{client}/project_workspace"""
    org = path_organization(parts, request, caller).id
    client_id = request.params["client"]
    found = parts.catalogue.credential_by_client(client_id)
    if found is None or found.org != org:
        raise not_found(f"client {show(client_id)}", f"organization {org}")
    return json_reply(200, ClientPlace(found.project_id, found.workspace_id, found.id))


async def page_integrations(parts: Parts, request: Request, caller: Caller) -> Reply:
    """GET …/integrations: the organization's credentials in pages, which count from 1."""
    org = path_organization(parts, request, caller).id
    page = _number(request, "page", 1, 1 << 31)
    size = _number(request, "size", _PAGE_SIZE, _PAGE_SIZE_MAX)
    found = parts.catalogue.credentials(org)
    content = [integration_body(each) for each in found[(page - 1) * size : page * size]]
    pages = -(-len(found) // size)
    return json_reply(200, IntegrationPage(page, pages, size, len(found), content))


def _number(request: Request, name: str, default: int, most: int) -> int:
    value = request.query_value(name)
    if value is None:
        return default
    if not (value.isascii() and value.isdecimal() and len(value) < 12 and 1 <= int(value) <= most):
        raise GatewayError(Reason.INVALID_PARAMETER, f"{name} must be a number from 1 to {most}, but is {show(value)}")
    return int(value)


async def get_service_properties(parts: Parts, request: Request, caller: Caller) -> Reply:
    """GET …/integrations/entp/{credential}/service/{sdk}/properties: no service has any."""
    path_credential(parts, request, caller)
    return json_reply(200, ServiceProperties(SERVICE_CODE, None, None))
