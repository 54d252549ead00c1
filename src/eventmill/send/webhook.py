"""Sends one HTTP request to a webhook and says what came of it: a status, or a 6xx code when nothing answered.

The codes and the text of their bodies follow "Debug Tracing". Redirects are returned, not followed; every dial passes
`netguard`. Must not judge outcomes, sign, or retry on any schedule.

This is the hot path of delivery, so it stands on aiohttp's connector (`send.connector`) and response parser and
leaves out its session, request writer and response objects: half the cost per request, and what the session hides is
in sight here (interim responses, whether a connection was reused, aborting instead of closing).
"""

from __future__ import annotations

import asyncio
import time

import msgspec
import structlog
from aiohttp import ClientConnectionError, ClientError, ClientOSError, EofStream, ServerDisconnectedError
from aiohttp.abc import AbstractResolver
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError, RawResponseMessage
from aiohttp.streams import StreamReader

from eventmill import telemetry
from eventmill.config import Config
from eventmill.ids import IdSource
from eventmill.send.connector import Dialler, Wire, abort, release, wire_of
from eventmill.send.egress import EgressProxyError
from eventmill.send.endpoint import Endpoint, parse_endpoint, request_head
from eventmill.send.failures import explain_failure
from eventmill.send.netguard import DialRefusedError
from eventmill.send.no_answer import causes_of, code_of
from eventmill.send.timings import Marks, Timings, current_marks, now_s
from eventmill.send.tls import ClientTls

log = structlog.get_logger()

HEADER_FIELDS_MAX = 100
"""Fields in a response; with `HEADER_FIELD_BYTES_MAX` the bound of what its head may occupy."""
HEADER_FIELD_BYTES_MAX = 8190
KEPT_HEADERS_BYTES_MAX = 16 * 1024
INTERIM_RESPONSES_MAX = 16
ENDPOINTS_MAX = 4096
"""Parsed URLs kept at hand."""

Headers = tuple[tuple[str, str], ...]
_Answer = tuple[int, Headers, bytes]
"""Status, headers, body."""


class Request(msgspec.Struct, frozen=True):
    """`headers` come without `host` and `content-length`. `timeout_s` spans name lookup to last byte of the answer."""

    method: str
    url: str
    headers: Headers
    body: bytes
    timeout_s: float
    ca_bundle: str = ""
    """PEM of the only certificate authorities that count for this request; empty: the system's."""
    registration_id: str = ""
    """For the log: whose attempt it is."""


class Response(msgspec.Struct, frozen=True):
    """`status` is HTTP's or an `errors.TraceCode`; then `body` explains, and the UUID in it is in the log."""

    status: int
    headers: Headers
    body: bytes
    """At most `Config.trace_body_bytes_max` bytes, as they came: content codings are left alone."""
    duration_ms: int
    blames_endpoint: bool = True
    """False: the egress proxy failed, and nothing is known about the endpoint."""
    timings: Timings | None = None
    """None: nothing was sent."""


class _StaleConnectionError(Exception):
    """The endpoint had closed a pooled connection before the request reached it."""


