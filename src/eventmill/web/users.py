"""People who sign in to the console: /console/users, an addition of ours. Writing them is the operator's alone.

A changed password, role or organization ends the person's sessions; a password is never answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Annotated
from urllib.parse import quote

import msgspec
import structlog

from eventmill import telemetry
from eventmill.clock import Clock
from eventmill.errors import Conflict, GatewayError, Reason, StaleVersion, StartupError
from eventmill.flow.writes import WRITES_MAX
from eventmill.ids import IdSource
from eventmill.model import BUILTIN_ORG, Caller, OrgId, Role, User
from eventmill.store.control import ControlReads, ControlStore, Create, Delete, Replace
from eventmill.web.bootstrap import UserEntry
from eventmill.web.checks import read_object, show
from eventmill.web.http import NO_CONTENT, Reply, Request, json_reply
from eventmill.web.invoking import USERS
from eventmill.web.parts import Parts
from eventmill.web.passwords import SALT_BYTES, hash_password
from eventmill.web.paths import not_found
from eventmill.web.user_forms import UserForm, UserUpdate

log = structlog.get_logger()


class UserBody(msgspec.Struct, frozen=True):
    name: str
    role: Role
    organizations: Annotated[Sequence[str], msgspec.Meta(description="By their ids; none: every organization.")]


async def list_users(parts: Parts, _request: Request, caller: Caller) -> Reply:
    """GET /console/users: all for the operator, else those that may see the caller's organization alone."""
    users = await read_users(parts.store)
    visible = [each for each in users if _sees_all(parts, caller) or caller.org in each.orgs]
    return json_reply(200, [_body(each) for each in visible])


async def create_user(parts: Parts, request: Request, caller: Caller) -> Reply:
    """POST /console/users"""
    _permit_operator(parts, caller)
    form = read_object(await request.json_body(parts.config.request_bytes_max), UserForm)
    _check_organizations(parts, form.organizations)
    user = User(
        name=form.name,
        role=form.role,
        orgs=tuple(OrgId(each) for each in form.organizations),
        password_hash=await _hashed(parts.ids, form.password),
        created_ms=parts.clock.machine_ms(),
    )
    try:
        await parts.store.write([Create("user", BUILTIN_ORG, user.name, msgspec.json.encode(user))])
    except Conflict:
        raise Conflict(f"there is a user named {user.name} already", user.name) from None
    _tell("created", user.name, caller)
    location = f"{USERS}/{quote(user.name, safe='')}"
    return json_reply(201, _body(user), headers=((b"location", location.encode()),))


async def update_user(parts: Parts, request: Request, caller: Caller) -> Reply:
    """PATCH /console/users/{user}: what is missing stays."""
    _permit_operator(parts, caller)
    form = read_object(await request.json_body(parts.config.request_bytes_max), UserUpdate)
    if form.organizations is not None:
        _check_organizations(parts, form.organizations)
    password_hash = None if form.password is None else await _hashed(parts.ids, form.password)
    now_ms = parts.clock.machine_ms()

    def decide(user: User) -> User:
        orgs = user.orgs if form.organizations is None else tuple(OrgId(each) for each in form.organizations)
        return msgspec.structs.replace(
            user,
            role=form.role or user.role,
            orgs=orgs,
            password_hash=password_hash or user.password_hash,
            sessions_after_ms=now_ms,
        )

    changed = await change_user(parts.store, request.params["user"], decide)
    _tell("changed", changed.name, caller)
    return json_reply(200, _body(changed))


async def delete_user(parts: Parts, request: Request, caller: Caller) -> Reply:
    """DELETE /console/users/{user}: its sessions end with the answer."""
    _permit_operator(parts, caller)
    name = request.params["user"]
    try:
        await parts.store.write([Delete("user", BUILTIN_ORG, name)])
    except StaleVersion:
        raise not_found(f"user {show(name)}") from None
    _tell("deleted", name, caller)
    return NO_CONTENT


async def read_users(store: ControlReads) -> list[User]:
    """By name."""
    stored = await store.list_docs("user", BUILTIN_ORG)
    return sorted((msgspec.json.decode(each.doc, type=User) for each in stored), key=lambda each: each.name)


async def find_user(store: ControlReads, name: str) -> User | None:
    stored = await store.get("user", BUILTIN_ORG, name)
    return None if stored is None else msgspec.json.decode(stored.doc, type=User)


async def change_user(store: ControlStore, name: str, decide: Callable[[User], User]) -> User:
    for _ in range(WRITES_MAX):
        stored = await store.get("user", BUILTIN_ORG, name)
        if stored is None:
            raise not_found(f"user {show(name)}")
        changed = decide(msgspec.json.decode(stored.doc, type=User))
        try:
            await store.write([Replace("user", BUILTIN_ORG, name, msgspec.json.encode(changed), stored.version)])
        except StaleVersion:
            continue
        return changed
    raise StaleVersion("user", name)


async def ensure_users(store: ControlStore, ids: IdSource, clock: Clock, entries: Sequence[UserEntry]) -> None:
    """Create those of the bootstrap file that are missing; those that exist stay as they are."""
    for each in entries:
        if await find_user(store, each.name) is not None:
            continue
        user = User(
            name=each.name,
            role=each.role,
            orgs=tuple(OrgId(org) for org in each.organizations),
            password_hash=await _hashed(ids, each.password),
            created_ms=clock.machine_ms(),
        )
        try:
            await store.write([Create("user", BUILTIN_ORG, user.name, msgspec.json.encode(user))])
        except Conflict as conflict:
            raise StartupError(f"user {each.name} of the bootstrap file was created by another node") from conflict


async def _hashed(ids: IdSource, password: str) -> str:
    return await asyncio.to_thread(hash_password, password, ids.random(SALT_BYTES))


def _check_organizations(parts: Parts, organizations: Sequence[str]) -> None:
    for each in organizations:
        if parts.catalogue.organization(OrgId(each)) is None:
            raise GatewayError(Reason.INVALID_BODY, f"organizations: there is no organization {show(each)}")


def _sees_all(parts: Parts, caller: Caller) -> bool:
    return caller.is_admin or (parts.config.lenient and caller.org is None)


def _permit_operator(parts: Parts, caller: Caller) -> None:
    if not (caller.is_admin or parts.config.lenient):
        message = "users are the operator's: use eventmill user, or a token it was given"
        raise GatewayError(Reason.NOT_PERMITTED, message)


def _body(user: User) -> UserBody:
    return UserBody(user.name, user.role, user.orgs)


def _tell(action: str, name: str, caller: Caller) -> None:
    log.info(telemetry.USER_CHANGED, action=action, user=name, by=caller.client_id)
