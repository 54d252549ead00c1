"""Publishing: one request, one CloudEvent, one durable commit ("Publishing Events", CloudEvents HTTP binding).

A raw ASGI application: whatever stands between socket and commit is paid for by every event. It answers `OK` only when
the event and its place in every subscribed journal survive a power cut. Must not: look into `data`, or deliver.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any

from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.core.cloudevent import Published, parse_structured
from eventmill.core.envelope import cut_adobe_io, cut_cloud_event
from eventmill.errors import GatewayError, Reason, RoutingStale, StoreUnavailable
from eventmill.flow.answers import error_answer
from eventmill.flow.catalogue import Catalogue
from eventmill.flow.throttle import Throttle
from eventmill.ids import IdSource, uuid_text
from eventmill.model import BUILTIN_ORG, Caller, Lane, OrgId, Origin, Provider, provider_technical_name
from eventmill.store.base import EventLog, NewEvent

Headers = Sequence[tuple[bytes, bytes]]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_STRUCTURED = b"application/cloudevents+json"
_BATCHED = b"application/cloudevents-batch+json"
_JSON = b"application/json"
_TEXT = (b"content-type", b"text/plain")
_OK_LENGTH = (b"content-length", b"2")
_OK_BODY = {"type": "http.response.body", "body": b"OK"}
_NO_BODY = {"type": "http.response.body", "body": b""}

_MATCHES_MAX = 10
"""An event is matched again this often when registrations changed under it."""
_ORIGINS_MAX = 4096
"""Origins kept at hand."""
_STORAGE_RETRY_AFTER_S = 60
_RESTART_RETRY_AFTER_S = 5


class Ingest:
    """One per front process; used from its event loop only."""

    def __init__(
        self,
        store: EventLog,
        catalogue: Catalogue,
        authorise: Callable[[Headers], Caller],
        clock: Clock,
        ids: IdSource,
        config: Config,
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._authorise = authorise
        self._clock = clock
        self._ids = ids
        self._config = config
        requests = config.publish_requests_per_5s
        self._throttle = Throttle(requests) if requests else None
        self._stopped = False
        self._origins: dict[tuple[OrgId, str, str, str], Origin] = {}
        self._origins_epoch = 0
        """Change epoch of the catalogue that the kept origins were made from."""

    def stop(self) -> None:
        """Refuse new publishes from now on; those under way are finished."""
        self._stopped = True

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one publishing request. Method and path are the router's affair."""
        request_id = self._ids.request_id()
        try:
            stored = await self._publish(scope["headers"], receive)
        except GatewayError as error:
            status, headers, body = error_answer(error, request_id)
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        else:
            if stored is None:
                return
            request_header = (b"x-request-id", request_id.encode())
            if stored:
                headers = [_TEXT, _OK_LENGTH, request_header]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                await send(_OK_BODY)
            else:
                await send({"type": "http.response.start", "status": 204, "headers": [request_header]})
                await send(_NO_BODY)

    async def _publish(self, raw_headers: Headers, receive: Receive) -> bool | None:
        """Whether the event was stored; False when nobody subscribes to it, None when the client is gone."""
        caller = self._admit(raw_headers)
        headers = dict(raw_headers)
        content_type = headers.get(b"content-type", b"")
        is_declared = content_type == _STRUCTURED or _is_structured(content_type, headers)
        announced = headers.get(b"content-length", b"0")
        if announced.isdigit() and int(announced[:18]) > self._config.event_bytes_max:
            raise self._too_large()
        body = await self._read_body(receive)
        if body is None:
            return None
        published = parse_structured(body, strict=self._config.strict_events)
        if not is_declared and not published.has_specversion:
            message = "specversion: is required with content type application/json; send application/cloudevents+json"
            raise GatewayError(Reason.INVALID_EVENT, message)
        phidata = headers.get(b"x-event-phidata", b"").lower() == b"true"
        return await self._store_durable(published, caller, phidata)

    def _admit(self, headers: Headers) -> Caller:
        """Check everything that can be checked before the body is read."""
        if self._stopped:
            message = "the gateway is shutting down"
            raise GatewayError(Reason.SHUTTING_DOWN, message, retry_after_s=_RESTART_RETRY_AFTER_S)
        caller = self._authorise(headers)
        if self._throttle is not None:
            wait_s = self._throttle.take(caller.client_id, self._clock.machine_s())
            if wait_s:
                message = f"more than {self._config.publish_requests_per_5s} requests in 5 s with this api key"
                raise GatewayError(Reason.THROTTLED, message, retry_after_s=wait_s)
        refusal = self._store.refusal()
        if refusal is not None:
            raise refusal.with_traceback(None)  # one instance serves many requests: its traceback would grow
        return caller

    async def _read_body(self, receive: Receive) -> bytes | None:
        """The body; None when the connection closes before it is complete."""
        message = await receive()
        body: bytes = message.get("body", b"")
        if message.get("more_body", False):
            chunks = [body]
            size = len(body)
            while message.get("more_body", False) and size <= self._config.event_bytes_max:
                message = await receive()
                chunks.append(message.get("body", b""))
                size += len(chunks[-1])
            body = b"".join(chunks)
        if message["type"] == "http.disconnect":
            return None
        if len(body) > self._config.event_bytes_max:
            raise self._too_large()
        return body

    def _too_large(self) -> GatewayError:
        return GatewayError(Reason.TOO_LARGE, f"the event is larger than {self._config.event_bytes_max} bytes")

    async def _store_durable(self, published: Published, caller: Caller, phidata: bool) -> bool:
        """Match and commit; match again when registrations changed meanwhile. False when nobody subscribes."""
        now_ms = self._clock.now_ms()
        event_id = self._ids.event_id(now_ms)
        for _ in range(_MATCHES_MAX):
            epoch, org, provider, lanes = self._match(published, caller)
            if provider is None or not lanes:
                # Nothing will be committed that could show a stale picture: look at the newest one.
                await self._catalogue.refresh()
                epoch, org, provider, lanes = self._match(published, caller)
                if provider is None or not lanes:
                    self._check_known(published, provider)
                    return False
            self._check_quota(org)
            body = self._cut(published, provider, uuid_text(event_id), now_ms, phidata)
            origin = self._origin(published, org, provider, caller)
            try:
                await self._store.append_durable((NewEvent(org, event_id, origin, body, lanes, epoch),))
            except RoutingStale:
                await self._catalogue.refresh()
            else:
                return True
        raise StoreUnavailable("registrations keep changing; send the event again")

    def _match(self, published: Published, caller: Caller) -> tuple[int, OrgId, Provider | None, tuple[Lane, ...]]:
        """Routing epoch, organisation, provider and subscribed lanes, all of one picture. 403 when not the caller's."""
        provider_id = published.provider_id
        provider = None if provider_id is None else self._catalogue.provider(provider_id)
        if provider is None:
            return 0, BUILTIN_ORG, None, ()
        org = _owner(provider, caller)
        lanes = self._catalogue.route(org, provider.id, published.event_code)
        return self._catalogue.routing_epoch(org), org, provider, lanes

    def _check_known(self, published: Published, provider: Provider | None) -> None:
        """404 for an unknown provider; with `strict_catalog` 400 for it and for an unknown event code."""
        strict = self._config.strict_catalog
        if provider is None:
            message = f"source: {_shown(published.source)} names no provider; it must be urn:uuid:<provider id>"
            raise GatewayError(Reason.INVALID_EVENT if strict else Reason.NOT_FOUND, message)
        if strict and self._catalogue.event_metadata(provider.id, published.event_code) is None:
            message = f"type: {_shown(published.event_code)} is no event code of provider {provider.id}"
            raise GatewayError(Reason.INVALID_EVENT, message)

    def _check_quota(self, org: OrgId) -> None:
        quota = self._config.stored_bytes_per_org
        if quota and self._store.stored_bytes(org) >= quota:
            days = self._config.journal_retention_days
            message = f"the organization stores its {quota} bytes of events; they expire after {days} days"
            raise GatewayError(Reason.STORAGE_QUOTA_REACHED, message, retry_after_s=_STORAGE_RETRY_AFTER_S)

    def _cut(self, published: Published, provider: Provider, event_id: str, now_ms: int, phidata: bool) -> bytes:
        legacy_fields = self._config.legacy_fields
        if provider.event_delivery_format == "adobe_io":
            return cut_adobe_io(published, event_id, legacy_fields=legacy_fields)
        return cut_cloud_event(published, event_id, now_ms, phidata=phidata, legacy_fields=legacy_fields)

    def _origin(self, published: Published, org: OrgId, provider: Provider, caller: Caller) -> Origin:
        if self._origins_epoch != self._catalogue.epoch or len(self._origins) >= _ORIGINS_MAX:
            self._origins = {}
            self._origins_epoch = self._catalogue.epoch
        key = (org, provider.id, published.event_code, caller.client_id)
        known = self._origins.get(key)
        if known is None:
            known = self._origins[key] = self._make_origin(published, org, provider, caller)
        return known

    def _make_origin(self, published: Published, org: OrgId, provider: Provider, caller: Caller) -> Origin:
        organization = self._catalogue.organization(org)
        return Origin(
            org,
            provider.id,
            published.event_code,
            provider_technical_name(provider, "" if organization is None else organization.ims_org_id),
            provider.label,
            provider.event_delivery_format,
            caller.client_id,
        )