class WebhookSender:
    """One per event loop. Usable between `start` and `close`. Raises `StartupError` for settings that cannot be used.

    `resolver` looks names up; the system's unless given."""

    def __init__(self, config: Config, ids: IdSource | None = None, resolver: AbstractResolver | None = None) -> None:
        self._dialler = Dialler(config, resolver)
        self._tls = ClientTls(config, time.monotonic)
        self._tls_generation = self._tls.generation
        self._allow_http = config.dev or config.webhook_allow_http
        self._read_max = config.webhook_response_bytes_max
        self._keep_max = min(config.trace_body_bytes_max, config.webhook_response_bytes_max)
        self._ids = ids or IdSource()
        self._endpoints: dict[tuple[str, str], Endpoint] = {}

    async def start(self) -> None:
        """Make the pools."""
        self._dialler.start()

    async def close(self) -> None:
        """Drop pooled connections. Requests under way should have ended or been cancelled before."""
        await self._dialler.close()

    async def send(self, request: Request) -> Response:
        """The outcome of one attempt. Raises nothing but `CancelledError`."""
        marks = Marks()
        current_marks.set(marks)
        deadline = asyncio.timeout(request.timeout_s)
        blames_endpoint = True
        try:
            async with deadline:
                answer = await self._exchange(request, marks)
        except EgressProxyError as error:
            answer = self._failed(request, error, deadline.expired())
            blames_endpoint = False
        except (ClientError, HttpProcessingError, EofStream, OSError, RuntimeError, ValueError) as error:
            answer = self._failed(request, error, deadline.expired())
        except Exception as error:  # one endpoint's surprise must not end the delivery to all others
            log.exception(telemetry.STAGE_FAILED, stage="send")
            answer = self._failed(request, error, deadline.expired())
        timings = marks.timings()
        return Response(*answer, round(timings.total_ms), blames_endpoint, timings)

    async def _exchange(self, request: Request, marks: Marks) -> _Answer:
        endpoint = self._endpoint(request)
        head = request_head(request.method, endpoint, request.headers, request.body)
        try:
            return await self._exchange_on(await self._acquire(endpoint), head, request.body, marks)
        except _StaleConnectionError:
            # RFC 9112 §9.3.1. Sending twice is safe: delivery is at least once, and both carry one delivery id.
            marks.sent_s = 0.0
            return await self._exchange_on(await self._acquire_fresh(endpoint), head, request.body, marks)

    def _endpoint(self, request: Request) -> Endpoint:
        self._tls.look()
        if self._tls_generation != self._tls.generation:
            self._tls_generation = self._tls.generation
            self._endpoints.clear()
        key = request.url, request.ca_bundle
        return self._endpoints.get(key) or self._add_endpoint(key)

    def _add_endpoint(self, key: tuple[str, str]) -> Endpoint:
        url, ca_bundle = key
        endpoint = parse_endpoint(url, self._tls.context(ca_bundle))
        if not endpoint.request.is_ssl() and not self._allow_http:
            raise DialRefusedError("plain http is refused; EVENTMILL_WEBHOOK_ALLOW_HTTP may allow it")
        self._dialler.refuse_port(endpoint.request.port)
        if len(self._endpoints) >= ENDPOINTS_MAX:
            del self._endpoints[next(iter(self._endpoints))]
        self._endpoints[key] = endpoint
        return endpoint

    async def _acquire(self, endpoint: Endpoint) -> Connection:
        """A connection on which nothing waits to be read: what came unasked would pass for the next answer."""
        while True:
            connection = await self._dialler.connect(endpoint.request)
            wire = wire_of(connection)
            if wire.transport is not None and not wire.should_close:
                return connection
            lost = wire.transport is None
            abort(connection)
            if not wire.was_used:
                if lost:
                    raise ServerDisconnectedError
                raise ClientConnectionError("the endpoint spoke before it was asked")

    async def _acquire_fresh(self, endpoint: Endpoint) -> Connection:
        """A newly dialled connection; pooled ones to this endpoint are no longer trusted and go."""
        while True:
            connection = await self._acquire(endpoint)
            if not wire_of(connection).was_used:
                return connection
            abort(connection)

    async def _exchange_on(self, connection: Connection, head: bytes, body: bytes, marks: Marks) -> _Answer:
        protocol = wire_of(connection)
        transport = protocol.transport
        assert transport is not None
        reusable = False
        try:
            protocol.set_response_params(
                auto_decompress=False,
                read_until_eof=True,
                max_line_size=HEADER_FIELD_BYTES_MAX,
                max_field_size=HEADER_FIELD_BYTES_MAX,
                max_headers=HEADER_FIELDS_MAX,
            )
            protocol.answered_s = 0.0
            marks.sent_s = now_s()
            transport.writelines((head, body))
            message, payload = await self._read_final_head(protocol)
            content, complete = await self._read_body(payload)
            # Unsent bytes: it answered early, and might yet read them as its next request.
            reusable = complete and not protocol.should_close and not transport.get_write_buffer_size()
            return message.code, _kept_headers(message), content
        finally:
            marks.answered_s = protocol.answered_s
            if reusable:
                release(connection)
            else:
                abort(connection)

    async def _read_final_head(self, protocol: Wire) -> tuple[RawResponseMessage, StreamReader]:
        """The head after all interim ones; the last interim one when the endpoint then closed in good order."""
        head: tuple[RawResponseMessage, StreamReader] | None = None
        for _ in range(INTERIM_RESPONSES_MAX):
            try:
                head = await protocol.read()
            except (ServerDisconnectedError, ClientOSError) as error:
                if head is None:
                    begun = isinstance(getattr(error, "message", None), RawResponseMessage)
                    if protocol.was_used and not begun:
                        raise _StaleConnectionError from error
                    raise
                if not isinstance(error, ServerDisconnectedError):
                    raise
                return head
            if not 100 <= head[0].code <= 199 or head[0].code == 101:
                return head
        raise ClientConnectionError(f"more than {INTERIM_RESPONSES_MAX} interim responses")

    async def _read_body(self, payload: StreamReader) -> tuple[bytes, bool]:
        """The first bytes of the body, and whether it ended within what may be read of it."""
        kept: list[bytes] = []
        size = 0
        while size <= self._read_max:
            chunk = await payload.readany()
            if not chunk:
                return b"".join(kept), True
            if size < self._keep_max:
                kept.append(chunk[: self._keep_max - size])
            size += len(chunk)
        return b"".join(kept), False

    def _failed(self, request: Request, error: Exception, expired: bool) -> _Answer:
        code = code_of(error, expired=expired)
        causes = causes_of(error, request.url, timeout_s=request.timeout_s, expired=expired)
        # The URL may hold secrets, in its query or before an @; the host does not.
        endpoint = self._endpoints.get((request.url, request.ca_bundle))
        host = endpoint.request.host if endpoint else ""
        body = explain_failure(code, causes, self._ids, registration_id=request.registration_id, host=host)
        return int(code), (), body[: self._keep_max]


def _kept_headers(message: RawResponseMessage) -> Headers:
    kept: list[tuple[str, str]] = []
    room = KEPT_HEADERS_BYTES_MAX
    for name, value in message.raw_headers:
        room -= len(name) + len(value)
        if room < 0:
            break
        kept.append((name.decode("latin-1"), value.decode("utf-8", "replace")))
    return tuple(kept)
