"""The outcome of an attempt that could not be made as it should have been: code 601, with the cause in its body."""

from __future__ import annotations

from eventmill.errors import TraceCode
from eventmill.ids import IdSource
from eventmill.send.failures import explain_failure
from eventmill.send.webhook import Response


def client_error(
    cause: str,
    ids: IdSource,
    registration_id: str,
    *,
    after: Response | None = None,
    blames_endpoint: bool = False,
) -> Response:
    """`cause` names what to set right, and no secret. `after`: the answer, if any, that is no answer of the endpoint's.

    The endpoint is to blame only for what its owner can set right."""
    code = TraceCode.CLIENT_ERROR
    body = explain_failure(code, [cause], ids, registration_id=registration_id)
    duration_ms, timings = (0, None) if after is None else (after.duration_ms, after.timings)
    return Response(int(code), (), body, duration_ms, blames_endpoint, timings)
