"""Calls a route's handler for a caller, and puts on record what it changed: the one place where a change passes, be it
asked for over the network or in the console."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

import structlog

from eventmill import telemetry
from eventmill.errors import GatewayError
from eventmill.flow.actions import PATH_CHARS_MAX, action_id, note_action
from eventmill.model import BUILTIN_ORG, Action, Caller, OrgId
from eventmill.web.endpoint import Handler
from eventmill.web.http import Reply, Request
from eventmill.web.parts import Parts

READING = frozenset({"can-delete", "validate", "backtest"})
"""Last segments of paths whose POST changes nothing."""
_READERS_OWN = frozenset({"cursors"})
"""Segments of paths that readers write to all the time: how far they have come is no change of anything."""

USERS = "/console/users"
"""What people who sign in are below: the whole gateway's, whoever of its organizations the caller acts for."""

log = structlog.get_logger()


def changes_nothing(method: str, path: str) -> bool:
    return method in ("GET", "HEAD") or path.rpartition("/")[2] in READING


class Change(NamedTuple):
    """What was asked for, and how it was answered."""

    method: str
    path: str
    status: int


async def invoke(parts: Parts, handler: Handler, request: Request, caller: Caller) -> Reply:
    reply = await handler(parts, request, caller)
    path = request.target.partition("?")[0]
    if reply.status < 400 and not changes_nothing(request.method, path) and _READERS_OWN.isdisjoint(path.split("/")):
        org = BUILTIN_ORG if path.startswith(USERS) else caller.org or BUILTIN_ORG
        change = Change(request.method, _made(reply) or path, reply.status)
        await note_change(parts, OrgId(request.params.get("org", org)), caller, change)
    return reply


def _made(reply: Reply) -> str:
    """Path of what was made, where the reply names it."""
    return next((urlsplit(value.decode()).path for name, value in reply.headers if name == b"location"), "")


async def note_change(parts: Parts, org: OrgId, caller: Caller, change: Change) -> None:
    """What cannot be noted is logged: the change itself is made already."""
    now_ms = parts.clock.machine_ms()
    action = Action(
        id=action_id(parts.ids, now_ms),
        at_ms=now_ms,
        who=caller.client_id,
        is_operator=caller.is_admin,
        method=change.method,
        path=change.path[:PATH_CHARS_MAX],
        status=change.status,
    )
    try:
        await note_action(parts.store, org, action)
    except GatewayError as error:
        log.warning(telemetry.ACTION_UNNOTED, method=action.method, path=action.path, cause=error.message)
