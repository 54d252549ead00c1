"""The routes: the tables of everything that is served, the router made of them, and their description."""

from __future__ import annotations

from typing import Any

import msgspec

from eventmill.web.documents import document_reply
from eventmill.web.endpoint import Endpoint, Group, Handler, OpenHandler, Operation, json_answer
from eventmill.web.endpoints import (
    asyncapi,
    audit,
    console,
    console_credentials,
    console_projects,
    cursors,
    events,
    explaining,
    filters,
    gateway,
    ims,
    providers,
    recovery,
    registrations,
    users,
)
from eventmill.web.endpoints.parameters import KNOWN_TAG, NOT_MODIFIED
from eventmill.web.http import JSON_TYPE, Reply, Request
from eventmill.web.openapi import build_document
from eventmill.web.parts import Parts
from eventmill.web.routing import Router


async def get_openapi(parts: Parts, request: Request) -> Reply:
    """GET /openapi.json: the description of all that this gateway serves."""

    def make() -> bytes:
        return msgspec.json.encode(build_document(served_groups(dev_mode=parts.dev is not None), parts.config.url))

    return document_reply(parts, request, "openapi", JSON_TYPE, make)


OPENAPI = Group(
    tag="Description",
    about="This document.",
    for_anyone=(
        Endpoint(
            "GET",
            "/openapi.json",
            get_openapi,
            Operation(
                "getOpenApi",
                "Read this document",
                (json_answer(dict[str, Any], 200, "ETag"), NOT_MODIFIED),
                (KNOWN_TAG,),
            ),
        ),
    ),
)

GROUPS = (
    events.PUBLISHING,
    providers.PROVIDERS,
    providers.EVENT_METADATA,
    providers.SAMPLE_EVENTS,
    asyncapi.ASYNCAPI,
    registrations.REGISTRATIONS,
    filters.FILTERS,
    registrations.VALIDATION,
    recovery.RECOVERY,
    events.JOURNALS,
    cursors.CURSORS,
    registrations.TRACING,
    audit.AUDIT,
    explaining.EXPLAINING,
    console.ORGANIZATIONS,
    console_projects.PROJECTS,
    console_credentials.CREDENTIALS,
    users.USERS,
    ims.IMS,
    gateway.GATEWAY,
    OPENAPI,
    gateway.DEV,
)
"""In the order of the description."""


class Route(msgspec.Struct, frozen=True):
    handler: Handler | None = None
    open_handler: OpenHandler | None = None
    cross_origin: bool = False
    console: bool = False
    """Of the Console API: the official command line's own api key will do."""


def served_groups(*, dev_mode: bool) -> list[Group]:
    return [group for group in GROUPS if dev_mode or not group.is_dev_only]


def build_router(*, dev_mode: bool) -> Router[Route]:
    router: Router[Route] = Router()
    for group in served_groups(dev_mode=dev_mode):
        for guarded in group.for_callers:
            route = Route(guarded.handler, cross_origin=group.is_cross_origin, console=group.is_console)
            router.add(guarded.method, guarded.pattern, route)
        for free in group.for_anyone:
            router.add(free.method, free.pattern, Route(open_handler=free.handler))
    return router
