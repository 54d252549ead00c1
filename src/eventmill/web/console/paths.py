"""What the parameters of a Console API path name, beside those of `paths`: 404 when unknown or not in what is named."""

from __future__ import annotations

from eventmill.model import Caller, Credential, Project
from eventmill.web.checks import show
from eventmill.web.http import Request
from eventmill.web.parts import Parts
from eventmill.web.paths import not_found, path_organization, path_workspace


def path_project(parts: Parts, request: Request, caller: Caller) -> Project:
    org = path_organization(parts, request, caller).id
    project_id = request.params["project"]
    project = parts.catalogue.project(org, project_id)
    if project is None:
        raise not_found(f"project {show(project_id)}", f"organization {org}")
    return project


def path_credential(parts: Parts, request: Request, caller: Caller) -> Credential:
    """Below an organization, or below the workspace that the path names."""
    org = path_organization(parts, request, caller).id
    credential_id = request.params["credential"]
    credential = parts.catalogue.credential(org, credential_id)
    if credential is None:
        raise not_found(f"credential {show(credential_id)}", f"organization {org}")
    if "workspace" in request.params and credential.workspace_id != path_workspace(parts, request, caller).id:
        raise not_found(f"credential {credential_id}", f"workspace {request.params['workspace']}")
    return credential
