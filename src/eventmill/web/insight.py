"""Debug traces of a registration, at both addresses that the API gives them ("Debug Tracing")."""

from __future__ import annotations

from eventmill.flow.traces import render_traces
from eventmill.model import Caller, Registration
from eventmill.web.http import JSON_TYPE, Reply, Request
from eventmill.web.parts import Parts
from eventmill.web.paths import path_registration
from eventmill.web.registration_reads import workspace_registration


async def get_traces(parts: Parts, request: Request, caller: Caller) -> Reply:
    """GET /events/organizations/{org}/integrations/{credential}/tracing/{registration}"""
    return await _traces(parts, path_registration(parts, request, caller))


async def get_workspace_traces(parts: Parts, request: Request, caller: Caller) -> Reply:
    """GET /traces/{org}/{project}/{workspace}/registration/{registration}, where `rel:trace` leads."""
    return await _traces(parts, await workspace_registration(parts, request, caller))


async def _traces(parts: Parts, registration: Registration) -> Reply:
    body = await render_traces(parts.store, registration, parts.clock.now_ms(), parts.config)
    return Reply(200, body, JSON_TYPE)
