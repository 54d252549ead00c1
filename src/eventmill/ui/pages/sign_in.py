"""Signing in with a password, and out again. Who failed too often waits; what was wrong is never told."""

from __future__ import annotations

import asyncio

import structlog

from eventmill import telemetry
from eventmill.ui.cookies import ROOT, cookie_name, read_cookies, set_cookie
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
    has_oidc = bool(visit.parts.config.console_oidc_client_id)
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
    Page("POST", f"{ROOT}/sign-out", sign_out),
)
