"""One event type: what its events look like, who gets them, and sending one: as a sample, or really published."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from eventmill.errors import GatewayError, Reason
from eventmill.model import BUILTIN_ORG, EventMetadata, EventOfInterest, Provider
from eventmill.ui.act import EVENT_TYPE, Outcome
from eventmill.ui.moments import ms_of
from eventmill.ui.page import Page
from eventmill.ui.pages.providers import find_own, find_provider, provider_path
from eventmill.ui.visit import Visit
from eventmill.web.checks import parse_json
from eventmill.web.http import Reply


def find_event_type(visit: Visit) -> tuple[Provider, EventMetadata]:
    provider = find_provider(visit)
    metadata = visit.parts.catalogue.event_metadata(provider.id, visit.params["code"])
    if metadata is None:
        raise visit.not_found("event type")
    return provider, metadata


def _metadata_path(metadata: EventMetadata) -> str:
    """Of the API, where it is read."""
    return f"/events/providers/{metadata.provider_id}/eventmetadata/{quote(metadata.event_code, safe='')}"


async def show_event_type(visit: Visit) -> Reply:
    """The whole page, or only the sample, for a page that shows it in a line of its own."""
    if visit.query("part") != "sample":
        return await _page(visit)
    provider, metadata = find_event_type(visit)
    return visit.render(
        "providers/sample.html",
        provider=provider,
        metadata=metadata,
        sample=await _sample(visit, metadata),
        is_own=provider.org == visit.org.id,
    )


async def _sample(visit: Visit, metadata: EventMetadata) -> Any:
    """As a webhook gets it; None when there is none."""
    sample = await visit.act("GET", f"{_metadata_path(metadata)}/sample_event")
    return sample.body["sample_payload"] if sample.ok else None


async def _versions(visit: Visit, metadata: EventMetadata) -> list[Any]:
    """Of its schema, the newest first, with when each was made as a number."""
    listed = await visit.act("GET", f"{_metadata_path(metadata)}/schemas")
    found = listed.body["schemas"] if listed.ok else []
    return [{**each, "made_ms": ms_of(each.get("created_date"))} for each in found]


async def _page(
    visit: Visit, *, refusal: Outcome | None = None, done: Outcome | None = None, said: str = "", data: str = ""
) -> Reply:
    """`refusal` or `done`: what the last publish or sample came to."""
    provider, metadata = find_event_type(visit)
    payload = await _sample(visit, metadata)
    interest = EventOfInterest(provider.id, metadata.event_code)
    return visit.render(
        "providers/event_type.html",
        status=200 if refusal is None else refusal.status,
        provider=provider,
        metadata=metadata,
        schema=metadata.data_schema,
        versions=await _versions(visit, metadata),
        sample=payload,
        data=data or _data_of(payload),
        subscribers=visit.parts.catalogue.interested(visit.org.id, interest),
        publishers=_publishers(visit, provider),
        is_own=provider.org == visit.org.id,
        refusal=refusal,
        done=done,
        said=said,
        events_url=visit.url("search", code=metadata.event_code, source=provider.id),
        curl=visit.curl("GET", _metadata_path(metadata)),
        calls=_calls(visit, provider, metadata, done),
    )


def _calls(visit: Visit, provider: Provider, metadata: EventMetadata, done: Outcome | None) -> list[tuple[str, str]]:
    """What can be done here, and the calls for it; of what was done just now, that very call."""
    interest = EventOfInterest(provider.id, metadata.event_code)
    subscribers = visit.parts.catalogue.interested(visit.org.id, interest)
    sample = f"{_metadata_path(metadata)}/sample_event"
    is_own = provider.org == visit.org.id
    publish = visit.console.actions.curl(
        visit.org.id, "POST", "/ingress", _event(provider, metadata, "1", {"any": "thing"}), EVENT_TYPE
    )
    return [
        ("This", done.curl if done is not None else ""),
        ("Publish", publish if is_own and done is None else ""),
        ("Send sample", visit.curl("POST", f"{sample}/{subscribers[0].registration_id}") if subscribers else ""),
        ("Versions of the schema", visit.curl("GET", f"{_metadata_path(metadata)}/schemas")),
        ("Delete", visit.curl("DELETE", own_path(provider, metadata)) if is_own else ""),
    ]


def own_path(provider: Provider, metadata: EventMetadata) -> str:
    """Of the API, where its owner changes it."""
    return f"{provider_path(provider)}/eventmetadata/{quote(metadata.event_code, safe='')}"


def _data_of(payload: Any) -> str:
    """Of the sample, for the publish form to begin with."""
    found = payload.get("data") if isinstance(payload, dict) else None
    if found is None and isinstance(payload, dict) and isinstance(payload.get("event"), dict):
        found = payload["event"].get("data", payload["event"])
    return json.dumps(found if found is not None else {"hello": "world"}, indent=2, ensure_ascii=False)


def _publishers(visit: Visit, provider: Provider) -> list[tuple[str, str]]:
    """Client ids that may publish it, with their names; those of the provider's workspace first."""
    if provider.org == BUILTIN_ORG:
        return []
    credentials = visit.parts.catalogue.credentials(visit.org.id)
    credentials.sort(key=lambda each: each.workspace_id != provider.workspace_id)
    return [(each.client_id, each.name or each.client_id) for each in credentials]


