"""Registrations: who gets events, whether they arrive, how late they are. Found by status and by name."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import msgspec

from eventmill.flow.undelivered import count_undelivered
from eventmill.model import Registration
from eventmill.ui.page import Page
from eventmill.ui.pages.listing import next_after, page_of
from eventmill.ui.standing import STANDINGS, Standing, standing_of
from eventmill.ui.visit import Visit
from eventmill.web.http import Reply

_LISTED = 25
_DAY_MS = 86_400_000


class Listed(msgspec.Struct, frozen=True):
    """`succeeded` and `failed`: attempts of the last 24 hours."""

    registration: Registration
    standing: Standing
    succeeded: int
    failed: int
    late_s: float
    """How long the oldest event has waited that it is still to get; 0: none does."""
    undelivered: int

    @property
    def rate(self) -> float | None:
        attempts = self.succeeded + self.failed
        return None if not attempts else 100 * self.succeeded / attempts


async def list_registrations(visit: Visit) -> Reply:
    q, status = visit.query("q"), visit.query("status")
    own = [each for each in visit.parts.catalogue.registrations() if each.org == visit.org.id]
    named = [each for each in own if _matches(each, q.lower())]
    keys = [standing_of(each).key for each in named]
    counts = Counter(keys)
    found = sorted((each for each, key in zip(named, keys, strict=True) if not status or key == status), key=_order)
    shown = page_of(found, visit.query("after"), _LISTED, _key)
    return visit.render(
        "registrations/list.html",
        listed=await _figures(visit, shown),
        has_any=bool(own),
        has_providers=bool(visit.console.own_providers(visit.org.id)),
        total=len(named),
        choices=[(each, counts[each.key]) for each in STANDINGS if counts[each.key]],
        chosen_status=status,
        q=q,
        next=next_after(found, shown, _key),
        curl=visit.curl("GET", f"/events/{visit.org.id}/registrations?page=0&size={_LISTED}"),
    )


def _matches(registration: Registration, wanted: str) -> bool:
    if not wanted:
        return True
    told = (registration.name, registration.description, registration.registration_id, registration.webhook_url or "")
    return any(wanted in each.lower() for each in told)


def _order(registration: Registration) -> tuple[str, int]:
    return registration.name.lower(), registration.id


def _key(registration: Registration) -> str:
    return registration.registration_id


async def _figures(visit: Visit, shown: Sequence[Registration]) -> list[Listed]:
    return list(await asyncio.gather(*(_listed(visit, each) for each in shown)))


async def _listed(visit: Visit, registration: Registration) -> Listed:
    store, now_ms = visit.parts.store, visit.parts.clock.now_ms()
    lane = registration.id
    succeeded, failed = await store.counts(lane, now_ms - _DAY_MS)
    since_ms = await store.waiting_since(lane)
    missed = await count_undelivered(store, registration, after=await store.floor(lane))
    late_s = 0.0 if since_ms is None else max(0, now_ms - since_ms) / 1000
    return Listed(registration, standing_of(registration), succeeded, failed, late_s, missed.total)


PAGES = (Page("GET", "/registrations", list_registrations, "Registrations", section="registrations"),)
