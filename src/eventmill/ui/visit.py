"""One request of a person for a page: what was asked, by whom, and the ways to answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from eventmill.errors import GatewayError, Reason
from eventmill.model import Organization
from eventmill.ui.act import Outcome
from eventmill.ui.cookies import ROOT, Flash, cookie_name, pack_flash, set_cookie
from eventmill.ui.page import Page
from eventmill.ui.person import Person
from eventmill.web.http import JSON_TYPE, NOT_STORED, Reply, Request
from eventmill.web.parts import Parts

if TYPE_CHECKING:
    from eventmill.ui.console import Console

HTML = "text/html; charset=utf-8"


class Visit:
    __slots__ = ("_org", "console", "flash", "form", "page", "person", "preferences", "request")

    def __init__(self, console: Console, request: Request, page: Page, person: Person) -> None:
        self.console = console
        self.request = request
        self.page = page
        self.person = person
        self.form: dict[str, list[str]] = {}
        """Of a POST, by name; its CSRF token was checked."""
        self.flash: Flash | None = None
        self.preferences: dict[str, str] = {}
        self._org: Organization | None = None

    @property
    def parts(self) -> Parts:
        return self.console.parts

    @property
    def org(self) -> Organization:
        assert self._org is not None, "a page below an organization"
        return self._org

    @property
    def has_org(self) -> bool:
        return self._org is not None

    def enter(self, org: Organization) -> None:
        self._org = org

    @property
    def params(self) -> Mapping[str, str]:
        """Of the path, decoded."""
        return self.request.params

    @property
    def can_write(self) -> bool:
        return self.person.may("developer")

    def field(self, name: str) -> str:
        """Of the form, without blanks around; empty when it is missing."""
        values = self.form.get(name)
        return values[-1].strip() if values else ""

    def fields(self, name: str) -> list[str]:
        return self.form.get(name, [])

    def query(self, name: str) -> str:
        return (self.request.query_value(name) or "").strip()

    def url(self, *segments: str, **query: str) -> str:
        """Of a page below the organization."""
        path = "".join(f"/{quote(each, safe='')}" for each in segments)
        given = {name: value for name, value in query.items() if value}
        return f"{ROOT}/orgs/{quote(self.org.id, safe='')}{path}{'?' + urlencode(given) if given else ''}"

    @property
    def here(self) -> str:
        """Path and query of this page."""
        return self.request.target

    # --- Doing ---

    async def act(self, method: str, path: str, body: object = None) -> Outcome:
        """Calls the API for the person and the organization. What it refuses is in the outcome."""
        org = self.org.id if self._org is not None else None
        return await self.console.actions.call(self.person, org, method, path, body, self.request.peer)

    async def read(self, path: str) -> Any:
        """What the API answers to a GET. Raises its refusal, which then is what the page shows."""
        outcome = await self.act("GET", path)
        if not outcome.ok:
            raise GatewayError(_reason(outcome), outcome.message)
        return outcome.body

    def curl(self, method: str, path: str, body: object = None, media_type: str = JSON_TYPE) -> str:
        """The call that an action makes, for those who would rather make it themselves."""
        org = self.org.id if self._org is not None else None
        return self.console.actions.curl(org, method, path, body, media_type)

    # --- Answering ---

    def render(self, template: str, *, status: int = 200, stored: bool = True, **values: Any) -> Reply:
        """`stored` False: not even the browser's history may keep it."""
        html = self.console.views.render(template, {"visit": self, **values})
        headers = NOT_STORED if not stored else ((b"cache-control", b"no-cache, private"),)
        return Reply(status, html.encode(), HTML, headers)

    def refusal(self, template: str, outcome: Outcome, **values: Any) -> Reply:
        """The form again, with what was said against it."""
        return self.render(template, status=outcome.status, refusal=outcome, **values)

    def redirect(self, url: str, said: str = "", kind: str = "ok") -> Reply:
        """To a page of the console; after a POST. `said` is shown there once."""
        headers = [(b"location", url.encode("ascii", "ignore"))]
        if said:
            name = cookie_name(self.parts.config, "flash")
            headers.append(set_cookie(self.parts.config, name, pack_flash(Flash(said, kind)), max_age_s=60))
        return Reply(303, headers=tuple(headers))

    def not_found(self, what: str) -> GatewayError:
        return GatewayError(Reason.NOT_FOUND, f"there is no {what} here")


def _reason(outcome: Outcome) -> Reason:
    return next((each for each in Reason if each.code == outcome.reason), Reason.INTERNAL)
