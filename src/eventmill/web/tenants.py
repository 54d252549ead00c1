"""Organizations, projects, workspaces and credentials: from the bootstrap file, or made up when dev mode has none.

Whatever is missing is created in one write, so a file that contradicts the store, or itself, leaves nothing behind.
What the Console API changed since (`web.tenancy`) is not undone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import structlog

from eventmill import telemetry
from eventmill.config import Config
from eventmill.errors import Conflict, StartupError
from eventmill.ids import IdSource
from eventmill.model import Credential, Organization, OrgId, Project, Workspace
from eventmill.store.control import ControlStore, Create, Kind
from eventmill.store.seal import Sealer
from eventmill.web.bootstrap import (
    Bootstrap,
    CredentialEntry,
    OrganizationEntry,
    ProjectEntry,
    WorkspaceEntry,
    read_bootstrap,
)
from eventmill.web.certificates import read_certificate
from eventmill.web.client_secrets import make_secret, open_secret, seal_secret
from eventmill.web.tenancy import Tenant, tenant_keys

log = structlog.get_logger()

_TYPES: Mapping[Kind, type[Any]] = {
    "organization": Organization,
    "project": Project,
    "workspace": Workspace,
    "credential": Credential,
}
_CHANGEABLE = frozenset({"name", "title", "description", "public_keys", "notice_recipients", "pause_notices"})
"""Members that may differ from the file: a project that was renamed must not keep the gateway from its next start."""
_Place = tuple[Kind, str, str]
"""Kind, organization, id."""


def wanted_tenants(config: Config) -> Bootstrap | None:
    """What the bootstrap file says, if there is one. Raises as `read_bootstrap` does."""
    return read_bootstrap(Path(config.bootstrap)) if config.bootstrap else None


async def ensure_tenants(
    store: ControlStore, sealer: Sealer, config: Config, ids: IdSource, wanted: Bootstrap | None
) -> None:
    """Create the tenants of the bootstrap file, or the ready-made one when dev mode starts without any.

    Raises `StartupError` when the file contradicts itself or what is stored.
    """
    held = await _read_held(store)
    has_tenants = any(kind == "organization" for kind, _, _ in held)
    if wanted is not None:
        created = await _create_missing(store, sealer, held, wanted)
        log.info(telemetry.BOOTSTRAP_APPLIED, file=config.bootstrap, created=created)
    elif config.dev and not has_tenants:
        await _create_missing(store, sealer, held, ready_made(ids))
        log.info(telemetry.TENANT_CREATED)
    elif not has_tenants:
        log.warning(telemetry.TENANTS_MISSING, remedy="eventmill org create NAME, or start with --bootstrap FILE")


def ready_made(ids: IdSource) -> Bootstrap:
    """One of each: fixed ids, random IMS organization id, client id and secret."""
    credential = CredentialEntry(
        id="4001",
        name="Local Credential",
        client_id=ids.random(16).hex(),
        client_secret=make_secret(ids),
    )
    workspace = WorkspaceEntry(id="3001", name="Stage", credentials=(credential,))
    project = ProjectEntry(id="2001", name="Local Project", workspaces=(workspace,))
    ims_org_id = ids.random(12).hex().upper() + "@AdobeOrg"
    return Bootstrap((OrganizationEntry("1001", ims_org_id, "Local Organization", (project,)),))


class _Wish(NamedTuple):
    """A document as the file wants it; a credential's secret is beside it, unsealed."""

    kind: Kind
    org: OrgId
    doc: Tenant
    secret: str = ""

    @property
    def place(self) -> _Place:
        return self.kind, self.org, self.doc.id


def _wishes(bootstrap: Bootstrap) -> Iterator[_Wish]:
    for each in bootstrap.organizations:
        org = OrgId(each.id)
        recipients = tuple(each.notice_recipients)
        organization = Organization(id=org, ims_org_id=each.ims_org_id, name=each.name, notice_recipients=recipients)
        yield _Wish("organization", org, organization)
        for project in each.projects:
            yield _Wish("project", org, _project(org, project))
            for workspace in project.workspaces:
                yield from _workspace_wishes(org, project.id, workspace)


