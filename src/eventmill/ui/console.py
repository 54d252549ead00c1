"""The console of one process: finds the page, the person and the organization of a request, and words what goes wrong.

No page is made, and no form looked at, before the person may see it.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote

import structlog

from eventmill import telemetry
from eventmill.errors import GatewayError, Reason
from eventmill.model import Organization, OrgId, Project, Provider
from eventmill.ui.act import Actions
from eventmill.ui.assets import Assets
from eventmill.ui.cookies import ROOT, Header, cookie_name, read_cookies, set_cookie, unpack_flash
from eventmill.ui.figures import Figures
from eventmill.ui.lockout import Lockout
from eventmill.ui.outside import OutsideSignIn
from eventmill.ui.page import SECTIONS, Page, Section
from eventmill.ui.person import Person
from eventmill.ui.routes import page_router
from eventmill.ui.sessions import Sessions, csrf_token
from eventmill.ui.views import Views
from eventmill.ui.visit import Visit
from eventmill.web.http import ClientGoneError, Receive, Reply, Request, Scope, parse_urlencoded, path_segments
from eventmill.web.parts import Parts

log = structlog.get_logger()

NOBODY = Person("", "viewer", (OrgId("-"),))


class Place(NamedTuple):
    """A workspace."""

    value: str
    """`<project id>/<workspace id>`"""
    label: str


_FORM = "application/x-www-form-urlencoded"


class Console:
    def __init__(self, parts: Parts, figures: Figures) -> None:
        self.parts = parts
        self.figures = figures
        self.actions = Actions(parts)
        self.sessions = Sessions(parts)
        self.lockout = Lockout(parts.config.sign_in_failures_max, parts.config.sign_in_delay_s_max)
        has_issuer = bool(parts.config.console_oidc_client_id and parts.config.oidc_issuer)
        self.outside = OutsideSignIn(parts) if has_issuer else None
        """None: people sign in here only."""
        self.live_streams = 0
        """Pages that renew themselves now."""
        self._assets = Assets()
        self._router = page_router(dev_mode=parts.dev is not None)
        self.sections = tuple(each for each in SECTIONS if self._has(each))
        self.views = Views(self._assets, {"sections": self.sections, "dev_mode": parts.dev is not None, "parts": parts})

    def _has(self, section: Section) -> bool:
        found = self._router.find(["ui", "orgs", "-", *section.path.split("/")[1:]])
        return found is not None and "GET" in found[0]

    @property
    def signs_in_by_itself(self) -> bool:
        """Whoever reaches a gateway that checks no tokens may do everything anyway."""
        return self.parts.config.dev and self.parts.config.lenient

    async def answer(self, scope: Scope, receive: Receive, request_id: str) -> Reply:
        """A page, or a page that says what was wrong. Raises nothing."""
        segments = path_segments(scope)
        if segments[:2] == ["ui", "static"] and len(segments) == 3:
            return self._static(segments[2])
        methods, params = self._router.find([each for each in segments if each]) or ({}, {})
        request = Request(scope, receive, params)
        page = methods.get("GET" if request.method == "HEAD" else request.method)
        visit = Visit(self, request, page or Page("GET", "", _nothing), NOBODY)
        cookies: tuple[Header, ...] = ()
        try:
            cookies = await self._identify(visit, read_cookies(request))
            reply = await self._handle(visit, page)
        except GatewayError as error:
            reply = self._error(visit, error.reason.status, error.message)
        except ClientGoneError:
            return Reply(400)
        except Exception:
            log.exception(telemetry.REQUEST_FAILED, request_id=request_id, method=request.method, path=scope["path"])
            message = f"The gateway failed; its log tells more under {request_id}"
            reply = self._error(visit, Reason.INTERNAL.status, message)
        if cookies:
            return Reply(reply.status, reply.body, reply.content_type, (*reply.headers, *cookies), reply.stream)
        return reply

    def _static(self, name: str) -> Reply:
        try:
            return self._assets.reply(name)
        except GatewayError as error:
            return Reply(error.reason.status, error.message.encode(), "text/plain; charset=utf-8")

    async def _identify(self, visit: Visit, cookies: Mapping[str, str]) -> tuple[Header, ...]:
        """Who it is, what the last page left to say, and the cookies to set."""
        config = self.parts.config
        fresh: list[Header] = []
        token = cookies.get(cookie_name(config, "session"), "")
        person = await self.sessions.find(token) if token else None
        if person is None:
            name = cookie_name(config, "visitor")
            visitor = cookies.get(name, "")
            if not visitor:
                visitor = base64.urlsafe_b64encode(self.parts.ids.random(24)).decode()
                fresh.append(set_cookie(config, name, visitor))
            csrf = csrf_token(visitor)
            if self.signs_in_by_itself:
                person = Person("dev", "admin", (), csrf, can_sign_out=False)
            else:
                person = Person("", "viewer", NOBODY.orgs, csrf)
        visit.person = person
        visit.preferences = {each: cookies.get(f"eventmill_{each}", "") for each in ("theme", "time")}
        flash = cookies.get(cookie_name(config, "flash"), "")
        if flash and visit.request.method == "GET" and "text/html" in visit.request.header(b"accept"):
            visit.flash = unpack_flash(flash)
            fresh.append(set_cookie(config, cookie_name(config, "flash"), "", max_age_s=0))
        return tuple(fresh)

    async def _handle(self, visit: Visit, page: Page | None) -> Reply:
        is_open = page is not None and page.is_open
        if not visit.person.name and not is_open:
            return self._ask_to_sign_in(visit)
        if page is None:
            raise GatewayError(Reason.NOT_FOUND, "there is no such page")
        if "org" in visit.params:
            visit.enter(self._organization(visit))
        if visit.request.method == "POST":
            await self._read_form(visit)
        if not is_open and not visit.person.may(page.role):
            raise GatewayError(Reason.NOT_PERMITTED, f"this needs the role {page.role}; yours is {visit.person.role}")
        return await page.handler(visit)

    def _ask_to_sign_in(self, visit: Visit) -> Reply:
        if visit.request.method not in ("GET", "HEAD"):
            return self._error(visit, 401, "Your session is over. Sign in again; what you sent was not looked at.")
        if "text/html" not in visit.request.header(b"accept"):
            return Reply(401, b"sign in first", "text/plain; charset=utf-8")
        return visit.redirect(f"{ROOT}/sign-in?next={quote(visit.here, safe='/')}")

    def _organization(self, visit: Visit) -> Organization:
        org = OrgId(visit.params["org"])
        organization = self.parts.catalogue.organization(org)
        if organization is None or not visit.person.sees(org):
            raise GatewayError(Reason.NOT_FOUND, "there is no such organization, or it is not yours to see")
        return organization

    def visible_organizations(self, person: Person) -> list[Organization]:
        return [each for each in self.parts.catalogue.organizations() if person.sees(each.id)]

    def first_page(self, person: Person) -> str:
        """Where a person comes in."""
        visible = self.visible_organizations(person)
        return f"{ROOT}/orgs/{quote(visible[0].id, safe='')}" if visible else f"{ROOT}/welcome"

    def projects(self, org: OrgId) -> list[Project]:
        return self.parts.catalogue.projects(org)

    def own_providers(self, org: OrgId) -> list[Provider]:
        return self.parts.catalogue.providers(org)

    def workspaces(self, org: OrgId) -> list[Place]:
        """For a choice among them, by project."""
        catalogue = self.parts.catalogue
        projects = {each.id: each for each in catalogue.projects(org)}
        return [
            Place(f"{each.project_id}/{each.id}", f"{project.title or project.name} / {each.title or each.name}")
            for each in catalogue.workspaces(org)
            if (project := projects.get(each.project_id)) is not None
        ]

    async def _read_form(self, visit: Visit) -> None:
        """Refuses what another site's page sent."""
        request = visit.request
        if request.header(b"sec-fetch-site") not in ("", "same-origin", "none"):
            raise GatewayError(Reason.NOT_PERMITTED, "this form came from another site")
        declared = request.header(b"content-type").partition(";")[0].strip().lower()
        if declared != _FORM:
            raise GatewayError(Reason.UNSUPPORTED_MEDIA_TYPE, "this takes forms only")
        body = await request.body(self.parts.config.request_bytes_max * 3)
        for name, value in parse_urlencoded(body, "the form"):
            visit.form.setdefault(name, []).append(value.replace("\r\n", "\n"))
        if not hmac.compare_digest(visit.field("csrf").encode(), visit.person.csrf.encode()):
            message = "this form is from another session: go back, reload the page, and send it again"
            raise GatewayError(Reason.NOT_PERMITTED, message)

    def _error(self, visit: Visit, status: int, message: str) -> Reply:
        return visit.render("error.html", status=status, message=message[:1].upper() + message[1:], code=status)


async def _nothing(visit: Visit) -> Reply:
    raise visit.not_found("page")
