"""The coordinates of a gateway, read from its data directory or database: URLs, ids, a credential and tokens.

Works beside a running gateway and without one: it only reads, and signs tokens with the token key found there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec

from eventmill.clock import SystemClock
from eventmill.config import Config
from eventmill.errors import StartupError
from eventmill.model import Credential, Doc, Organization, Project, SigningKey, Workspace
from eventmill.store.control import Kind
from eventmill.store.open import place_of, read_documents
from eventmill.store.seal import Sealer, read_seal_key
from eventmill.web.tokens import Grant, load_token_key, mint_token

Document = TypeVar("Document", bound=Doc)


class Coordinates(msgspec.Struct, frozen=True):
    """A credential and what it belongs to."""

    organization: Organization
    project: Project
    workspace: Workspace
    credential: Credential


def find_coordinates(config: Config, workspace_id: str | None) -> Coordinates:
    """Those of the named workspace, else of the first one that has a credential.

    Raises `StartupError` naming what is missing and the remedy.
    """
    kinds: tuple[Kind, ...] = ("organization", "project", "workspace", "credential")
    organizations, projects, workspaces, credentials = read_documents(config, *kinds)
    workspace, credential = _find_credential(
        place_of(config), _decode(workspaces, Workspace), _decode(credentials, Credential), workspace_id
    )
    return Coordinates(
        organization=next(each for each in _decode(organizations, Organization) if each.id == workspace.org),
        project=next(
            each for each in _decode(projects, Project) if (each.org, each.id) == (workspace.org, workspace.project_id)
        ),
        workspace=workspace,
        credential=credential,
    )


def read_environment(config: Config, workspace_id: str | None) -> dict[str, str]:
    """The values of `eventmill env`, in their order; raises as `find_coordinates` does."""
    found = find_coordinates(config, workspace_id)
    credential = found.credential
    sealer = _open_sealer(config)
    return {
        "api_url": config.url,
        "ingress_url": f"{config.url}/ingress",
        "journal_url": config.url,
        "ims_url": config.url,
        "console_url": config.url,
        "keys_url": config.url,
        "ims_org_id": found.organization.ims_org_id,
        "consumer_org_id": found.organization.id,
        "project_id": found.project.id,
        "workspace_id": found.workspace.id,
        "credential_id": credential.id,
        "client_id": credential.client_id,
        "client_secret": sealer.unseal(credential.sealed_secret, f"credential:{credential.id}").decode(),
        "access_token": mint_service_token(config, found),
    }


def mint_service_token(config: Config, coordinates: Coordinates) -> str:
    """A token with which the credential acts for itself."""
    ims_org_id = coordinates.organization.ims_org_id
    return _mint(config, Grant.for_credential(coordinates.credential, ims_org_id, config.token_lifetime_s))


def mint_admin_token(config: Config) -> str:
    """A token of the operator's, for every organization. Whoever can open the gateway's keys is the operator.

    Raises `StartupError` naming what is missing and the remedy.
    """
    return _mint(config, Grant.for_operator(config.token_lifetime_s))


def _mint(config: Config, grant: Grant) -> str:
    (keys,) = read_documents(config, "signing_key")
    try:
        key = load_token_key(_decode(keys, SigningKey), _open_sealer(config))
    except LookupError as error:
        raise StartupError(f"{place_of(config)} has no token key yet ({error}); start the gateway once") from error
    return mint_token(key, grant, now_ms=SystemClock().machine_ms())


def _find_credential(
    place: str, workspaces: Sequence[Workspace], credentials: Sequence[Credential], workspace_id: str | None
) -> tuple[Workspace, Credential]:
    wanted = [each for each in workspaces if workspace_id in (None, each.id)]
    if not workspaces:
        raise StartupError(
            f"{place} has no workspace yet; eventmill org create NAME makes one, as serve --bootstrap FILE or --dev do"
        )
    if not wanted:
        known = ", ".join(workspace.id for workspace in workspaces[:20])
        raise StartupError(f"{place} has no workspace {workspace_id}; it has {known}")
    for workspace in wanted:
        for credential in credentials:
            if (credential.org, credential.workspace_id) == (workspace.org, workspace.id):
                return workspace, credential
    which = f"workspace {workspace_id}" if workspace_id else "no workspace"
    has = "has no" if workspace_id else "has a"
    raise StartupError(f"{which} in {place} {has} credential; make one with: eventmill credential create")


def _open_sealer(config: Config) -> Sealer:
    return Sealer(read_seal_key(config))


def _decode(docs: Iterable[bytes], of: type[Document]) -> list[Document]:
    return [msgspec.json.decode(doc, type=of) for doc in docs]
