"""Debug Tracing: the last attempts of a registration, narrowed by outcome, code, time and retries; each in full."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from eventmill.core.delivery_headers import CHALLENGE_EVENT_CODE, REPLAY_HEADER
from eventmill.errors import TraceCode
from eventmill.flow.traces import Traced, recent_traces, trace_entry
from eventmill.model import Registration
from eventmill.ui.charts import Bar, Slice
from eventmill.ui.page import Page
from eventmill.ui.pages.listing import next_after, page_of
from eventmill.ui.pages.one_registration import REGISTRATION, find_registration, registration_path, registration_url
from eventmill.ui.pages.renewing import renew
from eventmill.ui.pages.trace_filter import RETRIES, TIMES, read_filter
from eventmill.ui.shell import shell_word
from eventmill.ui.visit import Visit
from eventmill.web.http import Reply

_LISTED = 25
_CODES_SHOWN = 12
WHY: Mapping[int, str] = {
    TraceCode.CLIENT_ERROR: "the gateway could not make the request",
    TraceCode.NETWORK_ERROR: "no connection, or it broke",
    TraceCode.TIMEOUT: "no answer in time",
    TraceCode.TLS_ERROR: "the TLS handshake failed",
}
"""Of attempts without an answer."""


class Attempt:
    """A row."""

    def __init__(self, traced: Traced, providers: dict[str, str]) -> None:
        detail = traced.detail
        headers = {name.lower(): value for name, value in detail.request_headers}
        self.id = detail.delivery_id
        self.at_ms = detail.started_ms
        self.code = detail.event_code
        self.is_challenge = detail.event_code == CHALLENGE_EVENT_CODE
        self.provider = providers.get(detail.event_code, headers.get("x-adobe-provider", ""))
        self.event_ids = headers.get("x-adobe-event-id", "")
        self.events = len(traced.record.positions)
        self.status = detail.status
        self.ok = traced.record.ok
        self.duration_ms = detail.duration_ms
        self.retry = headers.get("x-adobe-retry-count", "")
        self.is_replay = REPLAY_HEADER in headers
        self.why = WHY.get(detail.status, "")


def _providers(visit: Visit, registration: Registration) -> dict[str, str]:
    """Labels by event code."""
    found: dict[str, str] = {}
    for each in registration.events_of_interest:
        provider = visit.parts.catalogue.provider(each.provider_id)
        if provider is not None:
            found[each.event_code] = provider.label
    return found


async def show_traces(visit: Visit) -> Reply:
    registration = find_registration(visit)
    return visit.render(
        "registrations/traces.html",
        query=_query(visit),
        curl=visit.curl("GET", _api_path(registration)),
        **await _values(visit, registration),
    )


def _api_path(registration: Registration) -> str:
    place = f"{registration.org}/{registration.project_id}/{registration.workspace_id}"
    return f"/traces/{place}/registration/{quote(registration.registration_id, safe='')}"


def _query(visit: Visit) -> str:
    return visit.here.partition("?")[2]


async def _values(visit: Visit, registration: Registration) -> dict[str, Any]:
    """For `traces_list.html`."""
    parts = visit.parts
    traces = await recent_traces(parts.store, registration, parts.clock.now_ms())
    providers = _providers(visit, registration)
    attempts = [Attempt(each, providers) for each in traces]
    wanted = read_filter(visit)
    found = [each for each in attempts if wanted.lets_through(each)]
    shown = page_of(found, wanted.after, _LISTED, _id_of)
    codes = Counter(each.status for each in attempts)
    return {
        "registration": registration,
        "attempts": shown,
        "found": len(found),
        "total": len(attempts),
        "wanted": wanted,
        "codes": sorted(codes),
        "times": TIMES,
        "retries": RETRIES,
        "histogram": _histogram(codes),
        "href": lambda **change: registration_url(visit, registration, "traces", **wanted.query(**change)),
        "next": next_after(found, shown, _id_of),
    }


def _id_of(attempt: Attempt) -> str:
    return attempt.id


def _histogram(codes: Counter[int]) -> Sequence[Bar]:
    """By response code; the rarest together when there are many."""
    frequent = sorted(code for code, _ in codes.most_common(_CODES_SHOWN))
    bars = [Bar(str(code), codes[code], _tone(code)) for code in frequent]
    rest = codes.total() - sum(codes[code] for code in frequent)
    return [*bars, Bar("others", rest, "quiet")] if rest else bars


def _tone(status: int) -> str:
    return "ok" if 200 <= status < 300 else "warn" if 400 <= status < 500 else "bad"


async def stream_traces(visit: Visit) -> Reply:
    """The same rows, sent anew whenever there are others."""
    find_registration(visit)

    async def make() -> str:
        values = await _values(visit, find_registration(visit))
        return visit.console.views.render("registrations/traces_list.html", {"visit": visit, **values})

    return renew(visit, make)


async def show_trace(visit: Visit) -> Reply:
    """A page of its own, or with `part`, what a row holds when it is opened."""
    registration = find_registration(visit)
    parts = visit.parts
    traces = await recent_traces(parts.store, registration, parts.clock.now_ms())
    traced = next((each for each in traces if each.detail.delivery_id == visit.params["attempt"]), None)
    if traced is None:
        raise visit.not_found("attempt, or not any more: the last hundred of each kind are kept for seven days,")
    entry = await trace_entry(parts.store, registration, traced, parts.config)
    attempt = Attempt(traced, _providers(visit, registration))
    request, response = entry["trace"]["tracingRequest"], entry["trace"]["tracingResponse"]
    resend = f"{registration_path(registration)}/attempts/{quote(attempt.id, safe='')}/resend"
    return visit.render(
        "registrations/trace_part.html" if visit.query("part") else "registrations/trace.html",
        registration=registration,
        attempt=attempt,
        request=request,
        response=response,
        insights=entry["trace"]["insightsInfo"],
        timings=entry["trace"].get("timings"),
        slices=_slices(entry["trace"].get("timings")),
        is_cut=len(request["requestBody"].encode()) >= parts.config.trace_body_bytes_max,
        delivery_curl=_delivery_curl(request),
        resend_curl="" if attempt.is_challenge else visit.curl("POST", resend),
        curl=visit.curl("GET", _api_path(registration)),
    )


_PHASES = (("dns", "DNS"), ("connect", "connect"), ("tls", "TLS"), ("firstByte", "first byte"))


def _slices(timings: dict[str, float] | None) -> list[Slice]:
    """Where the time went, one after the other."""
    if timings is None:
        return []
    found = [Slice(label, timings[name]) for name, label in _PHASES if name in timings]
    rest = timings["total"] - sum(each.value for each in found)
    return [*found, Slice("the rest", max(0.0, rest))]


def _delivery_curl(request: dict[str, Any]) -> str:
    """The delivered request, to be made again from a shell."""
    words = [f"curl -sS -X {request['requestMethod']} {shell_word(request['requestUrl'])}"]
    for name, values in request["requestHeaders"].items():
        words += [f"-H {shell_word(f'{name}: {value}')}" for value in values]
    if request["requestBody"]:
        words.append(f"--data-binary {shell_word(request['requestBody'])}")
    return " \\\n  ".join(words)


async def resend(visit: Visit) -> Reply:
    registration = find_registration(visit)
    attempt = quote(visit.params["attempt"], safe="")
    done = await visit.act("POST", f"{registration_path(registration)}/attempts/{attempt}/resend")
    where = registration_url(visit, registration, "traces")
    if not done.ok:
        return visit.redirect(where, done.message, "bad")
    told = done.body["items"]
    said = told[0]["message"] if len(told) == 1 else f"{len(told)} events are sent once more, now"
    return visit.redirect(where, f"{said[:1].upper()}{said[1:]}.")


_TRACES = REGISTRATION + "/traces"

PAGES = (
    Page("GET", _TRACES, show_traces, "Debug Tracing", section="registrations"),
    Page("GET", _TRACES + "/live", stream_traces),
    Page("GET", _TRACES + "/{attempt}", show_trace, "Attempt", section="registrations"),
    Page("POST", _TRACES + "/{attempt}/resend", resend, "Resend", "developer", "registrations"),
)
