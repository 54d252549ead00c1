"""GET of what a registration did not get, and the few words about it that other answers carry. Additions of ours."""

from __future__ import annotations

from typing import get_args
from urllib.parse import urlencode

from msgspec import UNSET

from eventmill.core.envelope import format_time
from eventmill.errors import GatewayError, Reason
from eventmill.flow.undelivered import UndeliveredItem, count_undelivered, read_undelivered
from eventmill.model import Caller, Registration
from eventmill.web.bodies import Link, ReplayCall, ReplayCallBody, UndeliveredBrief
from eventmill.web.checks import show
from eventmill.web.hal import registration_url
from eventmill.web.http import Reply, Request, json_reply
from eventmill.web.parts import Parts
from eventmill.web.positions import positions_of
from eventmill.web.recovery_bodies import Cause, ResendLinks, UndeliveredBody, UndeliveredItemBody
from eventmill.web.registration_reads import workspace_registration

PAGE_SIZE = 100
PAGE_SIZE_MAX = 1000


async def get_undelivered(parts: Parts, request: Request, caller: Caller) -> Reply:
    """GET /events/{org}/{project}/{workspace}/registrations/{registration}/undelivered"""
    registration = await workspace_registration(parts, request, caller)
    limit, causes = _read_limit(request), _read_causes(request)
    after = request.query_value("after")
    positions = await positions_of(parts.store, registration)
    after_seq = 0 if after is None else positions.read("after", after)
    page = await read_undelivered(parts.store, registration, after=after_seq, limit=limit, causes=causes)
    url = registration_url(parts.config.url, registration)
    items = [_item(url, positions.write(each.seq, each.day), each) for each in page.items]
    following = None
    if page.next is not None:
        query = [("after", items[-1].position), ("limit", str(limit)), *(("cause", cause) for cause in causes)]
        following = f"{url}/undelivered?{urlencode(query)}"
    summary = page.summary
    body = UndeliveredBody(summary.total, _time(summary.oldest_ms), summary.causes, items, following)
    return json_reply(200, body)


async def undelivered_brief(parts: Parts, registration: Registration) -> UndeliveredBrief:
    """What can still be sent of it, and the one call that sends it."""
    summary = await count_undelivered(parts.store, registration, after=await parts.store.floor(registration.id))
    href = f"{registration_url(parts.config.url, registration)}/replays"
    call = ReplayCall(method="POST", href=href, body=ReplayCallBody(scope="undelivered"))
    can_send = summary.total > 0 and registration.delivery_type != "journal"
    return UndeliveredBrief(total=summary.total, oldest=_time(summary.oldest_ms), replay=call if can_send else None)


def _read_limit(request: Request) -> int:
    text = request.query_value("limit")
    if text is None:
        return PAGE_SIZE
    limit = int(text) if text.isascii() and text.isdecimal() and len(text) <= 9 else 0
    if not 1 <= limit <= PAGE_SIZE_MAX:
        raise GatewayError(Reason.INVALID_PARAMETER, f"limit must be 1 to {PAGE_SIZE_MAX}, but is {show(text)}")
    return limit


def _read_causes(request: Request) -> tuple[str, ...]:
    causes = tuple(dict.fromkeys(value for name, value in request.query() if name == "cause"))
    known = get_args(Cause)
    for cause in causes:
        if cause not in known:
            message = f"cause must be one of {', '.join(known)}, but is {show(cause)}"
            raise GatewayError(Reason.INVALID_PARAMETER, message)
    return causes


def _item(url: str, position: str, item: UndeliveredItem) -> UndeliveredItemBody:
    resend = UNSET if item.event_id is None else ResendLinks(Link(f"{url}/events/{item.event_id}/resend"))
    return UndeliveredItemBody(
        position=position,
        event_id=item.event_id,
        event_code=item.event_code,
        provider_id=item.provider_id,
        time=_time(item.ts_ms),
        cause=item.cause,
        status=item.status,
        since=format_time(item.at_ms),
        replay=item.replay_id,
        available=item.available,
        links=resend,
    )


def _time(ms: int | None) -> str | None:
    return None if ms is None else format_time(ms)
