"""Reading a registration's journal: from a request's parameters to the answer with its links ("Journaling API").

Pages are joined from stored bytes. Authorises nobody and finds no registration: the caller has done both.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.core.envelope import JournalRun, bare_data, empty_page, fit_page, journal_page, recipient_suffix
from eventmill.core.position import (
    JournalQuery,
    Position,
    check_position,
    format_position,
    format_prefix,
    parse_position,
    read_query,
)
from eventmill.errors import GatewayError, Reason
from eventmill.flow.readahead import Page, PageKey, ReadAhead
from eventmill.model import Registration
from eventmill.store.log import EventLog, Head, JournalStretch

Header = tuple[bytes, bytes]

_EVENTS_TYPE = (b"content-type", b"application/vnd.adobecloud.events+json;charset=UTF-8")
_JSON_TYPE = (b"content-type", b"application/json")
_TEXT_TYPE = (b"content-type", b"text/plain;charset=UTF-8")
_KEPT = (b"cache-control", b"private, max-age=604800")
_NOT_KEPT = (b"cache-control", b"no-store")
_ENVELOPE_BYTES_MAX = 128
"""An `adobe_io` event is stored with an envelope that the journal leaves out."""


class JournalRequest(msgspec.Struct, frozen=True):
    registration: Registration
    credential_id: str
    """Of the path: a credential of the registration's workspace."""
    query: Sequence[tuple[str, str]]
    """Decoded query parameters in order."""
    links_absolute: bool = False
    """Header `x-adobe-io-events-url-links: true`. The Java client needs relative links and never sends it."""
    wants_json: bool = False
    """`Accept` names JSON alone: an expired position is answered in JSON instead of text."""


class JournalAnswer(msgspec.Struct, frozen=True):
    status: int
    headers: tuple[Header, ...]
    """Lower-case names, in order; one `link` for each link."""
    body: bytes | None


class _Place(msgspec.Struct, frozen=True):
    """Where a read starts."""

    shard: int
    head: Head
    after: int
    """None of the events up to here are wanted."""


