"""GET /events/{org}/changes: who changed what through the API or in the console. An addition of ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from eventmill.core.envelope import format_time
from eventmill.errors import GatewayError, Reason
from eventmill.flow.actions import KEPT_PER_ORG, read_actions
from eventmill.model import Action, Caller
from eventmill.web.checks import show
from eventmill.web.http import Reply, Request, json_reply
from eventmill.web.parts import Parts
from eventmill.web.paths import path_organization

LISTED = 100


class ChangeBody(msgspec.Struct, frozen=True, kw_only=True):
    id: Annotated[str, msgspec.Meta(description="Good for `after`.")]
    time: Annotated[str, msgspec.Meta(description="Machine time, which no virtual clock moves.")]
    who: Annotated[str, msgspec.Meta(description="The api key, or `console:` and the name of the person.")]
    by_operator: bool
    method: str
    path: str
    status: int


class ChangeList(msgspec.Struct, frozen=True):
    changes: Annotated[Sequence[ChangeBody], msgspec.Meta(description="The newest first.")]
    next: Annotated[str | None, msgspec.Meta(description="Good for `after`; null: there is no more.")]


async def list_changes(parts: Parts, request: Request, caller: Caller) -> Reply:
    """GET /events/{org}/changes"""
    org = path_organization(parts, request, caller).id
    after, limit = request.query_value("after") or "", _limit(request)
    found = [each for each in await read_actions(parts.store, org) if each.id > after]
    return json_reply(200, change_list(found, limit))


def change_list(found: Sequence[Action], limit: int) -> ChangeList:
    shown = found[:limit]
    return ChangeList([_body(each) for each in shown], shown[-1].id if len(found) > limit else None)


def _body(action: Action) -> ChangeBody:
    return ChangeBody(
        id=action.id,
        time=format_time(action.at_ms),
        who=action.who,
        by_operator=action.is_operator,
        method=action.method,
        path=action.path,
        status=action.status,
    )


def _limit(request: Request) -> int:
    text = request.query_value("limit")
    if not text:
        return LISTED
    if text.isascii() and text.isdecimal() and len(text) <= 9 and 1 <= int(text) <= KEPT_PER_ORG:
        return int(text)
    message = f"limit must be a number from 1 to {KEPT_PER_ORG}, but is {show(text)}"
    raise GatewayError(Reason.INVALID_PARAMETER, message)
