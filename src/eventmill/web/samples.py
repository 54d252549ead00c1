"""Sample events: what an event of a code looks like, and sending one to a single registration ("Provider API").

A posted sample is checked, cut and stored exactly as a published event is, but placed in one lane only.
"""

from __future__ import annotations

import msgspec

from eventmill.core.cloudevent import Published
from eventmill.core.envelope import recipient_suffix, webhook_body
from eventmill.errors import GatewayError, Reason, RoutingStale, StoreUnavailable
from eventmill.flow.batch import MATCHES_MAX
from eventmill.flow.ingest import SCHEMA_WARNING
from eventmill.flow.placing import Arrival, Match
from eventmill.ids import uuid_text
from eventmill.model import (
    BUILTIN_ORG,
    Caller,
    EventMetadata,
    EventOfInterest,
    Registration,
)
from eventmill.store.log import NewEvent
from eventmill.web import hal
from eventmill.web.bodies import Link, SampleEventBody, SelfLinks
from eventmill.web.checks import invalid, parse_json, show
from eventmill.web.http import NO_CONTENT, Reply, Request, hal_reply, json_reply
from eventmill.web.parts import Parts
from eventmill.web.paths import not_found, path_metadata, path_provider
from eventmill.web.sample_template import ANY_CLIENT, Sampler
from eventmill.web.shapes import PostedSample


async def get_sample_event(parts: Parts, request: Request, caller: Caller) -> Reply:
    """The sample as a webhook would get it; 404 when the code has none."""
    provider = path_provider(parts, request, caller)
    metadata = path_metadata(parts, request, provider)
    if metadata.sample_event_template is None:
        raise not_found("a sample event", f"event code {metadata.event_code}")
    arrival = Arrival(caller, parts.clock.now_ms(), phidata=False)
    published = Sampler(metadata, ANY_CLIENT, parts.ids, arrival.now_ms).from_template()
    cut = parts.placing.cut(published, provider, uuid_text(parts.ids.event_id(arrival.now_ms)), arrival)
    payload = webhook_body([cut], recipient_suffix(ANY_CLIENT, parts.config.legacy_fields), batch=False)
    path = f"{hal.provider_url(parts.config.url, provider.id)}/eventmetadata/{metadata.event_code}/sample_event"
    body = SampleEventBody(
        links=SelfLinks(self=Link(path)),
        format="adobe_io" if provider.event_delivery_format == "adobe_io" else "cloud_events",
        sample_payload=msgspec.Raw(payload),
    )
    return hal_reply(200, body)


async def post_sample_event(parts: Parts, request: Request, caller: Caller) -> Reply:
    """Send the sample, or the body when there is one, to one registration. 204: neither a sample nor a body."""
    provider = path_provider(parts, request, caller)
    metadata = path_metadata(parts, request, provider)
    registration = _subscriber(parts, metadata, request.params["registration"], caller)
    body = await request.json_body(parts.config.event_bytes_max)
    placing = parts.placing
    placing.check_quota(registration.org)
    arrival = Arrival(caller, parts.clock.now_ms(), phidata=False)
    published = _sample(Sampler(metadata, registration.client_id, parts.ids, arrival.now_ms), body)
    if published is None:
        return NO_CONTENT
    warning = placing.check_schema(published, parts.catalogue.provider(provider.id))
    event_id = parts.ids.event_id(arrival.now_ms)
    match = Match(parts.catalogue.routing_epoch(registration.org), registration.org, provider, (registration.id,))
    await _store_durable(parts, registration, await placing.new_event(published, match, event_id, arrival))
    headers = ((SCHEMA_WARNING, warning.encode()),) if warning else ()
    return json_reply(200, PostedSample(eventid=uuid_text(event_id), event_id=uuid_text(event_id)), headers=headers)


def _sample(sampler: Sampler, body: bytes) -> Published | None:
    if not body.strip():
        return sampler.from_template() if sampler.has_template else None
    document = parse_json(body)
    if not isinstance(document, dict):
        raise invalid("the body", "must be a JSON object")
    return sampler.from_json(body, is_event="specversion" in document)


def _subscriber(parts: Parts, metadata: EventMetadata, registration_id: str, caller: Caller) -> Registration:
    """Of the organization that publishes the code; of a built-in code, of the caller's."""
    org = caller.org if metadata.org == BUILTIN_ORG else metadata.org
    if org is None:  # lenient mode, and nothing said which
        of_any = (each for each in parts.catalogue.registrations() if each.registration_id == registration_id)
        registration = next(of_any, None)
    else:
        registration = parts.catalogue.registration(org, registration_id)
    if registration is None:
        raise not_found(f"registration {show(registration_id)}", f"organization {org}" if org else "")
    if EventOfInterest(metadata.provider_id, metadata.event_code) not in registration.events_of_interest:
        message = f"registration {registration_id} has no event of interest {metadata.event_code} of this provider"
        raise GatewayError(Reason.UNKNOWN_EVENT, message)
    return registration


async def _store_durable(parts: Parts, registration: Registration, event: NewEvent) -> None:
    """Commit for this lane only, as long as the registration exists."""
    for _ in range(MATCHES_MAX):
        if parts.catalogue.registration(registration.org, registration.registration_id) is None:
            raise not_found(f"registration {registration.registration_id}")
        try:
            await parts.store.append_durable((event,))
        except RoutingStale:
            await parts.catalogue.refresh()
            event = msgspec.structs.replace(event, routing_epoch=parts.catalogue.routing_epoch(event.org))
        else:
            return
    raise StoreUnavailable("registrations keep changing; send the sample again")
