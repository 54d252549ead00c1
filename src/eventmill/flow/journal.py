"""Reading a registration's journal: from a request's parameters to the answer with its links ("Journaling API").

Authorises nobody and finds no registration: the caller has done both. Waiting for events (RFC 7240) is an addition of
ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.core.envelope import empty_page
from eventmill.core.position import JournalQuery, read_query
from eventmill.errors import GatewayError, Reason
from eventmill.flow.arrivals import Arrivals
from eventmill.flow.journal_pages import Pages, Place
from eventmill.flow.readahead import Page, ReadAhead
from eventmill.flow.tail import Start, Tail
from eventmill.model import Registration
from eventmill.store.base import Store

Header = tuple[bytes, bytes]

_EVENTS_TYPE = (b"content-type", b"application/vnd.adobecloud.events+json;charset=UTF-8")
_JSON_TYPE = (b"content-type", b"application/json")
_TEXT_TYPE = (b"content-type", b"text/plain;charset=UTF-8")
_KEPT = (b"cache-control", b"private, max-age=604800")
_NOT_KEPT = (b"cache-control", b"no-store")


class JournalRequest(msgspec.Struct, frozen=True):
    registration: Registration
    credential_id: str
    """Of the path: a credential of the registration's workspace."""
    query: Sequence[tuple[str, str]]
    """Decoded query parameters in order."""
    links_absolute: bool = False
    """Header `x-adobe-io-events-url-links: true`. The Java client needs relative links and never sends it."""
    wants_json: bool = False
    """An expired position is answered in JSON instead of text."""
    wait_s: int = 0
    """How long the caller would wait for an event when there is none yet; machine time."""


class JournalAnswer(msgspec.Struct, frozen=True):
    status: int
    headers: tuple[Header, ...]
    """Lower-case names, in order; one `link` for each link."""
    body: bytes | None


