"""Says why an attempt had no HTTP response: in the body of its trace and, under the same UUID, in the log."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from eventmill import telemetry
from eventmill.errors import TraceCode
from eventmill.ids import IdSource
from eventmill.send.no_answer import body_text

log = structlog.get_logger()


def explain_failure(
    code: TraceCode, causes: Sequence[str], ids: IdSource, *, registration_id: str, host: str = ""
) -> bytes:
    """The response body of the trace. `causes` go to the registration's owner and into the log: they hold no secret."""
    error_id = ids.uuid()
    log.info(
        telemetry.ATTEMPT_FAILED,
        code=int(code),
        error_id=error_id,
        registration_id=registration_id,
        host=host,
        causes=list(causes),
    )
    return body_text(code, error_id, causes).encode()
