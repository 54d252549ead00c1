"""People who sign in here: list, adding, roles and deletion for those who run the gateway; and one's own password."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

import msgspec

from eventmill.model import BUILTIN_ORG, Caller, User
from eventmill.ui.act import Outcome
from eventmill.ui.cookies import ROOT
from eventmill.ui.page import Page
from eventmill.ui.pages.listing import next_after, page_of
from eventmill.ui.pages.sign_in import with_session
from eventmill.ui.shown import duration
from eventmill.ui.visit import Visit
from eventmill.web.http import Reply
from eventmill.web.invoking import USERS, Change, note_change
from eventmill.web.passwords import SALT_BYTES, check_password, hash_password
from eventmill.web.users import change_user, find_user

_LISTED = 50
ROLES = (
    ("viewer", "viewer: looks at everything"),
    ("developer", "developer: also changes things"),
    ("admin", "admin: also runs the gateway"),
)
_CHARS_MIN, _CHARS_MAX = 10, 256


async def list_users(visit: Visit) -> Reply:
    return await _list(visit)


async def _list(visit: Visit, refusal: Outcome | None = None) -> Reply:
    _permit(visit)
    found = await visit.read(USERS)
    wanted = visit.query("q").lower()
    found = [each for each in found if wanted in each["name"].lower()]
    shown = page_of(found, visit.query("after"), _LISTED, lambda each: str(each["name"]))
    return visit.render(
        "operations/users.html",
        status=200 if refusal is None else refusal.status,
        tab="users",
        users=shown,
        q=visit.query("q"),
        roles=ROLES,
        organizations=visit.console.visible_organizations(visit.person)[:200],
        next=next_after(found, shown, lambda each: str(each["name"])),
        refusal=refusal,
        curl=visit.curl("GET", USERS),
        calls=[
            ("Add", visit.curl("POST", USERS, {"name": "ann@example.com", "password": "…", "role": "viewer"})),
            ("Set role", visit.curl("PATCH", f"{USERS}/ann@example.com", {"role": "developer"})),
            ("Delete", visit.curl("DELETE", f"{USERS}/ann@example.com")),
        ],
    )


def _permit(visit: Visit) -> None:
    if not visit.person.runs_gateway:
        raise visit.not_found("user")


async def add_user(visit: Visit) -> Reply:
    _permit(visit)
    name = visit.field("name")
    body = {
        "name": name,
        "password": (visit.form.get("password") or [""])[-1],
        "role": visit.field("role"),
        "organizations": [visit.field("organization")] if visit.field("organization") else [],
    }
    made = await visit.act("POST", USERS, body)
    return await _list(visit, made) if not made.ok else visit.redirect(_here(visit), f"{name} can sign in now.")


async def change_role(visit: Visit) -> Reply:
    """Ends the person's sessions."""
    _permit(visit)
    name = visit.params["user"]
    done = await visit.act("PATCH", f"{USERS}/{quote(name, safe='')}", {"role": visit.field("role")})
    said = f"{name} is {visit.field('role')} now, and has to sign in again."
    return await _list(visit, done) if not done.ok else visit.redirect(_here(visit), said)


async def delete_user(visit: Visit) -> Reply:
    _permit(visit)
    name = visit.params["user"]
    done = await visit.act("DELETE", f"{USERS}/{quote(name, safe='')}")
    return await _list(visit, done) if not done.ok else visit.redirect(_here(visit), f"{name} is deleted.")


def _here(visit: Visit) -> str:
    return visit.url("operations", "users")


# --- One's own password ---


async def ask_password(visit: Visit) -> Reply:
    await _self(visit)
    return _form(visit)


async def _self(visit: Visit) -> User:
    user = await find_user(visit.parts.store, visit.person.name)
    if user is None or not visit.person.can_sign_out:
        raise visit.not_found("password of yours: you did not sign in with one")
    return user


def _form(visit: Visit, *, status: int = 200, problem: str = "") -> Reply:
    return visit.render("password.html", status=status, stored=False, problem=problem, least=_CHARS_MIN)


async def set_password(visit: Visit) -> Reply:
    """Whoever does not know the present one is slowed down as at the sign-in. Ends all other sessions."""
    user = await _self(visit)
    now, new = ((visit.form.get(name) or [""])[-1] for name in ("now", "new"))
    lockout, clock, keys = visit.console.lockout, visit.parts.clock, (f"name {user.name.lower()}",)
    wait_s = lockout.wait_s(keys, clock.machine_s())
    if wait_s > 0:
        words = duration(max(1.0, wait_s))
        return _form(visit, status=429, problem=f"Too many failed attempts. Try again in {words}.")
    if not _CHARS_MIN <= len(new) <= _CHARS_MAX:
        return _form(visit, status=400, problem=f"The new password must have {_CHARS_MIN} to {_CHARS_MAX} characters.")
    lockout.failed(keys, clock.machine_s())
    if not await asyncio.to_thread(check_password, now[:_CHARS_MAX], user.password_hash):
        return _form(visit, status=403, problem="That is not your present password.")
    for key in keys:
        lockout.succeeded(key)
    hashed = await asyncio.to_thread(hash_password, new, visit.parts.ids.random(SALT_BYTES))
    now_ms = clock.machine_ms()

    def decide(stored: User) -> User:
        return msgspec.structs.replace(stored, password_hash=hashed, sessions_after_ms=now_ms - 1)

    await change_user(visit.parts.store, user.name, decide)
    caller = Caller(None, f"console:{user.name}", is_admin=visit.person.runs_gateway)
    change = Change("PATCH", f"{USERS}/{quote(user.name, safe='')}", 200)
    await note_change(visit.parts, BUILTIN_ORG, caller, change)
    token = await visit.console.sessions.begin(user.name)
    first = visit.console.first_page(visit.person)
    return with_session(visit, visit.redirect(first, "Your password is changed; other sessions are over."), token)


_PAGE = "/operations/users"

PAGES = (
    Page("GET", _PAGE, list_users, "Users", role="admin", section="operations"),
    Page("POST", _PAGE, add_user, "Users", role="admin", section="operations"),
    Page("POST", _PAGE + "/{user}", change_role, "Users", role="admin", section="operations"),
    Page("POST", _PAGE + "/{user}/delete", delete_user, "Users", role="admin", section="operations"),
    Page("GET", f"{ROOT}/password", ask_password, "Your password"),
    Page("POST", f"{ROOT}/password", set_password, "Your password"),
)
