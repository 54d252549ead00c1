"""Reads of journals, page by page: one question for a page, one for where the journal begins and ends.

A page is answered as columns, so that the driver makes no row of each event.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from eventmill.clock import Clock
from eventmill.model import DeliveryFormat, Lane
from eventmill.store.log import Bounds, Head, JournalPage, JournalStretch
from eventmill.store.postgres.days import DAY_MS, written_day
from eventmill.store.postgres.facts import Facts
from eventmill.store.postgres.queries import load_queries
from eventmill.store.postgres.reading import Reading

_SQL = load_queries("pages")


class PageReads:
    """The part of `EventLog` that readers of journals use."""

    _pool: Reading
    _facts: Facts
    _clock: Clock

    async def bounds(self, shard: int, lane: Lane) -> Bounds:
        row = await self._pool.fetchrow(_SQL["bounds"], shard, lane)
        assert row is not None
        generation, head, last_ts_ms, floor = row
        return Bounds(Head(generation, head, written_day((last_ts_ms or self._clock.now_ms()) // DAY_MS)), floor)

    async def journal_page(self, lane: Lane, after: int, limit: int, bytes_max: int) -> JournalPage:
        rows = await self._pool.fetch(_SQL["page"], lane, after, limit, bytes_max)
        stretches: list[JournalStretch] = []
        for day, seqs, origins, bodies, _, _ in rows:
            if seqs is not None:
                stretches += [
                    JournalStretch(written_day(day), form, tuple(seqs[first:end]), tuple(bodies[first:end]))
                    for form, first, end in await self._forms(origins)
                ]
        return JournalPage(stretches, rows[-1]["more"], rows[-1]["gone"]) if rows else JournalPage([], False)

    async def _forms(self, origins: Sequence[int]) -> list[tuple[DeliveryFormat, int, int]]:
        """Where events of one format begin and end: nearly always one stretch."""
        known = await self._facts.origins_of(origins)
        return list(_runs([known[number].delivery_format for number in origins]))


def _runs(forms: Sequence[DeliveryFormat]) -> Iterator[tuple[DeliveryFormat, int, int]]:
    if len(set(forms)) == 1:
        yield forms[0], 0, len(forms)
        return
    first = 0
    for form, group in groupby(forms):
        end = first + len(list(group))
        yield form, first, end
        first = end
