"""How a refusal looks on the wire: status, headers and the body `{"reason", "message"}`.

The one place that turns a `GatewayError` into an HTTP answer, shared by publishing and the management API. On 401 and
403 the body also has `error_code`, as API gateways in front of Adobe I/O give it.
"""

from __future__ import annotations

from types import MappingProxyType

import msgspec

from eventmill.errors import BatchRefused, GatewayError, Reason

ERROR_CODES = MappingProxyType(
    {
        Reason.MISSING_TOKEN: "401010",
        Reason.INVALID_TOKEN: "401013",
        Reason.EXPIRED_TOKEN: "401014",
        Reason.REVOKED_TOKEN: "401015",
        Reason.INVALID_CLIENT: "401020",
        Reason.MISSING_API_KEY: "403000",
        Reason.UNKNOWN_API_KEY: "403003",
        Reason.WRONG_ORGANIZATION: "403004",
        Reason.WRONG_API_KEY: "403005",
        Reason.MISSING_SCOPE: "403010",
        Reason.NOT_PERMITTED: "403020",
        Reason.LOOPBACK_ONLY: "403021",
    }
)
"""`error_code` of each 401 and 403: the status and a number within it. Never changed once released."""

WHOLE_ANSWER = "eventmill.whole_answer"
"""Key of an ASGI scope whose server writes a 200 in one piece: a call with the rest of its head, and its body."""

_JSON = (b"content-type", b"application/json")


def error_answer(error: GatewayError, request_id: str) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Status, headers and body of a refusal. `retry-after` stands only on what may be retried: clients obey it."""
    reason = error.reason
    members: dict[str, object] = {"reason": reason.code, "message": error.message}
    if reason in ERROR_CODES:
        members["error_code"] = ERROR_CODES[reason]
    if isinstance(error, BatchRefused):
        members["errors"] = [
            {"index": at, "reason": why.code, "message": message} for at, why, message in error.refusals
        ]
    body = msgspec.json.encode(members)
    headers = [_JSON, (b"content-length", b"%d" % len(body)), (b"x-request-id", request_id.encode())]
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % max(1, error.retry_after_s)))
    if error.conflicting_id is not None:
        headers.append((b"x-conflicting-id", error.conflicting_id.encode()))
    if reason.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if reason is Reason.SHUTTING_DOWN:
        headers.append((b"connection", b"close"))
    return reason.status, headers, body
