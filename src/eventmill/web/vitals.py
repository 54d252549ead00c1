"""What a node answers that only delivers: /healthz, /readyz and /metrics, as every other node does."""

from __future__ import annotations

import structlog

from eventmill import telemetry
from eventmill.errors import GatewayError, Reason
from eventmill.ids import IdSource
from eventmill.web.app import failure_reply, id_header, refusal_reply
from eventmill.web.checks import show
from eventmill.web.health import get_health, get_readiness
from eventmill.web.http import ASGIApp, ClientGoneError, Receive, Reply, Request, Scope, Send, send_reply
from eventmill.web.metrics import get_metrics
from eventmill.web.parts import Vitals

_HANDLERS = {"/healthz": get_health, "/readyz": get_readiness, "/metrics": get_metrics}

log = structlog.get_logger()


def build_vitals_app(vitals: Vitals) -> ASGIApp:
    """Serves HTTP only; the server is to be run without lifespan events."""
    ids = IdSource()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})
            return
        request_id = ids.request_id()
        try:
            reply = await _answer(vitals, scope, receive)
        except ClientGoneError:
            return
        except GatewayError as error:
            reply = refusal_reply(error)
        except Exception:
            log.exception(telemetry.REQUEST_FAILED, request_id=request_id, path=show(scope["path"]))
            reply = failure_reply(request_id)
        await send_reply(scope, send, reply, [id_header(request_id)])

    return app


async def _answer(vitals: Vitals, scope: Scope, receive: Receive) -> Reply:
    handler = _HANDLERS.get(scope["path"])
    if handler is None:
        where = "this node only delivers; ask one with the role front"
        raise GatewayError(Reason.NOT_FOUND, f"there is nothing at {show(scope['path'])}: {where}")
    if scope["method"] not in ("GET", "HEAD"):
        raise GatewayError(
            Reason.METHOD_NOT_ALLOWED, f"{show(scope['method'])} is not allowed here; allowed: GET, HEAD"
        )
    return await handler(vitals, Request(scope, receive, {}))