def _event(provider: Provider, metadata: EventMetadata, event_id: str, data: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": f"urn:uuid:{provider.id}",
        "type": metadata.event_code,
        "datacontenttype": "application/json",
        "data": data,
    }


async def publish(visit: Visit) -> Reply:
    provider, metadata = find_event_type(visit)
    text = visit.field("data")
    known = {client_id for client_id, _ in _publishers(visit, provider)}
    if visit.field("client_id") not in known:
        raise GatewayError(Reason.INVALID_PARAMETER, "choose a credential of the organization to publish with")
    try:
        data = parse_json(text.encode(), "the data")
    except GatewayError as error:
        refused = Outcome(400, {"reason": error.reason.code, "message": error.message}, "")
        return await _page(visit, refusal=refused, data=text)
    event = _event(provider, metadata, visit.field("id") or visit.parts.ids.uuid(), data)
    done = await visit.console.actions.publish(visit.person, visit.org.id, visit.field("client_id"), event)
    if not done.ok:
        return await _page(visit, refusal=done, data=text)
    taken = f"Published as {event['id']}." if done.status == 200 else "Taken, but nobody subscribes to it: status 204."
    return await _page(visit, done=done, said=taken, data=text)


async def send_sample(visit: Visit) -> Reply:
    _, metadata = find_event_type(visit)
    registration = visit.field("registration")
    done = await visit.act("POST", f"{_metadata_path(metadata)}/sample_event/{quote(registration, safe='')}")
    if not done.ok:
        return await _page(visit, refusal=done)
    if done.status == 204:
        return await _page(visit, done=done, said="There is no sample to send: add one to the event type.")
    return await _page(visit, done=done, said=f"A sample is on its way as {done.body['event_id']}.")


async def delete_event_type(visit: Visit) -> Reply:
    find_own(visit)
    provider, metadata = find_event_type(visit)
    done = await visit.act("DELETE", own_path(provider, metadata))
    if not done.ok:
        return await _page(visit, refusal=done)
    return visit.redirect(visit.url("providers", provider.id), f"{metadata.event_code} is deleted.")


_EVENT = "/providers/{provider}/events/{code}"

PAGES = (
    Page("GET", _EVENT, show_event_type, "Event type", section="providers"),
    Page("POST", _EVENT + "/publish", publish, "Event type", "developer", "providers"),
    Page("POST", _EVENT + "/sample", send_sample, "Event type", "developer", "providers"),
    Page("POST", _EVENT + "/delete", delete_event_type, "Event type", "developer", "providers"),
)
