"""How organizations, projects, workspaces and credentials are deleted: in one write, with what may go along.

Workspaces and credentials go with what they are in. Providers, registrations and projects do not, because events would
be lost with them: they are named in the refusal. The write itself requires that nothing is left, so nothing that is
created at the same time is orphaned.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from eventmill.errors import Conflict, GatewayError, StaleVersion
from eventmill.flow.writes import WRITES_MAX
from eventmill.model import Credential, Organization, OrgId, Project, Workspace
from eventmill.store.control import ControlOp, Delete, Kind, RequireNone
from eventmill.web.checks import show
from eventmill.web.parts import Parts
from eventmill.web.paths import not_found
from eventmill.web.tenancy import Tenant, kind_of, org_of, publish_change

_SHOWN_MAX = 10


class Occupant(msgspec.Struct, frozen=True):
    """What keeps a tenant from being deleted."""

    kind: Kind
    id: str
    name: str
    workspace_id: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {show(self.name)} ({self.id})"


class _Named(msgspec.Struct):
    """The members of providers, registrations and projects that say which one it is."""

    label: str = ""
    name: str = ""
    workspace_id: str = ""


async def find_occupants(parts: Parts, doc: Tenant) -> list[Occupant]:
    """What is in the tenant and does not go with it: providers before registrations."""
    match doc:
        case Organization():
            return await _holders(parts, "project", doc.id, ("org", doc.id))
        case Project():
            found = [each for place in await _workspaces(parts, doc) for each in await find_occupants(parts, place)]
            return sorted(found, key=lambda each: each.kind)
        case Workspace():
            key = ("workspace", doc.id)
            found = await _holders(parts, "provider", doc.org, key)
            found += await _holders(parts, "registration", doc.org, key)
            for credential in await _credentials(parts, doc):
                # In lenient mode a registration may have had the client id before a credential elsewhere got it.
                found += [each for each in await find_occupants(parts, credential) if each.workspace_id != doc.id]
            return found
        case Credential():
            return await _holders(parts, "registration", doc.org, ("client", doc.client_id))


async def _holders(parts: Parts, kind: Kind, org: OrgId, key: tuple[str, str]) -> list[Occupant]:
    found = []
    for stored in await parts.store.list_docs(kind, org, key):
        named = msgspec.json.decode(stored.doc, type=_Named)
        found.append(Occupant(kind, stored.id, named.label or named.name, named.workspace_id))
    return found


async def _workspaces(parts: Parts, project: Project) -> list[Workspace]:
    stored = await parts.store.list_docs("workspace", project.org, ("project", project.id))
    return [msgspec.json.decode(each.doc, type=Workspace) for each in stored]


async def _credentials(parts: Parts, workspace: Workspace) -> list[Credential]:
    stored = await parts.store.list_docs("credential", workspace.org, ("workspace", workspace.id))
    return [msgspec.json.decode(each.doc, type=Credential) for each in stored]


async def delete_tenant(parts: Parts, doc: Tenant, by: str) -> None:
    """Delete the tenant with the workspaces and credentials in it. 409 names what has to be deleted before."""
    last: GatewayError = not_found(f"{kind_of(doc)} {doc.id}")
    for _ in range(WRITES_MAX):
        occupants = await find_occupants(parts, doc)
        if occupants:
            raise _occupied(doc, occupants)
        try:
            await parts.store.write(await _deletion(parts, doc))
        except (Conflict, StaleVersion) as error:  # something came or went meanwhile
            last = error
            if await parts.store.get(kind_of(doc), org_of(doc), doc.id) is None:
                await parts.catalogue.refresh()
                raise not_found(f"{kind_of(doc)} {doc.id}") from None
            continue
        await publish_change(parts, "deleted", doc, by)
        return
    raise last


def _occupied(doc: Tenant, occupants: Sequence[Occupant]) -> Conflict:
    named = ", ".join(str(each) for each in occupants[:_SHOWN_MAX])
    more = len(occupants) - _SHOWN_MAX
    if more > 0:
        named += f" and {more} more"
    s = "s" if len(occupants) == 1 else ""
    verb = f"use{s}" if isinstance(doc, Credential) else f"belong{s} to"
    message = f"{kind_of(doc)} {doc.id} cannot be deleted: {named} {verb} it; delete what is named first"
    return Conflict(message, occupants[0].id)


async def _deletion(parts: Parts, doc: Tenant) -> list[ControlOp]:
    """What is in it goes first, then nothing may be left, also of what came after it was looked up."""
    ops: list[ControlOp] = []
    org = org_of(doc)
    match doc:
        case Organization():
            ops.append(RequireNone("project", org, ("org", doc.id)))
        case Project():
            for workspace in await _workspaces(parts, doc):
                ops += await _deletion(parts, workspace)
            ops.append(RequireNone("workspace", org, ("project", doc.id)))
        case Workspace():
            for credential in await _credentials(parts, doc):
                ops += await _deletion(parts, credential)
            kinds: tuple[Kind, ...] = ("credential", "provider", "registration")
            ops += [RequireNone(kind, org, ("workspace", doc.id)) for kind in kinds]
        case Credential():
            ops.append(RequireNone("registration", org, ("client", doc.client_id)))
    return [*ops, Delete(kind_of(doc), org, doc.id)]
