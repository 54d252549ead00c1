"""Credentials of a workspace. A secret is shown once, on the page that answers its making, and kept by nobody."""

from __future__ import annotations

from eventmill.errors import GatewayError
from eventmill.ui.act import Outcome
from eventmill.ui.page import Page
from eventmill.ui.pages.workspaces import workspace_path
from eventmill.ui.visit import Visit
from eventmill.web.http import Reply

_LISTED = 25


def _secrets_path(visit: Visit) -> str:
    return f"/console/organizations/{visit.org.id}/credentials/{visit.params['credential']}/secrets"


def _here(visit: Visit, credential_id: str) -> str:
    place = (visit.params["project"], "workspaces", visit.params["workspace"], "credentials", credential_id)
    return visit.url("projects", *place)


async def new_credential(visit: Visit) -> Reply:
    workspace = await visit.read(workspace_path(visit))
    curl = visit.curl("POST", _create_path(visit), {"name": "Shop backend"})
    return visit.render("credentials/form.html", workspace=workspace, refusal=None, curl=curl)


def _create_path(visit: Visit) -> str:
    return f"{workspace_path(visit)}/credentials/oauth-server-to-server"


async def create_credential(visit: Visit) -> Reply:
    made = await visit.act("POST", _create_path(visit), {"name": visit.field("name")})
    workspace = await visit.read(workspace_path(visit))
    if not made.ok:
        return visit.refusal("credentials/form.html", made, workspace=workspace, curl=made.curl)
    return _tell_secret(visit, made, made.body["id"], made.body["apiKey"])


def _tell_secret(visit: Visit, made: Outcome, credential_id: str, client_id: str) -> Reply:
    return visit.render(
        "credentials/secret.html",
        stored=False,
        secret=made.body["client_secret"],
        client_id=client_id,
        here=_here(visit, credential_id),
        curl=made.curl,
    )


async def show_credential(visit: Visit) -> Reply:
    return await _credential_page(visit)


async def _credential_page(visit: Visit, refusal: Outcome | None = None) -> Reply:
    """`refusal`: what was said against the last change."""
    workspace = await visit.read(workspace_path(visit))
    path = f"/console/organizations/{visit.org.id}/integrations/{visit.params['credential']}"
    credential = await visit.read(path)
    if credential["workspaceId"] != workspace["id"]:
        raise visit.not_found("credential")
    registrations = [
        each
        for each in visit.parts.catalogue.registrations()
        if each.org == visit.org.id and each.client_id == credential["apikey"]
    ]
    registrations.sort(key=lambda each: each.name.lower())
    secrets = (await visit.read(_secrets_path(visit)))["client_secrets"]
    return visit.render(
        "credentials/show.html",
        status=200 if refusal is None else refusal.status,
        workspace=workspace,
        credential=credential,
        secrets=secrets,
        registrations=registrations[:_LISTED],
        registrations_total=len(registrations),
        refusal=refusal,
        curl=visit.curl("GET", path),
        calls=[
            ("New secret", visit.curl("POST", _secrets_path(visit))),
            (
                "Delete a secret",
                visit.curl("DELETE", f"{_secrets_path(visit)}/{secrets[-1]['uuid']}") if secrets else "",
            ),
            ("Delete credential", visit.curl("DELETE", _credential_path(visit))),
        ],
    )


async def add_secret(visit: Visit) -> Reply:
    credential = await _own(visit)
    made = await visit.act("POST", _secrets_path(visit))
    if not made.ok:
        return await _credential_page(visit, made)
    return _tell_secret(visit, made, visit.params["credential"], credential["apikey"])


async def _own(visit: Visit) -> dict[str, str]:
    """The credential, when it is of the workspace in the path."""
    workspace = await visit.read(workspace_path(visit))
    path = f"/console/organizations/{visit.org.id}/integrations/{visit.params['credential']}"
    credential: dict[str, str] = await visit.read(path)
    if credential["workspaceId"] != workspace["id"]:
        raise visit.not_found("credential")
    return credential


async def delete_secret(visit: Visit) -> Reply:
    await _own(visit)
    query = "?revoke_tokens=true" if visit.field("revoke_tokens") else ""
    done = await visit.act("DELETE", f"{_secrets_path(visit)}/{visit.params['secret']}{query}")
    if not done.ok:
        return await _credential_page(visit, done)
    return visit.redirect(_here(visit, visit.params["credential"]), "The secret is deleted.")


def _credential_path(visit: Visit) -> str:
    return f"{workspace_path(visit)}/credentials/{visit.params['credential']}"


async def delete_credential(visit: Visit) -> Reply:
    done = await visit.act("DELETE", _credential_path(visit))
    if done.ok:
        return visit.redirect(visit.url("projects", visit.params["project"]), "The credential is deleted.")
    try:
        return await _credential_page(visit, done)
    except GatewayError:
        raise visit.not_found("credential") from None


_CREDENTIALS = "/projects/{project}/workspaces/{workspace}/credentials"
_CREDENTIAL = _CREDENTIALS + "/{credential}"

PAGES = (
    Page("GET", _CREDENTIALS + "/new", new_credential, "New credential", role="developer", section="projects"),
    Page("POST", _CREDENTIALS, create_credential, "New credential", role="developer", section="projects"),
    Page("GET", _CREDENTIAL, show_credential, "Credential", section="projects"),
    Page("POST", _CREDENTIAL + "/secrets", add_secret, "New secret", role="developer", section="projects"),
    Page("POST", _CREDENTIAL + "/secrets/{secret}/delete", delete_secret, role="developer", section="projects"),
    Page("POST", _CREDENTIAL + "/delete", delete_credential, role="developer", section="projects"),
)
