"""The coordinates of a gateway, read from its data directory: URLs, ids, a credential and a token.

Works beside a running gateway and without one: it only reads, and signs the token with the directory's own token key.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from eventmill.clock import SystemClock
from eventmill.config import Config
from eventmill.errors import StartupError
from eventmill.model import Credential, Doc, Organization, SigningKey, Workspace
from eventmill.store.base import Kind
from eventmill.store.seal import Sealer, load_seal_key
from eventmill.store.sqlite.snapshot import read_documents
from eventmill.web.tokens import Grant, load_token_key, mint_token

Document = TypeVar("Document", bound=Doc)


def read_environment(config: Config, workspace_id: str | None) -> dict[str, str]:
    """The values of `eventmill env`, in their order; of the first workspace when none is named.

    Raises `StartupError` naming what is missing and the remedy.
    """
    data = Path(config.data)
    workspace = _find_workspace(data, workspace_id)
    credential = _find_credential(data, workspace)
    organization = next(each for each in _read(data, "organization", Organization) if each.id == workspace.org)
    sealer = _open_sealer(config)
    return {
        "api_url": config.url,
        "ingress_url": f"{config.url}/ingress",
        "journal_url": config.url,
        "ims_url": config.url,
        "console_url": config.url,
        "keys_url": config.url,
        "ims_org_id": organization.ims_org_id,
        "consumer_org_id": organization.id,
        "project_id": workspace.project_id,
        "workspace_id": workspace.id,
        "credential_id": credential.id,
        "client_id": credential.client_id,
        "client_secret": sealer.unseal(credential.sealed_secret, f"credential:{credential.id}").decode(),
        "access_token": mint_token(
            load_token_key(_read(data, "signing_key", SigningKey), sealer),
            Grant.for_credential(credential, organization.ims_org_id, config.token_lifetime_s),
            now_ms=SystemClock().machine_ms(),
        ),
    }


def _find_workspace(data: Path, workspace_id: str | None) -> Workspace:
    workspaces = list(_read(data, "workspace", Workspace))
    for workspace in workspaces:
        if workspace_id in (None, workspace.id):
            return workspace
    if not workspaces:
        raise StartupError(f"{data} has no workspace yet; start the gateway with --bootstrap FILE, or with --dev")
    known = ", ".join(workspace.id for workspace in workspaces[:20])
    raise StartupError(f"{data} has no workspace {workspace_id}; it has {known}")


def _find_credential(data: Path, workspace: Workspace) -> Credential:
    for credential in _read(data, "credential", Credential):
        if (credential.org, credential.workspace_id) == (workspace.org, workspace.id):
            return credential
    raise StartupError(f"workspace {workspace.id} in {data} has no credential; give it one in the bootstrap file")


def _open_sealer(config: Config) -> Sealer:
    path = Path(config.data) / "seal.key"
    if not config.seal_key and not path.exists():
        raise StartupError(f"{path} does not exist; set EVENTMILL_SEAL_KEY as it is set for the gateway")
    return Sealer(load_seal_key(config))


def _read(data: Path, kind: Kind, of: type[Document]) -> Iterator[Document]:
    for doc in read_documents(data, kind):
        yield msgspec.json.decode(doc, type=of)
