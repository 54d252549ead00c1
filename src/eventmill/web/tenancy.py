"""How organizations, projects, workspaces and credentials are created and changed: one write each, obeyed once it was
answered. Whatever is created requires what it belongs to in that write, so that a deletion at the same time (see
`tenancy_deletion`) leaves no orphan.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TypeVar

import msgspec
import structlog

from eventmill import telemetry
from eventmill.errors import Conflict, GatewayError, LimitReached, Reason, StaleVersion
from eventmill.flow.writes import WRITES_MAX
from eventmill.model import Credential, Organization, OrgId, Project, Workspace
from eventmill.store.control import ControlOp, Create, Key, Kind, Replace, Require
from eventmill.web.checks import show
from eventmill.web.parts import Parts
from eventmill.web.paths import not_found

log = structlog.get_logger()

Tenant = Organization | Project | Workspace | Credential
T = TypeVar("T", Organization, Project, Workspace, Credential)

_PARENTS: dict[Kind, Kind] = {"project": "organization", "workspace": "project", "credential": "workspace"}


def kind_of(doc: Tenant) -> Kind:
    match doc:
        case Organization():
            return "organization"
        case Project():
            return "project"
        case Workspace():
            return "workspace"
        case Credential():
            return "credential"


def org_of(doc: Tenant) -> OrgId:
    return doc.id if isinstance(doc, Organization) else doc.org


def tenant_keys(doc: Tenant, at_most: int = 0) -> tuple[Key, ...]:
    """Under which it is found and made unique. `at_most`: how many may be in its parent; 0: any number.

    A tenant without a name, as a bootstrap file may have, competes with no other.
    """
    match doc:
        case Organization():
            return (Key("ims_org_id", doc.ims_org_id, at_most=1),)
        case Project():
            return (Key("org", doc.org, at_most), *_name_key(doc.name, doc.name))
        case Workspace():
            return (Key("project", doc.project_id, at_most), *_name_key(doc.name, f"{doc.project_id}/{doc.name}"))
        case Credential():
            return (Key("workspace", doc.workspace_id, at_most), Key("client_id", doc.client_id, at_most=1))


def _name_key(name: str, value: str) -> tuple[Key, ...]:
    return (Key("name", value, at_most=1),) if name else ()


def _parent_id(doc: Tenant) -> str:
    match doc:
        case Project():
            return doc.org
        case Workspace():
            return doc.project_id
        case Credential():
            return doc.workspace_id
    return ""


def _at_most(parts: Parts, doc: Tenant) -> int:
    match doc:
        case Project():
            return parts.config.projects_per_org
        case Workspace():
            return parts.config.workspaces_per_project
        case Credential():
            return parts.config.credentials_per_workspace
    return 0


async def new_id(parts: Parts, kind: Kind, org: OrgId | None = None) -> str:
    """A short decimal number that no tenant of the kind has in the organization; `org` None: for an organization.

    Numbers are not given twice, but a bootstrap file may have taken some."""
    while True:
        number = str(await parts.store.allocate("tenant"))
        if await parts.store.get(kind, OrgId(number) if org is None else org, number) is None:
            return number


def _creation(parts: Parts, doc: Tenant) -> list[ControlOp]:
    """The operations that create `doc` while its parent exists."""
    kind, org = kind_of(doc), org_of(doc)
    create = Create(kind, org, doc.id, msgspec.json.encode(doc), tenant_keys(doc, _at_most(parts, doc)))
    parent = _PARENTS.get(kind)
    return [create] if parent is None else [Require(parent, org, _parent_id(doc)), create]


async def create(parts: Parts, doc: Tenant, by: str, *further: Tenant) -> None:
    """Create `doc`, and what comes with it, in one write. `by`: the client id of who asked."""
    ops = [op for each in (doc, *further) for op in _creation(parts, each)]
    try:
        await parts.store.write(ops)
    except Conflict as conflict:
        raise await _taken(parts, doc, conflict) from None
    except LimitReached:
        raise _quota_reached(parts, doc) from None
    await publish_change(parts, "created", doc, by)


async def _taken(parts: Parts, doc: Tenant, conflict: Conflict) -> GatewayError:
    """A quota of 1 is a unique key to the store, so it speaks of a conflict too."""
    match doc:
        case Organization():
            return code_taken(doc.ims_org_id, conflict.conflicting_id or "")
        case Project() | Workspace():
            key = next((key for key in tenant_keys(doc) if key.name == "name"), Key("name", ""))
            holders = await parts.store.list_docs(kind_of(doc), org_of(doc), (key.name, key.value))
            if any(holder.id != doc.id for holder in holders):
                return Conflict(f"a {kind_of(doc)} named {show(doc.name)} exists already", holders[0].id)
    return _quota_reached(parts, doc)


def code_taken(ims_org_id: str, holder_id: str) -> Conflict:
    return Conflict(f"another organization has the code {ims_org_id}", holder_id)


def _quota_reached(parts: Parts, doc: Tenant) -> GatewayError:
    parent = f"{_PARENTS[kind_of(doc)]} {_parent_id(doc)}"
    message = f"{parent} has {_at_most(parts, doc)} {kind_of(doc)}s, which is the limit"
    return GatewayError(Reason.QUOTA_REACHED, message)


async def change(parts: Parts, doc: T, by: str, decide: Callable[[T], T]) -> T:
    """Replace the tenant by what `decide` makes of it as stored; returns that. Decides again when it lost a race."""
    for _ in range(WRITES_MAX - 1):
        with contextlib.suppress(StaleVersion):
            return await _change_once(parts, doc, by, decide)
    return await _change_once(parts, doc, by, decide)


async def _change_once(parts: Parts, doc: T, by: str, decide: Callable[[T], T]) -> T:
    kind, org = kind_of(doc), org_of(doc)
    stored = await parts.store.get(kind, org, doc.id)
    if stored is None:
        raise not_found(f"{kind} {doc.id}")
    changed = decide(msgspec.json.decode(stored.doc, type=type(doc)))
    encoded = msgspec.json.encode(changed)
    if encoded == stored.doc:
        return changed
    try:
        await parts.store.write([Replace(kind, org, doc.id, encoded, stored.version, tenant_keys(changed))])
    except Conflict as conflict:
        raise await _taken(parts, changed, conflict) from None
    await publish_change(parts, "changed", changed, by)
    return changed


async def publish_change(parts: Parts, action: str, doc: Tenant, by: str) -> None:
    """After a write: from now on this process obeys it, and the log knows. `by`: the client id of who asked."""
    await parts.catalogue.refresh()
    log.info(telemetry.TENANCY_CHANGED, action=action, kind=kind_of(doc), id=doc.id, org=org_of(doc), by=by)
