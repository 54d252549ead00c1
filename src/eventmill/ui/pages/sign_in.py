"""Signing in with a password, and out again. Who failed too often waits; what was wrong is never told."""

from __future__ import annotations

import asyncio

import structlog

from eventmill import telemetry
from eventmill.errors import GatewayError, Reason
from eventmill.ui.cookies import ROOT, cookie_name, read_cookies, set_cookie
from eventmill.ui.outside import ASKED_FOR_S, CALLBACK
from eventmill.ui.page import Page
from eventmill.ui.pages.home import safe_path
from eventmill.ui.shown import duration
from eventmill.ui.visit import Visit
from eventmill.web.http import Reply
from eventmill.web.passwords import NOBODYS, check_password
from eventmill.web.users import find_user

log = structlog.get_logger()

_NAME_CHARS_MAX = 128
_PASSWORD_CHARS_MAX = 256
_FAILED = "Name and password do not go together."


async def show_sign_in(visit: Visit) -> Reply:
    wanted = safe_path(visit.query("next"))
    if visit.person.name:
        return visit.redirect(wanted)
    return _form(visit, wanted)


def _form(visit: Visit, wanted: str, *, status: int = 200, problem: str = "", name: str = "") -> Reply:
    has_oidc = visit.console.outside is not None
    return visit.render(
        "sign_in.html", status=status, stored=False, next=wanted, problem=problem, name=name, has_oidc=has_oidc
    )


async def sign_in(visit: Visit) -> Reply:
    name, password = visit.field("name"), (visit.form.get("password") or [""])[-1]
    wanted = safe_path(visit.field("next"))
    lockout, clock = visit.console.lockout, visit.parts.clock
    keys = (f"name {name[:_NAME_CHARS_MAX].lower()}", f"address {visit.request.peer}")
    wait_s = lockout.wait_s(keys, clock.machine_s())
    if wait_s > 0:
        problem = f"Too many failed attempts. Try again in {duration(max(1.0, wait_s))}."
        return _form(visit, wanted, status=429, problem=problem, name=name)
    lockout.failed(keys, clock.machine_s())  # taken back below, so that a hundred at once count as a hundred
    if not await _fits(visit, name, password):
        log.warning(telemetry.SIGN_IN_FAILED, user=name[:_NAME_CHARS_MAX], address=visit.request.peer, why="password")
        return _form(visit, wanted, status=401, problem=_FAILED, name=name)
    for key in keys:
        lockout.succeeded(key)
    token = await visit.console.sessions.begin(name)
    log.info(telemetry.SIGNED_IN, user=name, address=visit.request.peer)
    return with_session(visit, visit.redirect(wanted), token)


async def _fits(visit: Visit, name: str, password: str) -> bool:
    """As long for a name that nobody has as for one that somebody has."""
    is_sound = 0 < len(name) <= _NAME_CHARS_MAX and len(password) <= _PASSWORD_CHARS_MAX
    user = await find_user(visit.parts.store, name) if is_sound else None
    stored = NOBODYS if user is None else user.password_hash
    return await asyncio.to_thread(check_password, password[:_PASSWORD_CHARS_MAX], stored) and user is not None


async def ask_outside(visit: Visit) -> Reply:
    """To the issuer's own pages."""
    config, outside = visit.parts.config, visit.console.outside
    if outside is None:
        raise visit.not_found("other place to sign in")
    url, sealed = await outside.ask(safe_path(visit.query("next")))
    cookie = set_cookie(config, cookie_name(config, "oidc"), sealed, max_age_s=ASKED_FOR_S)
    return Reply(303, headers=((b"location", url.encode()), cookie))


async def come_back(visit: Visit) -> Reply:
    """From the issuer, with a code that says who it is."""
    config, outside = visit.parts.config, visit.console.outside
    if outside is None:
        raise visit.not_found("other place to sign in")
    name = cookie_name(config, "oidc")
    asked = outside.remember(read_cookies(visit.request).get(name, ""), visit.query("state"))
    if visit.query("error") or not visit.query("code"):
        raise GatewayError(Reason.NOT_PERMITTED, "your organization did not let you in")
    try:
        person = await outside.come_back(asked, visit.query("code"))
    except GatewayError as error:
        log.warning(telemetry.SIGN_IN_FAILED, user="", address=visit.request.peer, why=error.reason.code)
        raise
    token = await visit.console.sessions.begin(person.name, person.role, person.orgs)
    log.info(telemetry.SIGNED_IN, user=person.name, address=visit.request.peer)
    reply = with_session(visit, visit.redirect(asked.next), token)
    return Reply(reply.status, headers=(*reply.headers, set_cookie(config, name, "", max_age_s=0)))


def with_session(visit: Visit, reply: Reply, token: str) -> Reply:
    config = visit.parts.config
    cookie = set_cookie(config, cookie_name(config, "session"), token, max_age_s=config.session_lifetime_s)
    return Reply(reply.status, headers=(*reply.headers, cookie))


async def sign_out(visit: Visit) -> Reply:
    config = visit.parts.config
    name = cookie_name(config, "session")
    token = read_cookies(visit.request).get(name, "")
    if token:
        await visit.console.sessions.end(token)
    reply = visit.redirect(f"{ROOT}/sign-in")
    return Reply(reply.status, headers=(*reply.headers, set_cookie(config, name, "", max_age_s=0)))


PAGES = (
    Page("GET", f"{ROOT}/sign-in", show_sign_in, "Sign in", is_open=True),
    Page("POST", f"{ROOT}/sign-in", sign_in, "Sign in", is_open=True),
    Page("GET", f"{ROOT}/sign-in/oidc", ask_outside, "Sign in", is_open=True),
    Page("GET", CALLBACK, come_back, "Sign in", is_open=True),
    Page("POST", f"{ROOT}/sign-out", sign_out),
)
