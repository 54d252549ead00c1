"""Coming in: the first page of a person, a page for those who may see nothing yet, and how things are to look."""

from __future__ import annotations

from eventmill.ui.cookies import ROOT, set_cookie
from eventmill.ui.page import Page
from eventmill.ui.visit import Visit
from eventmill.web.http import Reply

_CHOICES = {"theme": ("light", "dark", "auto"), "time": ("utc", "local")}
_ORGANIZATIONS = "/console/organizations"
_A_YEAR_S = 31_536_000


async def come_in(visit: Visit) -> Reply:
    return visit.redirect(visit.console.first_page(visit.person))


async def welcome(visit: Visit) -> Reply:
    if visit.console.visible_organizations(visit.person):
        return visit.redirect(visit.console.first_page(visit.person))
    return visit.render("welcome.html", refusal=None, curl=visit.curl("POST", _ORGANIZATIONS, {"name": "Acme"}))


async def create_organization(visit: Visit) -> Reply:
    """The API asks once more whether the person runs the gateway."""
    made = await visit.act("POST", _ORGANIZATIONS, {"name": visit.field("name")})
    if not made.ok:
        return visit.refusal("welcome.html", made, curl=made.curl)
    return visit.redirect(
        f"{ROOT}/orgs/{made.body['id']}/projects/new", "The organization is there. Begin with a project."
    )


async def set_preference(visit: Visit) -> Reply:
    """Of the browser, not of the person: what a screen is like decides."""
    config = visit.parts.config
    cookies = [
        set_cookie(config, f"eventmill_{name}", value, max_age_s=_A_YEAR_S)
        for name, allowed in _CHOICES.items()
        if (value := visit.field(name)) in allowed
    ]
    reply = visit.redirect(safe_path(visit.field("back")))
    return Reply(reply.status, headers=(*reply.headers, *cookies))


def safe_path(wanted: str) -> str:
    """A page of the console, or its first one: nobody is sent to another site from here."""
    is_ours = wanted.startswith(f"{ROOT}/") and "\\" not in wanted and wanted.isprintable() and wanted.isascii()
    return wanted if is_ours and "//" not in wanted.partition("?")[0] else f"{ROOT}/"


PAGES = (
    Page("GET", ROOT, come_in, "Eventmill"),
    Page("GET", f"{ROOT}/welcome", welcome, "Welcome"),
    Page("POST", f"{ROOT}/welcome", create_organization, "Welcome", role="admin"),
    Page("POST", f"{ROOT}/preferences", set_preference, is_open=True),
)
