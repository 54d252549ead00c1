"""Named cursors of a journal, on the page of the Event Browser: set to a position, and deleted."""

from __future__ import annotations

from urllib.parse import quote

from eventmill.model import Registration
from eventmill.ui.page import Page
from eventmill.ui.pages.journal import ask_journal, journal_page, journal_path
from eventmill.ui.pages.one_registration import REGISTRATION, find_registration, registration_url
from eventmill.ui.visit import Visit
from eventmill.web.http import Reply


def _cursor_path(visit: Visit, registration: Registration, name: str) -> str:
    return f"{journal_path(visit, registration)}/cursors/{quote(name, safe='')}"


async def set_cursor(visit: Visit) -> Reply:
    registration, name = find_registration(visit), visit.field("name")
    path = _cursor_path(visit, registration, name or "-")
    done = await ask_journal(visit, registration, "PUT", path, {"position": visit.field("position")})
    if not done.ok:
        return await journal_page(visit, registration, done)
    back = registration_url(visit, registration, "journal", since=visit.field("position"))
    return visit.redirect(back, f"Cursor {name} is at {visit.field('position')}.")


async def delete_cursor(visit: Visit) -> Reply:
    registration, name = find_registration(visit), visit.params["cursor"]
    done = await ask_journal(visit, registration, "DELETE", _cursor_path(visit, registration, name))
    if not done.ok:
        return await journal_page(visit, registration, done)
    return visit.redirect(registration_url(visit, registration, "journal"), f"Cursor {name} is deleted.")


_CURSORS = REGISTRATION + "/journal/cursors"

PAGES = (
    Page("POST", _CURSORS, set_cursor, "Event Browser", "developer", "registrations"),
    Page("POST", _CURSORS + "/{cursor}/delete", delete_cursor, "Event Browser", "developer", "registrations"),
)
