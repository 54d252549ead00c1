"""GET /metrics: what the gateway counts, in Prometheus' text format. Labels name registrations, never organizations.

`METRICS` is the public interface (`docs/metrics.md` is made from it): added, never renamed. Written here rather than by
a client library, because nothing is kept: every number is read from the store when it is asked for.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from typing import Literal

import msgspec

from eventmill import __version__
from eventmill.errors import GatewayError, Reason, StoreUnavailable
from eventmill.store.observe import Backlog
from eventmill.web.http import Reply, Request
from eventmill.web.parts import Vitals

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_Labels = tuple[tuple[str, str], ...]
_Series = dict[str, list[tuple[_Labels, float]]]


class Metric(msgspec.Struct, frozen=True):
    name: str
    kind: Literal["counter", "gauge"]
    labels: tuple[str, ...]
    meaning: str
    of: Literal["node", "store"] = "node"
    """`store`: of the store that nodes share, so that each of them says the same. What is of a node adds up."""


METRICS = (
    Metric("eventmill_build_info", "gauge", ("version",), "1, with the version as label."),
    Metric(
        "eventmill_ready",
        "gauge",
        (),
        "Whether publishing is accepted: 1 or 0, as `/readyz` answers; 0, too, while the store "
        "cannot be asked. What is read from the store is then left out.",
    ),
    Metric("eventmill_published_events_total", "counter", (), "Events that were stored and acknowledged."),
    Metric(
        "eventmill_delivery_attempts_total",
        "counter",
        ("outcome",),
        "Attempts by `outcome`, `succeeded` or `failed`; one for a batch.",
    ),
    Metric(
        "eventmill_undelivered_events_total",
        "counter",
        ("outcome",),
        "Events that ended undelivered, for each registration: `refused` by a final answer, `gave_up` after 24 hours, "
        "`expired` before an attempt could be made.",
    ),
    Metric("eventmill_retry_units", "gauge", (), "Events and batches that wait for another attempt.", of="store"),
    Metric(
        "eventmill_oldest_undelivered_age_seconds",
        "gauge",
        (),
        "How long the oldest event has waited that a registration is still to get, since it was published or, once "
        "tried, since its first attempt; 0 when nothing waits. Journals and events that passed while a registration "
        "was disabled do not count.",
        of="store",
    ),
    Metric(
        "eventmill_registration_oldest_undelivered_age_seconds",
        "gauge",
        ("registration_id",),
        "The same for each registration for which anything waits; the `EVENTMILL_METRICS_REGISTRATIONS_MAX` worst.",
        of="store",
    ),
    Metric(
        "eventmill_clock_ahead_seconds",
        "gauge",
        (),
        "How far this machine's clock is ahead of the database's, as far as is known; negative when behind. "
        "Only with PostgreSQL.",
    ),
    Metric("eventmill_store_bytes", "gauge", (), "Bodies of the events that are kept.", of="store"),
    Metric("eventmill_disk_free_bytes", "gauge", (), "Free space where the data is; not with PostgreSQL."),
    Metric(
        "eventmill_schema_warnings_total",
        "counter",
        (),
        "Published events whose data did not fit the schema of their code, of providers that only warn.",
    ),
    Metric("eventmill_expired_segments_total", "counter", (), "Files of events, one a day, that retention removed."),
)
"""All of them; counters begin at 0 with each start."""


async def get_metrics(parts: Vitals, request: Request) -> Reply:
    """GET /metrics"""
    _check_token(parts.config.metrics_token, request.header(b"authorization"))
    return Reply(200, "".join(_lines(await _read(parts))).encode(), TEXT_TYPE)


def _check_token(wanted: str, authorization: str) -> None:
    if not wanted:
        return
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise GatewayError(Reason.MISSING_TOKEN, "no token: send the header Authorization: Bearer <metrics token>")
    if not hmac.compare_digest(token.strip().encode(), wanted.encode()):
        raise GatewayError(Reason.INVALID_TOKEN, "the token is not the one that EVENTMILL_METRICS_TOKEN sets")


async def _read(parts: Vitals) -> _Series:
    """Without what only the store knows, while it cannot be asked: that is when somebody looks at the rest."""
    totals = await parts.store.totals()
    try:
        backlog = await parts.store.backlog(parts.config.metrics_registrations_max)
    except StoreUnavailable:
        backlog = None
    ready = backlog is not None and parts.unready() is None
    series: _Series = {
        "eventmill_build_info": [((("version", __version__),), 1)],
        "eventmill_ready": [((), float(ready))],
        "eventmill_clock_ahead_seconds": [((), parts.store.clock_ahead_ms() / 1000)] if parts.config.store else [],
        "eventmill_published_events_total": [((), totals.events)],
        "eventmill_delivery_attempts_total": _by_outcome(succeeded=totals.succeeded, failed=totals.failed),
        "eventmill_undelivered_events_total": _by_outcome(
            refused=totals.refused, gave_up=totals.gave_up, expired=totals.expired
        ),
        "eventmill_disk_free_bytes": [] if totals.disk_free_bytes is None else [((), totals.disk_free_bytes)],
        "eventmill_schema_warnings_total": [] if parts.placing is None else [((), parts.placing.schemas.warned)],
        "eventmill_expired_segments_total": [((), totals.dropped_segments)],
    }
    if backlog is not None:
        series |= _waiting(backlog, parts.clock.now_ms())
        series["eventmill_store_bytes"] = [((), totals.stored_bytes)]
    return series


def _waiting(backlog: Backlog, now_ms: int) -> _Series:
    ages = [(each.registration_id, age_s(each.since_ms, now_ms)) for each in backlog.oldest]
    return {
        "eventmill_retry_units": [((), backlog.units)],
        "eventmill_oldest_undelivered_age_seconds": [((), max((age for _, age in ages), default=0))],
        "eventmill_registration_oldest_undelivered_age_seconds": [
            ((("registration_id", registration_id),), age) for registration_id, age in ages
        ],
    }


def age_s(since_ms: int | None, now_ms: int) -> float:
    """0 for nothing."""
    return 0.0 if since_ms is None else max(0, now_ms - since_ms) / 1000


def _by_outcome(**counts: int) -> list[tuple[_Labels, float]]:
    return [((("outcome", outcome),), count) for outcome, count in counts.items()]


def _lines(series: _Series) -> Iterable[str]:
    for metric in METRICS:
        of = " Of the whole store: every node says the same." if metric.of == "store" else ""
        yield f"# HELP {metric.name} {metric.meaning}{of}\n# TYPE {metric.name} {metric.kind}\n"
        for labels, value in series.get(metric.name, ()):
            named = ",".join(f'{name}="{text}"' for name, text in labels)
            yield f"{metric.name}{{{named}}} {value:.15g}\n" if named else f"{metric.name} {value:.15g}\n"
