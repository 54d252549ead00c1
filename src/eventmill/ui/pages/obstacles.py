"""What keeps workspaces from being deleted, by what is in memory: of thousands, the API would send each."""

from __future__ import annotations

from collections.abc import Collection

from eventmill.ui.visit import Visit


def find_obstacles(visit: Visit, workspace_ids: Collection[str]) -> list[str]:
    """Providers before registrations, those included that use a credential of the workspaces from elsewhere."""
    catalogue, org = visit.parts.catalogue, visit.org.id
    clients = {each.client_id for each in catalogue.credentials(org) if each.workspace_id in workspace_ids}
    providers = [each for each in catalogue.providers(org) if each.workspace_id in workspace_ids]
    registrations = (
        each
        for each in catalogue.registrations()
        if each.org == org and (each.workspace_id in workspace_ids or each.client_id in clients)
    )
    return [f"provider {each.label} ({each.id})" for each in providers] + [
        f"registration {each.name} ({each.registration_id})" for each in registrations
    ]
