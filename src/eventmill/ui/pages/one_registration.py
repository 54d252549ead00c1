"""The registration that a page is about: found by the page's path, and where the API has it."""

from __future__ import annotations

from urllib.parse import quote

from eventmill.model import Registration
from eventmill.ui.visit import Visit

REGISTRATION = "/registrations/{registration}"
"""Begin of the pattern of every page about one; `templates/registrations/tabs.html` leads to each of them."""


def find_registration(visit: Visit) -> Registration:
    """Of the path, and of the visit's organization: what is another's is not there."""
    found = visit.parts.catalogue.registration(visit.org.id, visit.params["registration"])
    if found is None:
        raise visit.not_found("registration")
    return found


def registration_path(registration: Registration) -> str:
    """Of the API."""
    place = f"/events/{registration.org}/{registration.project_id}/{registration.workspace_id}"
    return f"{place}/registrations/{quote(registration.registration_id, safe='')}"


def registration_url(visit: Visit, registration: Registration, *segments: str, **query: str) -> str:
    """Of a page about it."""
    return visit.url("registrations", registration.registration_id, *segments, **query)
