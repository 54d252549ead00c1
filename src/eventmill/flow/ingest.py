"""Publishing: one request, one durable commit ("Publishing Events", CloudEvents HTTP binding).

A raw ASGI application: whatever stands between socket and commit is paid for by every event. It answers `OK` only when
the event and its place in every subscribed journal survive a power cut. Must not: look into `data`, or deliver.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple, Protocol

import msgspec

from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.core.cloudevent import Published, parse_structured
from eventmill.core.cloudevent_modes import parse_batch
from eventmill.errors import GatewayError, Reason, RoutingStale, StoreUnavailable
from eventmill.flow.answers import WHOLE_ANSWER, error_answer
from eventmill.flow.batch import MATCHES_MAX, Append, BatchStore
from eventmill.flow.catalogue import Catalogue
from eventmill.flow.placing import Arrival, Placing
from eventmill.flow.publishing import STRUCTURED_TYPE, Headers, Mode, detect_mode, has_phidata, read_event
from eventmill.flow.schemas import Schemas
from eventmill.flow.throttle import SharedThrottle, Throttle
from eventmill.flow.unmatched import Unmatched, UnmatchedStore
from eventmill.ids import IdSource
from eventmill.model import Caller
from eventmill.store.log import EventLog
from eventmill.store.permits import Permits

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_RESTART_RETRY_AFTER_S = 5


SCHEMA_WARNING = b"x-eventmill-schema-warning"
"""Header of an answer about an event that was taken although its data do not fit its schema."""


class _Answer(NamedTuple):
    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    """Without `x-request-id`."""
    body: Message


_OK = _Answer(
    200,
    ((b"content-type", b"text/plain"), (b"content-length", b"2")),
    {"type": "http.response.body", "body": b"OK"},
)
_OK_FIELDS = b"".join(b"%b: %b\r\n" % field for field in _OK.headers)
_NOTHING_STORED = _Answer(204, (), {"type": "http.response.body", "body": b""})


class IngestStore(EventLog, UnmatchedStore, Protocol):
    """What publishing needs of the store."""

    @property
    def permits(self) -> Permits | None: ...


class Doorkeeper(Protocol):
    """Says whose request it is. Raises 401 or 403."""

    def authenticate(self, headers: Headers) -> Caller:
        """By what is in memory."""

    async def authenticate_anew(self, headers: Headers, refused: GatewayError) -> Caller:
        """By the newest there is, unless nothing new would change the refusal."""


class Ingest:
    """One per front process; used from its event loop only."""

    def __init__(
        self,
        store: IngestStore,
        catalogue: Catalogue,
        doorkeeper: Doorkeeper,
        clock: Clock,
        ids: IdSource,
        config: Config,
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._doorkeeper = doorkeeper
        self._clock = clock
        self._ids = ids
        self._config = config
        self.placing = Placing(store, catalogue, config, Schemas(catalogue, config, clock))
        """Where samples go too: it keeps what it has made."""
        self.unmatched = Unmatched(store, clock, config)
        self._append_durable: Append = store.append_durable
        self._batches = BatchStore(store, catalogue, self.placing, self.unmatched)
        requests = config.publish_requests_per_5s
        permits = store.permits
        self._throttle = Throttle(requests) if requests and permits is None else None
        self._shared_throttle = SharedThrottle(permits, requests) if requests and permits is not None else None
        self._stopped = False

    def watch_appends(self, around: Callable[[Append], Append]) -> None:
        """Have something put around every append, before the first request."""
        self._append_durable = self._batches.append_durable = around(self._append_durable)

    def stop(self) -> None:
        """Refuse new publishes from now on; those under way are finished."""
        self._stopped = True

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one publishing request. Method and path are the router's affair."""
        request_id = self._ids.request_id()
        try:
            answer = await self._publish(scope["headers"], receive)
        except GatewayError as error:
            status, headers, body = error_answer(error, request_id)
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        else:
            if answer is _OK:
                write_whole = scope.get(WHOLE_ANSWER)
                rest = b"%bx-request-id: %b\r\n\r\nOK" % (_OK_FIELDS, request_id.encode())
                if write_whole is not None and write_whole(rest):
                    return
            if answer is not None:
                headers = [*answer.headers, (b"x-request-id", request_id.encode())]
                await send({"type": "http.response.start", "status": answer.status, "headers": headers})
                await send(answer.body)

    async def _publish(self, raw_headers: Headers, receive: Receive) -> _Answer | None:
        """None when the client is gone."""
        caller = await self._admit(raw_headers)
        headers = dict(raw_headers)
        mode: Mode = "structured"
        if headers.get(b"content-type") != STRUCTURED_TYPE or b"content-encoding" in headers:
            mode = detect_mode(headers)
        config = self._config
        bytes_max = config.event_bytes_max if mode != "batch" else config.publish_batch_bytes_max
        announced = headers.get(b"content-length", b"0")
        if announced.isdigit() and int(announced[:18]) > bytes_max:
            raise _too_large(mode, bytes_max)
        body = await self._read_body(receive, mode, bytes_max)
        if body is None:
            return None
        phidata = b"x-event-phidata" in headers and has_phidata(headers)
        arrival = Arrival(caller, self._clock.now_ms(), phidata)
        if mode == "structured":
            published = parse_structured(body, strict=config.strict_events)
        elif mode == "batch":
            return await self._publish_batch(body, arrival)
        else:
            published = read_event(mode, raw_headers, body, config, self._ids.uuid)
        return await self._store_durable(published, arrival)

    async def _admit(self, headers: Headers) -> Caller:
        """Check everything that can be checked before the body is read."""
        if self._stopped:
            message = "the gateway is shutting down"
            raise GatewayError(Reason.SHUTTING_DOWN, message, retry_after_s=_RESTART_RETRY_AFTER_S)
        caller = await self._identify(headers)
        if self._throttle is not None:
            self._check_rate(self._throttle.take(caller.client_id, self._clock.machine_s()))
        elif self._shared_throttle is not None:
            self._check_rate(await self._shared_throttle.take(caller.client_id, self._clock.machine_s()))
        refusal = self._store.refusal()
        if refusal is not None:
            raise refusal.with_traceback(None)  # one instance serves many requests: its traceback would grow
        return caller

    async def _identify(self, headers: Headers) -> Caller:
        """Whom an older picture does not know is looked for in the newest one."""
        try:
            return self._doorkeeper.authenticate(headers)
        except GatewayError as refused:
            return await self._doorkeeper.authenticate_anew(headers, refused)

    def _check_rate(self, wait_s: int) -> None:
        if wait_s:
            message = f"more than {self._config.publish_requests_per_5s} requests in 5 s with this api key"
            raise GatewayError(Reason.THROTTLED, message, retry_after_s=wait_s)

    async def _read_body(self, receive: Receive, mode: Mode, bytes_max: int) -> bytes | None:
        """The body; None when the connection closes before it is complete."""
        message = await receive()
        body: bytes = message.get("body", b"")
        if message.get("more_body", False):
            chunks = [body]
            size = len(body)
            while message.get("more_body", False) and size <= bytes_max:
                message = await receive()
                chunks.append(message.get("body", b""))
                size += len(chunks[-1])
            body = b"".join(chunks)
        if message["type"] == "http.disconnect":
            return None
        if len(body) > bytes_max:
            raise _too_large(mode, bytes_max)
        return body

    async def _store_durable(self, published: Published, arrival: Arrival) -> _Answer:
        """Match and commit; match again when registrations changed meanwhile. 204 when nobody subscribes, whatever
        filters say."""
        placing = self.placing
        event_id = self._ids.event_id(arrival.now_ms)
        for _ in range(MATCHES_MAX):
            match = placing.match(published, arrival.caller)
            if not match.lanes:
                # Nothing will be committed that could show a stale picture: look at the newest one.
                await self._catalogue.refresh()
                match = placing.match(published, arrival.caller)
                if not match.lanes:
                    placing.check_known(published, match.provider)
                    warning = placing.check_schema(published, match.provider)
                    self.unmatched.note(match.org, placing.unmatched(published, match, event_id, arrival))
                    return _with_warning(_NOTHING_STORED, warning)
            try:
                warning = placing.check_schema(published, match.provider)
            except GatewayError:
                # Refused by the newest schema only, of the provider as it is now.
                await self._catalogue.refresh()
                if self._catalogue.routing_epoch(match.org) == match.epoch:
                    raise
                continue
            event = await placing.new_event(published, match, event_id, arrival)
            if not event.lanes:
                # Kept from everybody by filters: whether by the newest ones, no commit will tell.
                await self._catalogue.refresh()
                if self._catalogue.routing_epoch(match.org) == match.epoch:
                    self.unmatched.note(match.org, placing.unmatched(published, match, event_id, arrival))
                    return _with_warning(_OK, warning)
                continue
            placing.check_quota(match.org)
            try:
                await self._append_durable((event,))
            except RoutingStale:
                await self._catalogue.refresh()
            else:
                return _with_warning(_OK, warning)
        raise StoreUnavailable("registrations keep changing; send the event again")

    async def _publish_batch(self, body: bytes, arrival: Arrival) -> _Answer:
        config = self._config
        batch = parse_batch(
            body,
            events_max=config.publish_batch_events_max,
            event_bytes_max=config.event_bytes_max,
            strict=config.strict_events,
        )
        event_ids = [self._ids.event_id(arrival.now_ms) for _ in batch]
        summary = msgspec.json.encode(await self._batches.store_batch_durable(batch, event_ids, arrival))
        headers = ((b"content-type", b"application/json"), (b"content-length", b"%d" % len(summary)))
        return _Answer(200, headers, {"type": "http.response.body", "body": summary})


def _with_warning(answer: _Answer, warning: str) -> _Answer:
    return answer._replace(headers=(*answer.headers, (SCHEMA_WARNING, warning.encode()))) if warning else answer


def _too_large(mode: Mode, bytes_max: int) -> GatewayError:
    what = "batch" if mode == "batch" else "event"
    return GatewayError(Reason.TOO_LARGE, f"the {what} is larger than {bytes_max} bytes")
