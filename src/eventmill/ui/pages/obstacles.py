"""What keeps workspaces from being deleted, by what is in memory: of thousands, the API would send each."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from eventmill.ui.visit import Visit


class Obstacle(msgspec.Struct, frozen=True):
    kind: str
    name: str
    id: str
    url: str
    """Of its page, where it is deleted."""


def find_obstacles(visit: Visit, workspace_ids: Collection[str]) -> list[Obstacle]:
    """Providers before registrations, those included that use a credential of the workspaces from elsewhere."""
    catalogue, org = visit.parts.catalogue, visit.org.id
    clients = {each.client_id for each in catalogue.credentials(org) if each.workspace_id in workspace_ids}
    providers = [each for each in catalogue.providers(org) if each.workspace_id in workspace_ids]
    registrations = (
        each
        for each in catalogue.registrations()
        if each.org == org and (each.workspace_id in workspace_ids or each.client_id in clients)
    )
    return [Obstacle("provider", each.label, each.id, visit.url("providers", each.id)) for each in providers] + [
        Obstacle("registration", each.name, each.registration_id, visit.url("registrations", each.registration_id))
        for each in registrations
    ]
