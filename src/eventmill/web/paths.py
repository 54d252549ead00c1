"""What the parameters of a path name, and whether the caller may touch it: 404 when unknown, 403 when not the caller's.

Ids are never parsed: any segment may come, and an unknown one is simply not found.
"""

from __future__ import annotations

from eventmill.errors import GatewayError, Reason
from eventmill.model import BUILTIN_ORG, Caller, EventMetadata, Organization, OrgId, Provider, Registration, Workspace
from eventmill.web.checks import show
from eventmill.web.http import Request
from eventmill.web.parts import Parts


def permit(caller: Caller, org: OrgId, what: str) -> None:
    """Raises `WRONG_ORGANIZATION` unless the caller acts for `org`. `what` belongs to it, and opens the message."""
    if caller.org is not None and caller.org != org:
        raise GatewayError(Reason.WRONG_ORGANIZATION, f"{what} belongs to another organization")


def not_found(what: str, where: str = "") -> GatewayError:
    return GatewayError(Reason.NOT_FOUND, f"{what} does not exist{where and ' in ' + where}")


def path_organization(parts: Parts, request: Request, caller: Caller) -> Organization:
    org_id = request.params["org"]
    organization = parts.catalogue.organization(OrgId(org_id))
    if organization is None:
        raise not_found(f"organization {show(org_id)}")
    permit(caller, organization.id, f"organization {org_id}")
    return organization


def path_workspace(parts: Parts, request: Request, caller: Caller) -> Workspace:
    """404 also when organization, project and workspace do not belong together."""
    org = path_organization(parts, request, caller).id
    project_id, workspace_id = request.params["project"], request.params["workspace"]
    if parts.catalogue.project(org, project_id) is None:
        raise not_found(f"project {show(project_id)}", f"organization {org}")
    workspace = parts.catalogue.workspace(org, workspace_id)
    if workspace is None or workspace.project_id != project_id:
        raise not_found(f"workspace {show(workspace_id)}", f"project {project_id}")
    return workspace


def path_provider(parts: Parts, request: Request, caller: Caller) -> Provider:
    """Built-in ones are everybody's to read."""
    provider_id = request.params["provider"]
    provider = parts.catalogue.provider(provider_id)
    if provider is None:
        raise not_found(f"provider {show(provider_id)}")
    if provider.org != BUILTIN_ORG:
        permit(caller, provider.org, f"provider {provider_id}")
    return provider


def path_own_provider(parts: Parts, request: Request, caller: Caller) -> Provider:
    """The provider of a path below a workspace, which must own it."""
    workspace = path_workspace(parts, request, caller)
    provider = path_provider(parts, request, caller)
    if provider.org == BUILTIN_ORG:
        message = f"provider {provider.id} ({provider.label}) is built in; it and its event metadata cannot be changed"
        raise GatewayError(Reason.NOT_PERMITTED, message)
    permit(Caller(workspace.org, caller.client_id), provider.org, f"provider {provider.id}")
    if provider.workspace_id != workspace.id:
        raise not_found(f"provider {provider.id}", f"workspace {workspace.id}")
    return provider


def path_metadata(parts: Parts, request: Request, provider: Provider) -> EventMetadata:
    event_code = request.params["code"]
    metadata = parts.catalogue.event_metadata(provider.id, event_code)
    if metadata is None:
        raise not_found(f"event code {show(event_code)}", f"provider {provider.id}")
    return metadata


def path_registration(parts: Parts, request: Request, caller: Caller) -> Registration:
    """The registration of a path with organization, credential and registration; 404 unless they belong together."""
    org = path_organization(parts, request, caller).id
    registration_id, credential_id = request.params["registration"], request.params["credential"]
    registration = parts.catalogue.registration(org, registration_id)
    if registration is None:
        raise not_found(f"registration {show(registration_id)}", f"organization {org}")
    credential = parts.catalogue.credential(org, credential_id)
    if credential is None and credential_id == registration.client_id:
        return registration  # what its links say when its workspace has no credential
    if credential is None or credential.workspace_id != registration.workspace_id:
        raise not_found(f"registration {registration.registration_id}", f"integration {show(credential_id)}")
    return registration