def _owner(provider: Provider, caller: Caller) -> OrgId:
    """Whose event it is. A built-in provider's is that of the organisation it is published for, by the operator."""
    if provider.org == BUILTIN_ORG:
        if not caller.is_admin:
            message = f"source: provider {provider.id} is built in; only the operator's token may publish for it"
            raise GatewayError(Reason.NOT_PERMITTED, message)
        if caller.org is None:
            message = f"x-ims-org-id: must name the organization that provider {provider.id} publishes for"
            raise GatewayError(Reason.WRONG_ORGANIZATION, message)
        return caller.org
    if caller.org is not None and caller.org != provider.org:
        message = f"source: provider {provider.id} belongs to another organization"
        raise GatewayError(Reason.WRONG_ORGANIZATION, message)
    return provider.org


def _is_structured(content_type: bytes, headers: Mapping[bytes, bytes]) -> bool:
    """True for the CloudEvents media type; False for plain JSON, whose body has to tell. Raises for everything else."""
    media = content_type.partition(b";")[0].strip().lower()
    if media == _STRUCTURED:
        return True
    for present, mode in (
        (media == _BATCHED, "batched CloudEvents (application/cloudevents-batch+json)"),
        (b"ce-specversion" in headers, "CloudEvents in binary mode (ce-specversion)"),
        (b"x-adobe-event-provider-id" in headers, "raw events (x-adobe-event-provider-id)"),
    ):
        if present:
            message = f"{mode}: not available yet; send application/cloudevents+json"
            raise GatewayError(Reason.NOT_AVAILABLE_YET, message)
    if media != _JSON:
        message = f"content-type: must be application/cloudevents+json, but is {_shown(media.decode('latin-1'))}"
        raise GatewayError(Reason.UNSUPPORTED_MEDIA_TYPE, message)
    return False


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 80 else text[:80] + "...")