class Journal:
    def __init__(self, store: Store, clock: Clock, config: Config) -> None:
        self._store = store
        self._clock = clock
        self._config = config
        self._pages = Pages(store, clock, config)
        self._ahead = ReadAhead()
        self._arrivals = Arrivals(store, config)
        url = urlsplit(config.url)
        self._root = url.path.rstrip("/")
        self._origin = f"{url.scheme}://{url.netloc}"

    @property
    def waiting(self) -> int:
        """Reads that wait and live tails, now."""
        return self._arrivals.count

    def stop(self) -> None:
        """Whoever waits is answered now, and live tails end."""
        self._arrivals.stop()

    async def read(self, request: JournalRequest) -> JournalAnswer:
        """One page: 200 with events, 204 at the end, 410 for an expired position.

        Raises `GatewayError` (400) for parameters that cannot be obeyed, and NOT_FOUND when the registration is deleted
        while the read waits.
        """
        try:
            return await self._read(request)
        except GatewayError as error:
            if error.reason is not Reason.POSITION_EXPIRED:
                raise
            return self._expired(request, error)

    async def _read(self, request: JournalRequest) -> JournalAnswer:
        query = read_query(request.query, self._config.journal_page_events_max)
        place = await self._pages.find_place(request.registration, query)
        page = None if query.latest else await self._next_page(request, query, place)
        wait_s, in_time = min(request.wait_s, self._config.journal_wait_s_max), False
        applied: tuple[Header, ...] = ((b"preference-applied", b"wait=%d" % wait_s),) if wait_s else ()
        if page is None and wait_s:
            page, in_time = await self._await_page(request, query, place, wait_s)
            applied = applied if in_time else ()
        if page is not None:
            caching = _NOT_KEPT if query.since is None else _KEPT
            links = self._links(request, page.last, query.limit)
            return JournalAnswer(200, (_EVENTS_TYPE, caching, *applied, *links), page.body)
        # Who has waited may ask again at once.
        retry_after = (b"retry-after", b"%d" % (0 if in_time else self._config.journal_retry_after_s))
        links = self._links(request, place.end if query.since is None else query.since, query.limit)
        return JournalAnswer(204, (_NOT_KEPT, retry_after, *applied, *links), None)

    async def tail(self, request: JournalRequest, last_id: str) -> Tail | JournalAnswer:
        """The live tail; 410 for an expired position. `last_id`: where an earlier one ended, before any parameter.

        Raises `GatewayError` (400) as `read` does, and TOO_MANY_READERS."""
        query = read_query(request.query, self._config.journal_page_events_max)
        if last_id:
            query = JournalQuery(since=last_id, limit=query.limit)
        place = await self._find_place(request, query)
        if isinstance(place, JournalAnswer):
            return place
        waiter = await self._arrivals.join(request.registration) if self._config.journal_tail_s_max else None
        if waiter is None:
            message = "this gateway has no room for a further live tail; read page by page"
            raise GatewayError(Reason.TOO_MANY_READERS, message, retry_after_s=self._config.journal_retry_after_s)
        position = query.since if query.since is not None else place.end if query.latest else ""
        start = Start(msgspec.structs.replace(place, since=position), position, self._pages.limit(query))
        return Tail(self._pages, waiter, start, self._clock, self._config)

    async def validate(self, request: JournalRequest) -> JournalAnswer:
        """Whether `since` is still good: 200 with what follows it, possibly nothing.

        Raises `GatewayError` (400) when it is malformed, foreign or expired.
        """
        query = read_query(request.query, self._config.journal_page_events_max)
        if query.since is None:
            raise GatewayError(Reason.INVALID_PARAMETER, "since: is required here")
        try:
            place = await self._pages.find_place(request.registration, query)
            page = await self._pages.make(request.registration, place, self._pages.limit(query))
        except GatewayError as error:
            if error.reason is not Reason.POSITION_EXPIRED:
                raise
            raise GatewayError(Reason.INVALID_POSITION, error.message) from None
        body, last = (empty_page(query.since), query.since) if page is None else (page.body, page.last)
        return JournalAnswer(200, (_EVENTS_TYPE, _NOT_KEPT, *self._links(request, last, query.limit)), body)

    async def count(self, request: JournalRequest) -> JournalAnswer:
        """How many events a read without limit would yield, up to `journal_count_max`. Raises as `read` does."""
        query = read_query(request.query, self._config.journal_page_events_max)
        place = await self._find_place(request, query)
        if isinstance(place, JournalAnswer):
            return place
        lane = request.registration.id
        count = await self._store.count_after(lane, place.after, self._config.journal_count_max)
        return JournalAnswer(200, (_JSON_TYPE, _NOT_KEPT), b'{"count":%d}' % count)

    async def _find_place(self, request: JournalRequest, query: JournalQuery) -> Place | JournalAnswer:
        """An answer when the position has expired."""
        try:
            return await self._pages.find_place(request.registration, query)
        except GatewayError as error:
            if error.reason is not Reason.POSITION_EXPIRED:
                raise
            return self._expired(request, error)

    async def _next_page(self, request: JournalRequest, query: JournalQuery, place: Place) -> Page | None:
        """The page, made now or before; if it is full, the one after it is made next."""
        registration, limit = request.registration, self._pages.limit(query)
        page = await self._ahead.take(self._pages.key(registration, place, limit))
        if page is None:
            page = await self._pages.make(registration, place, limit)
        if page is not None and page.is_full:
            following = self._pages.following(place, page)
            self._ahead.start(
                self._pages.key(registration, following, limit),
                lambda: self._pages.make(registration, following, limit),
                self._clock.machine_s(),
            )
        return page

    async def _await_page(
        self, request: JournalRequest, query: JournalQuery, place: Place, wait_s: int
    ) -> tuple[Page | None, bool]:
        """The page that comes in time; and whether the wait was granted to its end, or until the page came."""
        registration, limit = request.registration, self._pages.limit(query)
        waiter = await self._arrivals.join(registration)
        if waiter is None:
            return None, False
        ends_s = self._clock.machine_s() + wait_s
        with waiter:
            seen_seq = place.head.seq
            while True:
                waiter.clear()
                now = await self._pages.renew(place)
                if now.head.seq != seen_seq and (page := await self._pages.make(registration, now, limit)) is not None:
                    return page, True
                seen_seq = now.head.seq
                await waiter.check()
                if not await waiter.wait(ends_s - self._clock.machine_s()):
                    return None, not self._arrivals.stopped

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


def _tail(request: JournalRequest) -> str:
    registration = request.registration
    return f"organizations/{registration.org}/integrations/{request.credential_id}/{registration.registration_id}"


def _link(target: str, rel: str) -> Header:
    return b"link", f'<{target}>; rel="{rel}"'.encode()
