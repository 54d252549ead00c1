"""`core.openwhisk`: what an action is given, and what its activation comes to."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventmill.core.openwhisk import (
    Kind,
    action_form,
    activation_id_in,
    judge_activation,
    judge_invocation,
    status_code,
)

HEADERS = [
    ("content-type", "application/json"),
    ("user-agent", "Adobe/1.0"),
    ("x-adobe-event-id", "e-1"),
    ("x-adobe-retry-count", "2"),
    ("x-adobe-signature", "aG1hYw=="),
    ("x-adobe-digital-signature-1", "one"),
    ("x-adobe-digital-signature-2", "two"),
    ("x-adobe-public-key1-path", "/prod/keys/1"),
    ("x-adobe-public-key2-path", "/prod/keys/2"),
    ("x-request-id", "r-1"),
]
GIVEN = {
    "x-adobe-event-id": "e-1",
    "x-adobe-retry-count": "2",
    "x-adobe-signature": "aG1hYw==",
    "x-request-id": "r-1",
}
JSON_OBJECTS = st.dictionaries(st.text(), st.one_of(st.none(), st.integers(), st.text()), min_size=1)


@given(JSON_OBJECTS)
def test_members_of_the_event_are_parameters(event: dict[str, Any]) -> None:
    """All of them, beside our headers; an event cannot bring headers of its own."""
    params = json.loads(action_form(HEADERS).params(json.dumps(event).encode(), batch=False))

    assert params == {**event, "__adobe_headers": GIVEN}


def test_a_batch_is_one_parameter() -> None:
    """OpenWhisk's parameters are an object, so the array goes inside one; its bytes are left alone."""
    params = action_form(HEADERS).params(b'[{"n":1.00},{"n":2}]', batch=True)

    assert params.startswith(b'{"events":[{"n":1.00},{"n":2}],"__adobe_headers":{')
    assert json.loads(params)["__adobe_headers"] == GIVEN


def test_an_event_with_headers_of_its_own_is_overruled() -> None:
    """Of two members of one name the last one counts, for JavaScript, Python and Scala alike: ours."""
    params = action_form(HEADERS).params(b'{"__adobe_headers":{"x-adobe-event-id":"forged"}}', batch=False)

    assert json.loads(params)["__adobe_headers"] == GIVEN


@pytest.mark.parametrize(
    ("kind", "result", "status"),
    [
        ("success", {}, 200),
        ("success", {"statusCode": 202}, 202),
        ("success", {"statusCode": "400", "body": "no"}, 400),
        ("success", {"statusCode": 42}, 200),
        ("success", {"statusCode": 604}, 200),
        ("success", {"statusCode": True}, 200),
        ("success", [{"statusCode": 400}], 200),
        ("application error", {"error": "An error has occurred: no"}, 500),
        ("application error", {"error": {"statusCode": 400, "body": {"error": "bad"}}}, 400),
        ("application error", {"statusCode": 429, "error": "busy"}, 429),
        ("action developer error", {"error": "crashed"}, 500),
        ("whisk internal error", None, 500),
    ],
)
def test_status_of_an_activation(kind: Kind, result: Any, status: int) -> None:
    """The action's own status, wherever it said it; else 200 or 500."""
    assert judge_activation(kind, result, "a-1").status == status


def test_body_of_an_activation() -> None:
    """The trace shows the activation id with the result or the error, and logs where there are some."""
    success = judge_activation("success", {"ok": 1}, "a-1")
    failure = judge_activation("application error", {"error": "An error has occurred: no"}, "a-2", ["stderr: no"])

    assert json.loads(success.body) == {"activation_id": "a-1", "result": {"ok": 1}}
    assert json.loads(failure.body) == {
        "activation_id": "a-2",
        "error": "An error has occurred: no",
        "logs": ["stderr: no"],
    }


def record(status: str, success: bool, result: Any) -> bytes:
    response = {"status": status, "success": success, "result": result}
    return json.dumps({"activationId": "a-1", "duration": 7, "response": response, "logs": []}).encode()


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, record("success", True, {"statusCode": 201}), 201),
        (502, record("application error", False, {"error": {"statusCode": 401}}), 401),
        (502, record("action developer error", False, {"error": "crashed"}), 500),
        (500, record("whisk internal error", False, {"error": "broken"}), 500),
        (200, b"cut off{", 200),
        (502, b"<html>bad gateway</html>", None),
        (500, b'{"error":"There was an internal server error."}', None),
        (404, b'{"error":"The requested resource does not exist."}', None),
        (429, b'{"error":"Too many requests"}', None),
        (604, b"604 : Timeout ERROR", None),
    ],
)
def test_answers_of_openwhisk(status: int, body: bytes, expected: int | None) -> None:
    """An activation counts by its outcome; any other answer by its own status."""
    verdict = judge_invocation(status, body)

    assert (verdict and verdict.status) == expected


def test_activation_that_goes_on() -> None:
    """The answer to an invocation that is not over yet names it; another answer does not."""
    assert activation_id_in(b'{"activationId":"a-9"}') == "a-9"
    assert activation_id_in(b"<html>") == activation_id_in(b"[]") == ""


@given(st.one_of(st.none(), st.integers(), st.text(), st.booleans(), st.floats()))
def test_a_status_code_is_one_of_http_or_nothing(value: Any) -> None:
    """Whatever an action puts there."""
    found = status_code({"statusCode": value})

    assert found is None or 100 <= found <= 599
