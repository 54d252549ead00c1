"""The outcome of an attempt that could not be made as it should have been: code 601, with the cause in its body."""

from __future__ import annotations

import structlog

from eventmill import telemetry
from eventmill.errors import TraceCode
from eventmill.ids import IdSource
from eventmill.send.no_answer import body_text
from eventmill.send.webhook import Response

log = structlog.get_logger()


def client_error(cause: str, ids: IdSource, *, duration_ms: int = 0, blames_endpoint: bool = False) -> Response:
    """`cause` goes to the registration's owner and into the log: it names what to set right, and no secret.

    The endpoint is to blame only for what its owner can set right."""
    error_id = ids.uuid()
    code = TraceCode.CLIENT_ERROR
    log.info(telemetry.ATTEMPT_FAILED, code=int(code), error_id=error_id, host="", causes=[cause])
    body = body_text(code, error_id, [cause]).encode()
    return Response(int(code), (), body, duration_ms=duration_ms, blames_endpoint=blames_endpoint)
