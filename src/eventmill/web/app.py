"""The ASGI application: publishing goes straight through, everything else to the route of its path.

Turns refusals into JSON, gives every reply its `x-request-id`, and is the last to see an exception.
"""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from eventmill import telemetry
from eventmill.errors import GatewayError, Reason
from eventmill.flow.answers import error_answer
from eventmill.web.checks import show
from eventmill.web.http import (
    ASGIApp,
    ClientGoneError,
    Receive,
    Reply,
    Request,
    Scope,
    Send,
    path_segments,
    send_reply,
)
from eventmill.web.invoking import invoke
from eventmill.web.journal import CORS_HEADERS
from eventmill.web.parts import Parts
from eventmill.web.routes import Route, build_router
from eventmill.web.routing import Router
from eventmill.web.streaming import send_stream

__all__ = ["Parts", "build_app"]

INGRESS_PATHS = frozenset({"/", "/ingress", "/ingress/"})

_ADDED_WHEN_SENT = frozenset({b"content-length", b"x-request-id"})

log = structlog.get_logger()


def build_app(parts: Parts) -> ASGIApp:
    """Serves HTTP only; the server is to be run without lifespan events."""
    ingest = parts.ingest
    authenticator = parts.authenticator
    waits = authenticator.waits_for_issuer
    router = build_router(dev_mode=parts.dev is not None)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})
        elif scope["method"] == "POST" and scope["path"] in INGRESS_PATHS:
            try:
                if waits:
                    await authenticator.prepare(scope["headers"])
                await ingest(scope, receive, send)
            except Exception:
                request_id = parts.ids.request_id()
                log.exception(telemetry.REQUEST_FAILED, request_id=request_id, **_told(scope))
                await send_reply(scope, send, failure_reply(request_id), [id_header(request_id)])
        else:
            await _serve(parts, router, (scope, receive, send))

    return app


async def _serve(parts: Parts, router: Router[Route], asgi: tuple[Scope, Receive, Send]) -> None:
    scope, receive, send = asgi
    request_id = parts.ids.request_id()
    methods, params = router.find(path_segments(scope)) or ({}, {})
    try:
        reply = await _dispatch(parts, methods, scope, Request(scope, receive, params))
    except ClientGoneError:
        return
    except GatewayError as error:
        reply = refusal_reply(error)
    except Exception:
        log.exception(telemetry.REQUEST_FAILED, request_id=request_id, **_told(scope))
        reply = failure_reply(request_id)
    extra = [id_header(request_id)]
    if _is_cross_origin(methods):
        extra += CORS_HEADERS
    if reply.stream is not None:
        await send_stream(asgi, reply, extra)
    else:
        await send_reply(scope, send, reply, extra)


async def _dispatch(parts: Parts, methods: Mapping[str, Route], scope: Scope, request: Request) -> Reply:
    method = scope["method"]
    route = methods.get("GET" if method == "HEAD" else method)
    if route is None:
        return _other_method(methods, scope)
    if route.handler is not None:
        await parts.authenticator.prepare(request.headers)
        caller = await parts.authenticator.authenticate_newest(request.headers, console=route.console)
        return await invoke(parts, route.handler, request, caller)
    assert route.open_handler is not None, "a route has one of the two handlers"
    return await route.open_handler(parts, request)


def _is_cross_origin(methods: Mapping[str, Route]) -> bool:
    return any(route.cross_origin for route in methods.values())


def _other_method(methods: Mapping[str, Route], scope: Scope) -> Reply:
    """404, 405 with the methods there are, or those alone when OPTIONS asks for them, as a browser's preflight does."""
    method, path = scope["method"], scope["path"]
    allowed = set(methods)
    if path in INGRESS_PATHS:
        allowed.add("POST")
    if "GET" in allowed:
        allowed.add("HEAD")
    if not allowed:
        raise GatewayError(Reason.NOT_FOUND, f"there is nothing at {show(path)}")
    allow = (b"allow", ", ".join(sorted(allowed | {"OPTIONS"})).encode())
    if method == "OPTIONS":
        return Reply(204, headers=(allow,))
    message = f"{show(method)} is not allowed here; allowed: {allow[1].decode()}"
    refusal = refusal_reply(GatewayError(Reason.METHOD_NOT_ALLOWED, message))
    return Reply(refusal.status, refusal.body, headers=(*refusal.headers, allow))


def refusal_reply(error: GatewayError) -> Reply:
    status, headers, body = error_answer(error, "")
    return Reply(status, body, headers=tuple(header for header in headers if header[0] not in _ADDED_WHEN_SENT))


def failure_reply(request_id: str) -> Reply:
    return refusal_reply(GatewayError(Reason.INTERNAL, f"the gateway failed; its log tells more under {request_id}"))


def _told(scope: Scope) -> dict[str, str]:
    return {"method": scope["method"], "path": show(scope["path"])}


def id_header(request_id: str) -> tuple[bytes, bytes]:
    return b"x-request-id", request_id.encode()
