"""Overview: is anything broken or late? Figures that renew themselves, and the registrations that need somebody."""

from __future__ import annotations

from typing import Any

import msgspec

from eventmill.model import Registration
from eventmill.store.observe import Waiting
from eventmill.ui.charts import Bar
from eventmill.ui.page import Page
from eventmill.ui.pages.renewing import renew
from eventmill.ui.visit import Visit
from eventmill.web.http import Reply
from eventmill.web.providers import list_metadata

_LISTED_MAX = 8
_LATE_S = 60.0


class FirstStep(msgspec.Struct, frozen=True):
    """On the way to a first event that somebody gets."""

    words: str
    hint: str
    url: str
    action: str
    is_done: bool


class Trouble(msgspec.Struct, frozen=True):
    """A registration that somebody should look at."""

    registration: Registration
    what: str
    tone: str
    waiting_s: float


async def show_overview(visit: Visit) -> Reply:
    return visit.render("overview.html", **await _figures(visit))


async def stream_figures(visit: Visit) -> Reply:
    """The same figures, sent whenever they change."""

    async def make() -> str:
        return visit.console.views.render("overview_figures.html", {"visit": visit, **await _figures(visit)})

    return renew(visit, make)


async def _figures(visit: Visit) -> dict[str, Any]:
    parts, figures = visit.parts, visit.console.figures
    totals, backlog = await figures.now()
    now_ms = parts.clock.now_ms()
    own = [each for each in parts.catalogue.registrations() if each.org == visit.org.id]
    ours = {each.id for each in own}
    waiting = [each for each in backlog.oldest if each.lane in ours]
    troubles = _troubles(own, waiting, now_ms)
    per_minute = figures.per_minute(totals)
    return {
        "sees_all": not visit.person.orgs,
        "oldest_s": max((_age_s(each, now_ms) for each in waiting), default=0.0),
        "late": [each for each in waiting if _age_s(each, now_ms) > _LATE_S],
        "registrations": len(own),
        "troubles": troubles[:_LISTED_MAX],
        "troubles_total": len(troubles),
        "totals": totals,
        "units": backlog.units,
        "per_minute": per_minute,
        "events_bars": _bars(per_minute.events, "accent"),
        "days_left": figures.days_left(totals),
        "unready": parts.unready(),
        "reserve": parts.config.disk_reserve_bytes,
        "first_steps": [] if own else await _first_steps(visit),
        "unmatched": await parts.store.count_unmatched(visit.org.id, now_ms - 86_400_000),
    }


async def _first_steps(visit: Visit) -> list[FirstStep]:
    """Each leads to the next; done is what was made already."""
    own = visit.console.own_providers(visit.org.id)
    described = [each for each in own if await list_metadata(visit.parts, each)]
    events_url = visit.url("providers", own[0].id, "new-event") if own else visit.url("providers")
    return [
        FirstStep(
            "A provider",
            "who publishes: a shop, a warehouse, a service",
            visit.url("providers", "new"),
            "Create a provider",
            bool(own),
        ),
        FirstStep("An event type", "what it tells of, with a sample", events_url, "Add an event type", bool(described)),
        FirstStep(
            "A registration",
            "who gets the events: a webhook, an action, or whoever reads the journal",
            visit.url("registrations", "new"),
            "Add events",
            False,
        ),
    ]


def _age_s(waiting: Waiting, now_ms: int) -> float:
    return max(0, now_ms - waiting.since_ms) / 1000


def _bars(values: tuple[float, ...], tone: str) -> list[Bar]:
    last = len(values) - 1
    names = [f"{last - at} min ago" for at in range(last)] + ["this minute"]
    return [Bar(name, value, tone) for name, value in zip(names, values, strict=True)]


def _troubles(own: list[Registration], waiting: list[Waiting], now_ms: int) -> list[Trouble]:
    """The disabled first, then those that fail, then those that are late."""
    late = {each.lane: _age_s(each, now_ms) for each in waiting}
    found: list[Trouble] = []
    for each in own:
        since_s = late.get(each.id, 0.0)
        if each.webhook_status == "hook_unreachable":
            found.append(Trouble(each, "disabled: its webhook could not be reached", "bad", since_s))
        elif each.webhook_status == "verification_failed":
            found.append(Trouble(each, "never verified: its webhook failed the challenge", "bad", since_s))
        elif not each.enabled:
            found.append(Trouble(each, "switched off", "quiet", since_s))
        elif each.webhook_status == "unstable":
            found.append(Trouble(each, "unstable: deliveries fail", "warn", since_s))
        elif each.webhook_status == "accepted":
            found.append(Trouble(each, "waits for its validation link to be opened", "warn", since_s))
        elif since_s > _LATE_S:
            found.append(Trouble(each, "late", "warn", since_s))
    order = {"bad": 0, "warn": 1, "quiet": 2}
    return sorted(found, key=lambda each: (order[each.tone], -each.waiting_s))


PAGES = (
    Page("GET", "", show_overview, "Overview", section="overview"),
    Page("GET", "/live", stream_figures),
)
