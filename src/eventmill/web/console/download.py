"""The project file of a workspace, as the Console API gives it for download: all that a client needs to sign in.

The one answer that holds secrets already made.
"""

from __future__ import annotations

from msgspec import UNSET

from eventmill.model import Caller, Credential
from eventmill.store.seal import Sealer
from eventmill.web.client_secrets import open_secret
from eventmill.web.console.bodies import INTEGRATION_TYPES, META_SCOPE, download_body
from eventmill.web.console.project_file import FileCredential, FileJwt, FileOAuth
from eventmill.web.http import NOT_STORED, Reply, Request, json_reply
from eventmill.web.parts import Parts
from eventmill.web.paths import path_organization, path_workspace
from eventmill.web.tokens import DEFAULT_SCOPE


async def download_workspace(parts: Parts, request: Request, caller: Caller) -> Reply:
    """GET …/workspaces/{workspace}/download"""
    organization = path_organization(parts, request, caller)
    workspace = path_workspace(parts, request, caller)
    project = parts.catalogue.project(workspace.org, workspace.project_id)
    assert project is not None, "a workspace never outlives its project"
    found = parts.catalogue.workspace_credentials(workspace.org, workspace.id)
    items = [_credential_item(parts.sealer, each) for each in found]
    return json_reply(200, download_body(organization, project, workspace, items), headers=NOT_STORED)


def _credential_item(sealer: Sealer, credential: Credential) -> FileCredential:
    """With its secrets, the current one first. Official clients take the first item of a type they know."""
    secrets = [open_secret(sealer, credential, sealed) for sealed in credential.sealed_secrets]
    account = credential.technical_account_id
    is_jwt = credential.kind == "jwt"
    jwt = FileJwt(credential.client_id, account, account, secrets[0], [META_SCOPE])
    oauth = FileOAuth(credential.client_id, account, account, secrets, DEFAULT_SCOPE.split(","))
    return FileCredential(
        id=credential.id,
        name=credential.name,
        integration_type=INTEGRATION_TYPES[credential.kind],
        jwt=jwt if is_jwt else UNSET,
        oauth_server_to_server=UNSET if is_jwt else oauth,
    )
