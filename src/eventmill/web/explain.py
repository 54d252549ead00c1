"""What became of an event, for whoever asks why it did not arrive; and the events that nobody was to get.

Additions of ours, both.
"""

from __future__ import annotations

from eventmill.errors import GatewayError, Reason
from eventmill.flow.explain import explain_event, ways_not_taken
from eventmill.ids import uuid_bytes
from eventmill.model import Caller, EventOfInterest
from eventmill.web.checks import show
from eventmill.web.explained import UnmatchedList, explanation_body, unmatched_explanation, unmatched_item
from eventmill.web.http import Reply, Request, json_reply
from eventmill.web.parts import Parts
from eventmill.web.paths import not_found, path_organization

UNMATCHED_LISTED = 100
UNMATCHED_LISTED_MAX = 1000


async def get_explanation(parts: Parts, request: Request, caller: Caller) -> Reply:
    """GET /events/{org}/events/{event}"""
    org = path_organization(parts, request, caller).id
    event_id = request.params["event"]
    await parts.catalogue.refresh()
    raw_id = uuid_bytes(event_id)
    found = None
    if raw_id is not None:
        legacy_fields = parts.config.legacy_fields
        found = await explain_event(parts.store, parts.catalogue, org, raw_id, legacy_fields=legacy_fields)
    if found is not None:
        return json_reply(200, explanation_body(found))
    unmatched = await parts.unmatched.find(org, event_id)
    if unmatched is None:
        kept = f"events are kept for {parts.config.journal_retention_days} days, those that nobody got for one"
        raise not_found(f"event {show(event_id)}", f"organization {org}, or does no longer: {kept}")
    interest = EventOfInterest(unmatched.provider_id, unmatched.event_code)
    ways = ways_not_taken(parts.catalogue, org, interest, unmatched.at_ms, filtered=unmatched.why == "filtered")
    return json_reply(200, unmatched_explanation(unmatched, ways))


async def list_unmatched(parts: Parts, request: Request, caller: Caller) -> Reply:
    """GET /events/{org}/unmatched"""
    org = path_organization(parts, request, caller).id
    page = await parts.unmatched.newest(org, _limit(request))
    return json_reply(200, UnmatchedList(page.total, [unmatched_item(each) for each in page.events]))


def _limit(request: Request) -> int:
    text = request.query_value("limit")
    if text is None:
        return UNMATCHED_LISTED
    if text.isascii() and text.isdecimal() and len(text) <= 9 and 1 <= int(text) <= UNMATCHED_LISTED_MAX:
        return int(text)
    message = f"limit must be a number from 1 to {UNMATCHED_LISTED_MAX}, but is {show(text)}"
    raise GatewayError(Reason.INVALID_PARAMETER, message)