class Journal:
    def __init__(self, store: EventLog, clock: Clock, config: Config) -> None:
        self._store = store
        self._clock = clock
        self._config = config
        self._ahead = ReadAhead()
        url = urlsplit(config.url)
        self._root = url.path.rstrip("/")
        self._origin = f"{url.scheme}://{url.netloc}"

    async def read(self, request: JournalRequest) -> JournalAnswer:
        """One page: 200 with events, 204 at the end, 410 for an expired position.

        Raises `GatewayError` (400) for parameters that cannot be obeyed.
        """
        query = read_query(request.query, self._config.journal_page_events_max)
        try:
            place = await self._find_place(request, query)
        except GatewayError as error:
            if error.reason is not Reason.POSITION_EXPIRED:
                raise
            return self._expired(request, error)
        page = None if query.latest else await self._next_page(request, query, place)
        if page is not None:
            caching = _NOT_KEPT if query.since is None else _KEPT
            return JournalAnswer(200, (_EVENTS_TYPE, caching, *self._links(request, page.last, query.limit)), page.body)
        retry_after = (b"retry-after", b"%d" % self._config.journal_retry_after_s)
        links = self._links(request, self._resting_place(query, place), query.limit)
        return JournalAnswer(204, (_NOT_KEPT, retry_after, *links), None)

    async def validate(self, request: JournalRequest) -> JournalAnswer:
        """Whether `since` is still good: 200 with what follows it, possibly nothing.

        Raises `GatewayError` (400) when it is malformed, foreign or expired.
        """
        query = read_query(request.query, self._config.journal_page_events_max)
        if query.since is None:
            raise GatewayError(Reason.INVALID_PARAMETER, "since: is required here")
        try:
            place = await self._find_place(request, query)
        except GatewayError as error:
            raise GatewayError(Reason.INVALID_POSITION, error.message) from None
        page = await self._make_page(request, query, place)
        body, last = (empty_page(query.since), query.since) if page is None else (page.body, page.last)
        return JournalAnswer(200, (_EVENTS_TYPE, _NOT_KEPT, *self._links(request, last, query.limit)), body)

    async def count(self, request: JournalRequest) -> JournalAnswer:
        """How many events a read without limit would yield, up to `journal_count_max`. Raises as `read` does."""
        query = read_query(request.query, self._config.journal_page_events_max)
        try:
            place = await self._find_place(request, query)
        except GatewayError as error:
            if error.reason is not Reason.POSITION_EXPIRED:
                raise
            return self._expired(request, error)
        lane = request.registration.id
        count = await self._store.count_after(lane, place.after, self._config.journal_count_max)
        return JournalAnswer(200, (_JSON_TYPE, _NOT_KEPT), b'{"count":%d}' % count)

    async def _find_place(self, request: JournalRequest, query: JournalQuery) -> _Place:
        """The head is read before any event: what comes after it in time also comes after it in place."""
        shard = await self._store.shard(request.registration.org)
        head = await self._store.head(shard)
        if query.since is not None:
            position = parse_position(query.since)
            check_position(position, generation=head.generation, shard=shard, head_seq=head.seq)
            if position.seq < await self._store.floor(request.registration.id):
                raise GatewayError(Reason.POSITION_EXPIRED, f"Events at position {query.since} have expired.")
            return _Place(shard, head, position.seq)
        if query.latest:
            return _Place(shard, head, head.seq)
        if query.seek_ms is not None:
            return _Place(shard, head, await self._store.seek(shard, max(0, self._clock.now_ms() - query.seek_ms)))
        return _Place(shard, head, 0)

    async def _next_page(self, request: JournalRequest, query: JournalQuery, place: _Place) -> Page | None:
        """The page, made now or before; if it is full, the one after it is made next."""
        page = await self._ahead.take(self._key(request, query, place))
        if page is None:
            page = await self._make_page(request, query, place)
        if page is not None and page.is_full:
            following = msgspec.structs.replace(place, after=page.last_seq)
            self._ahead.start(
                self._key(request, query, following),
                lambda: self._make_page(request, query, following),
                self._clock.machine_s(),
            )
        return page

    def _key(self, request: JournalRequest, query: JournalQuery, place: _Place) -> PageKey:
        registration = request.registration
        return PageKey(registration.id, registration.client_id, place.head.generation, place.after, self._limit(query))

    def _limit(self, query: JournalQuery) -> int:
        return query.limit or self._config.journal_page_events

    async def _make_page(self, request: JournalRequest, query: JournalQuery, place: _Place) -> Page | None:
        """None when there are no events."""
        limit = self._limit(query)
        stretches = await self._read_stretches(request.registration, limit, place)
        if not stretches:
            return None
        return self._page(request.registration, place, stretches, limit)

    async def _read_stretches(self, registration: Registration, limit: int, place: _Place) -> list[JournalStretch]:
        bytes_max = self._config.journal_page_bytes_max + limit * _ENVELOPE_BYTES_MAX
        page = await self._store.journal_page(registration.id, place.after, limit, bytes_max)
        # Appends go on meanwhile. No position beyond the head that was read is given out: the next request might be
        # checked against the same head.
        if not page.stretches or page.stretches[-1].seqs[-1] <= place.head.seq:
            return page.stretches
        return _first(page.stretches, sum(seq <= place.head.seq for seq in page.seqs))

    def _page(self, registration: Registration, place: _Place, stretches: list[JournalStretch], limit: int) -> Page:
        """As many of the events as fit, at least one."""
        suffix = recipient_suffix(registration.client_id, self._config.legacy_fields)
        runs = _runs(stretches, place, suffix)
        body = journal_page(runs)
        if len(body) > self._config.journal_page_bytes_max:
            stretches = _first(stretches, fit_page(runs, self._config.journal_page_bytes_max))
            body = journal_page(_runs(stretches, place, suffix))
        last = stretches[-1]
        position = Position(place.head.generation, place.shard, last.day, last.seqs[-1])
        is_full = sum(len(stretch.seqs) for stretch in stretches) == limit
        return Page(body, format_position(position), position.seq, is_full)

    def _resting_place(self, query: JournalQuery, place: _Place) -> str:
        """Where to go on from when there is nothing: the given position, else the end."""
        if query.since is not None:
            return query.since
        return format_position(Position(place.head.generation, place.shard, place.head.day, place.head.seq))

    def _expired(self, request: JournalRequest, error: GatewayError) -> JournalAnswer:
        base = self._base(request)
        tail = _tail(request)
        links = (_link(f"{base}/events/{tail}", "events"), _link(f"{base}/events/{tail}?latest=true", "latest"))
        if request.wants_json:
            body = msgspec.json.encode({"reason": error.reason.code, "message": error.message})
            return JournalAnswer(410, (_JSON_TYPE, _NOT_KEPT, *links), body)
        return JournalAnswer(410, (_TEXT_TYPE, _NOT_KEPT, *links), error.message.encode())

    def _links(self, request: JournalRequest, position: str, limit: int | None) -> list[Header]:
        """All links of an answer, in the order of the real service."""
        base = self._base(request)
        tail = _tail(request)
        events = f"{base}/events/{tail}"
        following = f"?since={position}" if limit is None else f"?since={position}&limit={limit}"
        return [
            _link(events, "events"),
            _link(f"{base}/events-fast/{tail}{following}", "next"),
            _link(f"{base}/count/{tail}?since={position}", "count"),
            _link(f"{events}?latest=true", "latest"),
            _link(f"{events}?since={{position}}&limit={{count}}", "page"),
            _link(f"{events}?seek={{duration}}&limit={{count}}", "seek"),
            _link(f"{base}/events-validate/{tail}?since={position}", "validate"),
        ]

    def _base(self, request: JournalRequest) -> str:
        return self._origin + self._root if request.links_absolute else self._root


def _first(stretches: Sequence[JournalStretch], count: int) -> list[JournalStretch]:
    """The first `count` events."""
    kept = []
    for stretch in stretches:
        if count <= 0:
            break
        kept.append(msgspec.structs.replace(stretch, seqs=stretch.seqs[:count], bodies=stretch.bodies[:count]))
        count -= len(stretch.seqs)
    return kept


def _runs(stretches: Sequence[JournalStretch], place: _Place, suffix: bytes) -> list[JournalRun]:
    return [
        JournalRun(
            format_prefix(place.head.generation, place.shard, stretch.day),
            stretch.seqs,
            [bare_data(body) for body in stretch.bodies] if stretch.delivery_format == "adobe_io" else stretch.bodies,
            b"" if stretch.delivery_format == "adobe_io" else suffix,
        )
        for stretch in stretches
    ]


def _tail(request: JournalRequest) -> str:
    registration = request.registration
    return f"organizations/{registration.org}/integrations/{request.credential_id}/{registration.registration_id}"


def _link(target: str, rel: str) -> Header:
    return b"link", f'<{target}>; rel="{rel}"'.encode()
