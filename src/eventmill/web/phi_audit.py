"""GET of an organization's audit trail of events with protected health information. An addition of ours."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec

from eventmill.core.envelope import format_time
from eventmill.errors import GatewayError, Reason
from eventmill.ids import uuid_text
from eventmill.model import Caller
from eventmill.store.audit import AuditOutcome, AuditRecord
from eventmill.web.checks import show
from eventmill.web.http import NOT_STORED, Reply, Request, json_reply
from eventmill.web.parts import Parts
from eventmill.web.paths import path_organization

RECORDS_MAX = 1000
_END_MS = 1 << 62


class AuditRecordBody(msgspec.Struct, frozen=True):
    number: Annotated[int, msgspec.Meta(description="Ascending; good for `after`.")]
    time: Annotated[str, msgspec.Meta(description="Business time.")]
    outcome: AuditOutcome
    status: Annotated[int | None, msgspec.Meta(description="HTTP or 6xx status; null: there was none.")]
    id: Annotated[str, msgspec.Meta(description="The CloudEvents id.")]
    event_id: Annotated[str, msgspec.Meta(description="The gateway's own id of the event.")]
    provider_id: str
    event_code: str
    client_id: Annotated[str, msgspec.Meta(description="Api key of the publisher.")]
    registration_id: Annotated[str | None, msgspec.Meta(description="null: it is about the event's receipt.")]


class AuditPage(msgspec.Struct, frozen=True):
    records: list[AuditRecordBody]
    next: Annotated[int | None, msgspec.Meta(description="Good for `after`; null: there is no more now.")]


async def get_phi_audit(parts: Parts, request: Request, caller: Caller) -> Reply:
    """GET /events/{org}/phi-audit"""
    org = path_organization(parts, request, caller).id
    from_ms, to_ms = _time(request, "from", 0), _time(request, "to", _END_MS)
    after, limit = _number(request, "after", 0), max(1, min(_number(request, "limit", RECORDS_MAX), RECORDS_MAX))
    records = await parts.store.phi_audit(org, from_ms, to_ms, after, limit)
    more = records[-1].number if len(records) == limit else None
    return json_reply(200, AuditPage([_body(each) for each in records], more), headers=NOT_STORED)


def _time(request: Request, name: str, default: int) -> int:
    text = request.query_value(name)
    if text is None:
        return default
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        message = f"{name}: must be a date or an RFC 3339 time such as 2026-03-01T10:00:00Z, but is {show(text)}"
        raise GatewayError(Reason.INVALID_PARAMETER, message) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_value(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise GatewayError(Reason.INVALID_PARAMETER, f"{name}: must be a whole number, but is {show(text)}")
    return int(text)


def _body(record: AuditRecord) -> AuditRecordBody:
    return AuditRecordBody(
        number=record.number,
        time=format_time(record.at_ms),
        outcome=record.outcome,
        status=record.status or None,
        id=record.id,
        event_id=uuid_text(record.event_id),
        provider_id=record.provider_id,
        event_code=record.event_code,
        client_id=record.client_id,
        registration_id=record.registration_id or None,
    )
