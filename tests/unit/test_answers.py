"""`eventmill.flow.answers`: one form for all refusals, and headers that clients obey only where they should."""

from __future__ import annotations

import json

import pytest

from eventmill.errors import Conflict, GatewayError, Reason, StoreUnavailable
from eventmill.flow.answers import ERROR_CODES, error_answer

REQUEST_ID = "0123456789abcdef0123456789abcdef"


def answer(error: GatewayError) -> tuple[int, dict[str, str], dict[str, str]]:
    """Status, headers and members of the body."""
    status, headers, body = error_answer(error, REQUEST_ID)
    found = {name.decode(): value.decode() for name, value in headers}
    assert len(found) == len(headers)
    assert found["content-length"] == str(len(body))
    return status, found, json.loads(body)


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_its_answer(reason: Reason) -> None:
    """Status, reason code, message; `error_code` on 401 and 403 and nowhere else; no Retry-After by default."""
    status, headers, members = answer(GatewayError(reason, 'it was "wrong"'))

    assert (status, members["reason"], members["message"]) == (reason.status, reason.code, 'it was "wrong"')
    assert ("error_code" in members) == (status in {401, 403})
    assert headers["content-type"] == "application/json"
    assert headers["x-request-id"] == REQUEST_ID
    assert "retry-after" not in headers
    assert ("www-authenticate" in headers) == (status == 401)
    assert ("connection" in headers) == (reason is Reason.SHUTTING_DOWN)


def test_error_codes_are_distinct() -> None:
    """Six digits that begin with the status."""
    assert len(set(ERROR_CODES.values())) == len(ERROR_CODES)
    for reason, code in ERROR_CODES.items():
        assert code.startswith(str(reason.status)) and len(code) == 6


def test_retry_after_is_at_least_a_second() -> None:
    """Whole seconds; zero would invite a storm."""
    assert answer(StoreUnavailable("no"))[1]["retry-after"] == "5"
    assert answer(GatewayError(Reason.THROTTLED, "no", retry_after_s=0))[1]["retry-after"] == "1"


def test_conflicting_id() -> None:
    """Named in a header, as the Events API reference has it."""
    status, headers, _ = answer(Conflict("taken", "the-other"))

    assert (status, headers["x-conflicting-id"]) == (409, "the-other")