def _project(org: OrgId, entry: ProjectEntry) -> Project:
    return Project(
        id=entry.id,
        org=org,
        name=entry.name,
        title=entry.title,
        description=entry.description,
        pause_notices=entry.pause_notices,
    )


def _workspace_wishes(org: OrgId, project_id: str, entry: WorkspaceEntry) -> Iterator[_Wish]:
    workspace = Workspace(
        id=entry.id,
        org=org,
        project_id=project_id,
        name=entry.name,
        title=entry.title,
        description=entry.description,
    )
    yield _Wish("workspace", org, workspace)
    for each in entry.credentials:
        credential = Credential(
            id=each.id,
            org=org,
            project_id=project_id,
            workspace_id=entry.id,
            name=each.name,
            client_id=each.client_id,
            sealed_secret="",
            kind=each.kind,
            public_keys=tuple(read_certificate("public_keys", pem) for pem in each.public_keys),
        )
        yield _Wish("credential", org, credential, each.client_secret)


async def _read_held(store: ControlStore) -> dict[_Place, Tenant]:
    held: dict[_Place, Tenant] = {}
    for kind, model in _TYPES.items():
        for stored in await store.scan(kind):
            held[kind, stored.org, stored.id] = msgspec.json.decode(stored.doc, type=model)
    return held


async def _create_missing(store: ControlStore, sealer: Sealer, held: dict[_Place, Tenant], wanted: Bootstrap) -> int:
    """Returns how many documents were created. Raises `StartupError` on the first contradiction."""
    names = {name: doc for doc in held.values() if (name := _shared_name(doc))}
    ops: list[Create] = []
    for wish in _wishes(wanted):
        known = held.get(wish.place)
        if known is not None:
            _compare(sealer, known, wish)
            continue
        name = _shared_name(wish.doc)
        if name in names:
            raise _contradiction(wish, f"{name} belongs to {names[name].id} of the same kind")
        doc = _sealed(sealer, wish)
        held[wish.place] = doc
        if name:
            names[name] = doc
        ops.append(Create(wish.kind, wish.org, doc.id, msgspec.json.encode(doc), tenant_keys(doc)))
    if ops:
        try:
            await store.write(ops)
        except Conflict as conflict:
            raise StartupError(f"the bootstrap file cannot be applied: {conflict}; correct the file") from conflict
    return len(ops)


def _shared_name(doc: Tenant) -> str:
    """What must be unique beyond the organization, because callers are found by it."""
    if isinstance(doc, Organization):
        return f"ims_org_id {doc.ims_org_id}"
    return f"client_id {doc.client_id}" if isinstance(doc, Credential) else ""


def _sealed(sealer: Sealer, wish: _Wish) -> Tenant:
    if not isinstance(wish.doc, Credential):
        return wish.doc
    return msgspec.structs.replace(wish.doc, sealed_secret=seal_secret(sealer, wish.doc.id, wish.secret))


def _compare(sealer: Sealer, known: Tenant, wish: _Wish) -> None:
    """Ids, places and secrets have to be as the file says; secrets and public keys may have been added since."""
    if isinstance(known, Credential) and isinstance(wish.doc, Credential):
        if wish.secret not in [open_secret(sealer, known, sealed) for sealed in known.sealed_secrets]:
            raise _contradiction(wish, "its client_secret is another")
        if not {*wish.doc.public_keys} <= {*known.public_keys}:
            raise _contradiction(wish, "it lacks a public key of the file")
    for field in wish.doc.__struct_fields__:
        wanted, is_now = getattr(wish.doc, field), getattr(known, field)
        if wanted and field not in _CHANGEABLE and wanted != is_now:
            raise _contradiction(wish, f"its {field} is {is_now}, not {wanted}")


def _contradiction(wish: _Wish, what: str) -> StartupError:
    return StartupError(
        f"the bootstrap file contradicts what exists already: {wish.kind} {wish.doc.id}: {what}; "
        "correct the file, or start with another data directory (--data)"
    )
