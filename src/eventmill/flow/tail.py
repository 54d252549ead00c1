"""The live tail of a journal: events as they come, as Server-Sent Events (HTML Living Standard). An addition of ours.

It reads page by page, the next one when its reader has taken the last: a slow reader holds one page and no more.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.core.sse import COMMENT, format_events, format_named, format_opening
from eventmill.errors import GatewayError, Reason
from eventmill.flow.arrivals import Waiter
from eventmill.flow.journal_pages import Pages, Place

_RECONNECT_MS = 1000


class Start(msgspec.Struct, frozen=True):
    place: Place
    position: str
    """Of the place, as it was given or can be given out; empty: neither, as before the oldest event."""
    limit: int
    """Events read at a time."""


class Tail:
    """One stream. It has a place among those who wait: whoever has it closes it."""

    def __init__(self, pages: Pages, waiter: Waiter, start: Start, clock: Clock, config: Config) -> None:
        self._pages = pages
        self._waiter = waiter
        self._place = start.place
        self._start = start.position
        self._limit = start.limit
        self._clock = clock
        self._ends_s = clock.machine_s() + config.journal_tail_s_max
        self._heartbeat_s = config.journal_heartbeat_s

    def close(self) -> None:
        self._waiter.leave()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Ends in time, when the gateway shuts down, when the registration is deleted, and when events that the reader
        has not seen expire: its next request is told so."""
        yield format_opening(self._start, _RECONNECT_MS)
        while not self._waiter.stopped:
            self._waiter.clear()
            try:
                chunk = await self._next_chunk()
                if not chunk:
                    await self._waiter.check()
            except GatewayError as error:
                yield format_named("end", msgspec.json.encode({"reason": error.reason.code, "message": error.message}))
                return
            left_s = self._ends_s - self._clock.machine_s()
            if chunk:
                yield chunk
            elif not await self._waiter.wait(min(left_s, self._heartbeat_s)):
                yield COMMENT
            if left_s <= 0:
                return

    async def _next_chunk(self) -> bytes:
        """Empty: nothing new. Raises `POSITION_EXPIRED`."""
        registration = self._waiter.registration
        place = await self._pages.renew(self._place)
        if place.head.generation != self._place.head.generation:
            raise GatewayError(Reason.POSITION_EXPIRED, "the journal was emptied")
        stretches = await self._pages.read(registration, place, self._limit)
        if not stretches:
            return b""
        chunk, self._start = format_events(self._pages.runs(registration, place, stretches))
        self._place = msgspec.structs.replace(place, after=stretches[-1].seqs[-1], since=self._start)
        return chunk
