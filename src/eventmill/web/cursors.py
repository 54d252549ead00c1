"""Named cursors of a journal over HTTP: reading, moving and leasing them. An addition of ours.

Who may read the journal may do all of it.
"""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from eventmill.core.envelope import format_time
from eventmill.errors import GatewayError, Reason
from eventmill.flow.cursors import Conditions, Kept
from eventmill.model import Caller, Registration
from eventmill.web.checks import invalid, read_object, show
from eventmill.web.http import NO_CONTENT, NOT_STORED, Reply, Request, json_reply
from eventmill.web.journal import journal_registration
from eventmill.web.parts import Parts

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_TAG = r'(?:W/)?"[\x21\x23-\x7e]*"'
_TAGS = re.compile(rf"\s*{_TAG}\s*(?:,\s*{_TAG}\s*)*", re.ASCII)
_Count = Annotated[int, msgspec.Meta(ge=0)]
_Seconds = Annotated[float, msgspec.Meta(ge=0)]


def _said(description: str) -> msgspec.Meta:
    return msgspec.Meta(description=description)


class LeaseBody(msgspec.Struct, frozen=True):
    holder: str
    fence: Annotated[int, _said("Number of the lease; to be sent with each move of the cursor.")]
    expires_in_seconds: Annotated[_Seconds, _said("0: it ran out.")]


class CursorBody(msgspec.Struct, frozen=True):
    name: str
    position: Annotated[str, _said("Good for `since`.")]
    lag_events: Annotated[_Count, _said("Events after it, counted up to EVENTMILL_JOURNAL_COUNT_MAX.")]
    lag_seconds: Annotated[_Seconds, _said("Age of the first of them.")]
    expires_in_seconds: Annotated[
        float | None,
        _said("Until the first of them expires, at the earliest; 0: some have. null: there is none that could."),
    ]
    changed: Annotated[str, _said("When it was moved last; business time.")]
    lease: Annotated[LeaseBody | None, _said("The newest lease; null: there never was one.")]


class CursorList(msgspec.Struct, frozen=True):
    cursors: list[CursorBody]


class CursorForm(msgspec.Struct, frozen=True):
    position: Annotated[str, msgspec.Meta(min_length=1, max_length=200, description="Of this journal.")]
    fence: Annotated[int, msgspec.Meta(ge=1, description="Of the lease, while there is one.")] | UnsetType = UNSET


class LeaseForm(msgspec.Struct, frozen=True):
    """`holder` asks for a new lease, `fence` goes on with the newest."""

    ttl_seconds: Annotated[_Seconds, _said("0, with `fence`: the lease is given back.")]
    holder: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] | UnsetType = UNSET
    fence: Annotated[int, msgspec.Meta(ge=1)] | UnsetType = UNSET


async def list_cursors(parts: Parts, request: Request, caller: Caller) -> Reply:
    registration = journal_registration(parts, request, caller)
    found = await parts.cursors.all(registration)
    bodies = [await _body(parts, registration, kept) for kept in found]
    return json_reply(200, CursorList(bodies), headers=NOT_STORED)


async def get_cursor(parts: Parts, request: Request, caller: Caller) -> Reply:
    registration = journal_registration(parts, request, caller)
    return await _reply(parts, registration, await parts.cursors.get(registration, request.params["cursor"]))


async def put_cursor(parts: Parts, request: Request, caller: Caller) -> Reply:
    registration = journal_registration(parts, request, caller)
    name = request.params["cursor"]
    if not _NAME.fullmatch(name):
        raise invalid("the cursor's name", "must be 1 to 64 letters, digits and -_.", Reason.INVALID_PARAMETER)
    form = read_object(await request.json_body(parts.config.request_bytes_max), CursorForm)
    fence = None if form.fence is UNSET else form.fence
    kept, is_new = await parts.cursors.put(registration, name, form.position, fence, _conditions(request))
    return await _reply(parts, registration, kept, 201 if is_new else 200)


async def delete_cursor(parts: Parts, request: Request, caller: Caller) -> Reply:
    registration = journal_registration(parts, request, caller)
    await parts.cursors.delete(registration, request.params["cursor"], _conditions(request))
    return NO_CONTENT


async def lease_cursor(parts: Parts, request: Request, caller: Caller) -> Reply:
    """POST: a new lease for a holder; or, for who shows its fence, more time, or none."""
    registration = journal_registration(parts, request, caller)
    name = request.params["cursor"]
    form = read_object(await request.json_body(parts.config.request_bytes_max), LeaseForm)
    if form.ttl_seconds > parts.config.cursor_lease_s_max:
        raise invalid("ttl_seconds", f"must be at most {parts.config.cursor_lease_s_max}, but is {form.ttl_seconds:g}")
    ttl_ms = round(form.ttl_seconds * 1000)
    if form.fence is not UNSET:
        return await _reply(parts, registration, await parts.cursors.hold(registration, name, form.fence, ttl_ms))
    if form.holder is UNSET:
        raise invalid("holder", "is missing; a lease that goes on has a fence instead")
    if not ttl_ms:
        raise invalid("ttl_seconds", "must be above 0 for a new lease")
    return await _reply(parts, registration, await parts.cursors.lease(registration, name, form.holder, ttl_ms))


def _conditions(request: Request) -> Conditions:
    """Raises `PRECONDITION_FAILED` for one that cannot be read (RFC 9110 §13.1.1): no write may happen then."""
    if_match = ",".join(request.header_values(b"if-match")).strip()
    tags: tuple[str, ...] = ()
    if if_match == "*":
        tags = ("*",)
    elif _TAGS.fullmatch(if_match):
        tags = tuple(re.findall(_TAG, if_match))  # a weak one matches none: ours are strong
    elif if_match:
        message = f"If-Match: must be * or tags in double quotes with commas, but is {show(if_match)}"
        raise GatewayError(Reason.PRECONDITION_FAILED, message)
    return Conditions(tags, request.header(b"if-none-match").strip() == "*")


async def _reply(parts: Parts, registration: Registration, kept: Kept, status: int = 200) -> Reply:
    headers = (*NOT_STORED, (b"etag", kept.tag.encode()))
    return json_reply(status, await _body(parts, registration, kept), headers=headers)


async def _body(parts: Parts, registration: Registration, kept: Kept) -> CursorBody:
    cursor = kept.cursor
    standing = await parts.cursors.standing(registration, cursor)
    lease = None
    if cursor.fence:
        lease = LeaseBody(cursor.holder, cursor.fence, parts.cursors.lease_ms(cursor) / 1000)
    return CursorBody(
        name=cursor.name,
        position=cursor.position,
        lag_events=standing.lag_events,
        lag_seconds=standing.lag_ms / 1000,
        expires_in_seconds=None if standing.expires_in_ms is None else standing.expires_in_ms / 1000,
        changed=format_time(cursor.changed_ms),
        lease=lease,
    )
