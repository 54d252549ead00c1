"""The routes table: every path that is served, who may call it, and which handler answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from eventmill.model import Caller
from eventmill.web import (
    dev,
    event_metadata,
    families,
    health,
    ims,
    insight,
    keys,
    providers,
    registration_reads,
    registrations,
    samples,
)
from eventmill.web.http import Reply, Request
from eventmill.web.journal import count_events, read_journal, validate_position
from eventmill.web.parts import Parts
from eventmill.web.routing import Router

Handler = Callable[[Parts, Request, Caller], Awaitable[Reply]]
OpenHandler = Callable[[Parts, Request], Awaitable[Reply]]

_WORKSPACE = "/events/{org}/{project}/{workspace}"
_PROVIDER = _WORKSPACE + "/providers/{provider}"
_METADATA = "/events/providers/{provider}/eventmetadata"
_INTEGRATION = "/organizations/{org}/integrations/{credential}"

CALLERS: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/events/providermetadata", families.list_families),
    ("GET", "/events/{org}/providers", providers.list_providers),
    ("GET", "/events/providers/{provider}", providers.get_provider),
    ("POST", _WORKSPACE + "/providers", providers.create_provider),
    ("PUT", _PROVIDER, providers.update_provider),
    ("DELETE", _PROVIDER, providers.delete_provider),
    ("GET", _METADATA, event_metadata.list_event_metadata),
    ("GET", _METADATA + "/{code}", event_metadata.get_event_metadata),
    ("POST", _PROVIDER + "/eventmetadata", event_metadata.create_event_metadata),
    ("DELETE", _PROVIDER + "/eventmetadata", event_metadata.delete_all_event_metadata),
    ("PUT", _PROVIDER + "/eventmetadata/{code}", event_metadata.update_event_metadata),
    ("DELETE", _PROVIDER + "/eventmetadata/{code}", event_metadata.delete_event_metadata),
    ("GET", _METADATA + "/{code}/sample_event", samples.get_sample_event),
    ("POST", _METADATA + "/{code}/sample_event/{registration}", samples.post_sample_event),
    ("GET", "/events/{org}/registrations", registration_reads.page_registrations),
    ("GET", _WORKSPACE + "/registrations", registration_reads.list_registrations),
    ("POST", _WORKSPACE + "/registrations", registrations.create_registration),
    ("GET", _WORKSPACE + "/registrations/{registration}", registration_reads.get_registration),
    ("PUT", _WORKSPACE + "/registrations/{registration}", registrations.update_registration),
    ("DELETE", _WORKSPACE + "/registrations/{registration}", registrations.delete_registration),
    ("GET", "/events" + _INTEGRATION + "/tracing/{registration}", insight.get_traces),
    ("GET", "/traces/{org}/{project}/{workspace}/registration/{registration}", insight.get_workspace_traces),
)
"""Need a token and an api key."""

JOURNAL: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/events" + _INTEGRATION + "/{registration}", read_journal),
    ("GET", "/events-fast" + _INTEGRATION + "/{registration}", read_journal),
    ("GET", _INTEGRATION + "/{registration}", read_journal),
    ("GET", "/events" + _INTEGRATION + "/{registration}/validate", validate_position),
    ("GET", "/events-validate" + _INTEGRATION + "/{registration}", validate_position),
    ("GET", _INTEGRATION + "/{registration}/validate", validate_position),
    ("GET", "/count" + _INTEGRATION + "/{registration}", count_events),
)
"""Need the same, and may be called by web pages of any origin."""

OPEN: tuple[tuple[str, str, OpenHandler], ...] = (
    ("GET", "/", health.get_index),
    ("GET", "/healthz", health.get_health),
    ("GET", "/readyz", health.get_readiness),
    ("GET", "/prod/keys/{file}", keys.get_public_key),
    ("POST", "/ims/token/v2", ims.issue_token),
    ("POST", "/ims/token/v3", ims.issue_token),
)
"""Need no token."""

DEV: tuple[tuple[str, str, OpenHandler], ...] = (
    ("GET", "/_dev/clock", dev.get_clock),
    ("POST", "/_dev/clock", dev.post_clock),
    ("POST", "/_dev/reset", dev.post_reset),
)
"""Dev mode only, from this machine only."""


class Route(msgspec.Struct, frozen=True):
    handler: Handler | None = None
    open_handler: OpenHandler | None = None
    cross_origin: bool = False


def build_router(*, dev_mode: bool) -> Router[Route]:
    router: Router[Route] = Router()
    for method, pattern, handler in CALLERS:
        router.add(method, pattern, Route(handler))
    for method, pattern, handler in JOURNAL:
        router.add(method, pattern, Route(handler, cross_origin=True))
    for method, pattern, open_handler in (*OPEN, *(DEV if dev_mode else ())):
        router.add(method, pattern, Route(open_handler=open_handler))
    return router
