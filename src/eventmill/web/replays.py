"""Replays: jobs that send a registration its events again. Additions of ours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from eventmill.core.envelope import format_time
from eventmill.flow.replays import ReplayReport, ReplayRequest
from eventmill.ids import uuid_bytes
from eventmill.model import Caller, Registration
from eventmill.web.bodies import Link, SelfLinks
from eventmill.web.checks import invalid, read_object, show
from eventmill.web.hal import registration_url
from eventmill.web.http import Reply, Request, json_reply
from eventmill.web.parts import Parts
from eventmill.web.paths import not_found
from eventmill.web.positions import Positions, positions_of
from eventmill.web.recovery_bodies import ReplayBody, ReplayEstimate, ReplayForm, ReplayList
from eventmill.web.registration_reads import workspace_registration

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def create_replay(parts: Parts, request: Request, caller: Caller) -> Reply:
    """POST …/replays: 201 with the job, or 200 with the count of a dry run."""
    registration = await workspace_registration(parts, request, caller)
    form = read_object(await request.json_body(parts.config.request_bytes_max), ReplayForm)
    positions = await positions_of(parts.store, registration)
    wanted = _read_wanted(form, positions)
    if form.dry_run:
        return json_reply(200, ReplayEstimate(True, await parts.replays.estimate(registration, wanted)))
    body = _body(parts, registration, await parts.replays.create(registration, wanted), positions)
    return json_reply(201, body, headers=((b"location", body.links.self.href.encode()),))


async def list_replays(parts: Parts, request: Request, caller: Caller) -> Reply:
    """GET …/replays"""
    registration = await workspace_registration(parts, request, caller)
    positions = await positions_of(parts.store, registration)
    reports = await parts.replays.list(registration)
    return json_reply(200, ReplayList([_body(parts, registration, each, positions) for each in reports]))


async def get_replay(parts: Parts, request: Request, caller: Caller) -> Reply:
    """GET …/replays/{replay}"""
    return await _act(parts, request, caller, parts.replays.read)


async def pause_replay(parts: Parts, request: Request, caller: Caller) -> Reply:
    """POST …/replays/{replay}/pause"""
    return await _act(parts, request, caller, parts.replays.pause)


async def resume_replay(parts: Parts, request: Request, caller: Caller) -> Reply:
    """POST …/replays/{replay}/resume"""
    return await _act(parts, request, caller, parts.replays.resume)


async def cancel_replay(parts: Parts, request: Request, caller: Caller) -> Reply:
    """POST …/replays/{replay}/cancel"""
    return await _act(parts, request, caller, parts.replays.cancel)


_Action = Callable[[Registration, str], Awaitable[ReplayReport]]


async def _act(parts: Parts, request: Request, caller: Caller, action: _Action) -> Reply:
    registration = await workspace_registration(parts, request, caller)
    replay_id = request.params["replay"]
    if uuid_bytes(replay_id) is None:
        raise not_found(f"replay {show(replay_id)}", f"registration {registration.registration_id}")
    report = await action(registration, replay_id)
    return json_reply(200, _body(parts, registration, report, await positions_of(parts.store, registration)))


def _read_wanted(form: ReplayForm, positions: Positions) -> ReplayRequest:
    """Raises `INVALID_BODY` and what `Positions.read` raises, naming the member."""
    from_ms, to_ms = _milliseconds(form.published_from), _milliseconds(form.published_to)
    after_seq = None if form.after is None else positions.read("after", form.after)
    to_seq = None if form.until is None else positions.read("until", form.until)
    if (from_ms is not None or to_ms is not None) and (after_seq is not None or to_seq is not None):
        raise invalid("after", "a range is given by times (from, to) or by positions (after, until), not by both")
    if from_ms is not None and to_ms is not None and from_ms >= to_ms:
        raise invalid("to", "must be later than from")
    if after_seq is not None and to_seq is not None and after_seq >= to_seq:
        raise invalid("until", "must be a position behind after")
    if form.scope == "all" and form.causes:
        raise invalid("causes", "can only be given with the scope undelivered; what was delivered has no cause")
    return ReplayRequest(
        from_ms=from_ms,
        to_ms=to_ms,
        after_seq=after_seq,
        to_seq=to_seq,
        scope=form.scope,
        causes=tuple(dict.fromkeys(form.causes)),
        events_per_second=form.events_per_second,
    )


def _milliseconds(time: datetime | None) -> int | None:
    return None if time is None else max(0, (time - _EPOCH) // timedelta(milliseconds=1))


def _body(parts: Parts, registration: Registration, report: ReplayReport, positions: Positions) -> ReplayBody:
    replay, tally = report.replay, report.tally
    sent = tally.handed - tally.waiting
    is_through = replay.state == "done" or replay.total == 0
    return ReplayBody(
        links=SelfLinks(self=Link(f"{registration_url(parts.config.url, registration)}/replays/{replay.id}")),
        id=replay.id,
        registration_id=replay.registration_id,
        state=replay.state,
        reason=replay.reason or None,
        scope=replay.scope,
        causes=list(replay.causes),
        after=positions.write(replay.after_seq),
        until=positions.write(replay.to_seq),
        events_per_second=replay.events_per_second,
        total=replay.total,
        handed=tally.handed,
        waiting=tally.waiting,
        retrying=tally.retrying,
        delivered=tally.delivered,
        failed=tally.failed,
        percent=100.0 if is_through else min(100.0, sent * 1000 // replay.total / 10),
        started=format_time(replay.created_ms),
        updated=format_time(replay.updated_ms),
    )
