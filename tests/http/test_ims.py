"""Tokens for client credentials: the forms that clients send, what the token holds, and every refusal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import jwt
import pytest

from tests.http.client import Answer
from tests.http.world import CLIENT, IMS_ORG, SECRET, World, running

pytestmark = pytest.mark.anyio

FORM = {"client_id": CLIENT, "client_secret": SECRET, "grant_type": "client_credentials"}
URLENCODED = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with running(tmp_path_factory.mktemp("ims"), token_lifetime_s=86399) as each:
        yield each


async def post(world: World, form: dict[str, str], target: str = "/ims/token/v3") -> Answer:
    return await world.call("POST", target, urlencode(form).encode(), headers=URLENCODED)


def claims(answer: Answer) -> dict[str, Any]:
    read: dict[str, Any] = jwt.decode(answer.json()["access_token"], options={"verify_signature": False})
    return read


async def test_token_answer_and_claims(world: World) -> None:
    """Exactly three members, seconds in the answer, milliseconds as text in the token, and it opens the API."""
    before_ms = world.parts.clock.machine_ms()
    answer = await post(world, {**FORM, "scope": "openid, AdobeID,adobeio_api"})

    assert (answer.status, answer.header("content-type")) == (200, "application/json")
    assert answer.header("cache-control") == "no-store"
    body = answer.json()
    assert list(body) == ["access_token", "token_type", "expires_in"]
    assert (body["token_type"], body["expires_in"]) == ("bearer", 86399)
    read = claims(answer)
    assert read.pop("id")
    assert before_ms <= int(read.pop("created_at")) <= world.parts.clock.machine_ms()
    assert read == {
        "type": "access_token",
        "client_id": CLIENT,
        "user_id": "4001@techacct.adobe.com",
        "as": "ims-na1",
        "org": IMS_ORG,
        "scope": "openid,AdobeID,adobeio_api",
        "expires_in": "86399000",
    }
    headers = {"authorization": f"Bearer {body['access_token']}", "x-api-key": CLIENT}
    assert (await world.call("GET", "/events/1001/providers", headers=headers)).status == 200


async def test_default_scope_opens_the_api(world: World) -> None:
    """Without a scope the token has the default ones, `adobeio_api` among them."""
    assert "adobeio_api" in claims(await post(world, FORM))["scope"].split(",")


@pytest.mark.parametrize("path", ["/ims/token/v2", "/ims/token/v3"])
async def test_fields_may_come_in_query_or_form(world: World, path: str) -> None:
    """The client id in the query, everything in the query, everything in the form; the form wins."""
    secret_only = {"client_secret": SECRET, "grant_type": "client_credentials"}
    answers = [
        await post(world, secret_only, f"{path}?client_id={CLIENT}"),
        await world.call("POST", f"{path}?{urlencode(FORM)}", headers={}),
        await post(world, FORM, path),
        await post(world, FORM, f"{path}?client_id=other"),
        await post(world, {"client_id": CLIENT, "client_secret": SECRET}, path),
    ]

    assert [claims(answer)["client_id"] for answer in answers] == [CLIENT] * 5


def multipart(fields: dict[str, str], boundary: str = "----form") -> tuple[dict[str, str], bytes]:
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    body = "".join(parts) + f"--{boundary}--\r\n"
    return {"content-type": f"multipart/form-data; boundary={boundary}"}, body.encode()


async def test_multipart_form(world: World) -> None:
    """The JavaScript client's way of asking."""
    headers, body = multipart({**FORM, "org_id": IMS_ORG, "scope": "openid,adobeio_api"})

    answer = await world.call("POST", "/ims/token/v2", body, headers=headers)

    assert (answer.status, claims(answer)["scope"]) == (200, "openid,adobeio_api")


@pytest.mark.parametrize(
    ("change", "status", "error", "message"),
    [
        ({"client_id": ""}, 400, "invalid_request", "client_id: required, but missing"),
        ({"client_secret": ""}, 400, "invalid_request", "client_secret: required, but missing"),
        ({"client_secret": SECRET + "x"}, 401, "invalid_client", "client_id or client_secret is wrong"),
        ({"client_secret": "p\u00e9"}, 401, "invalid_client", "client_id or client_secret is wrong"),
        ({"client_id": "unknown"}, 401, "invalid_client", "client_id or client_secret is wrong"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type", "grant_type 'password' is not supported"),
        ({"scope": "a b\u0000"}, 400, "invalid_scope", "scope: 'a,b\\x00' is not a list of scopes"),
    ],
)
async def test_refusals(world: World, change: dict[str, str], status: int, error: str, message: str) -> None:
    """OAuth's error names beside the API's own, the same words for an unknown client and a wrong secret."""
    answer = await post(world, {**FORM, **change})

    reason = "invalid_client" if status == 401 else "invalid_parameter"
    expected = {"reason": reason, "message": message, "error": error, "error_description": message}
    body = answer.json()
    assert body.pop("error_code", None) == ("401020" if status == 401 else None)
    assert (answer.status, body) == (status, expected)
    assert answer.header("cache-control") == "no-store"
    assert SECRET not in answer.body.decode()


@pytest.mark.parametrize(
    ("headers", "body", "message"),
    [
        (URLENCODED, b"a=%ff", "the form holds percent-encoded bytes that are no UTF-8"),
        (URLENCODED, b"a=1&" * 101, "the form has more than 100 parameters"),
        ({"content-type": "multipart/form-data"}, b"x", "the multipart form cannot be read"),
        (*multipart({f"f{n}": "x" for n in range(101)}), "the multipart form cannot be read"),
        (
            {"content-type": "multipart/form-data; boundary=b"},
            b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--\r\n",
            "a part of the multipart form has no name or no value",
        ),
        (
            {"content-type": "multipart/form-data; boundary=b"},
            b'--b\r\nContent-Disposition: form-data; name="client_id"\r\n\r\n\xff\r\n--b--\r\n',
            "'client_id': is not UTF-8",
        ),
    ],
)
async def test_unreadable_forms(world: World, headers: dict[str, str], body: bytes, message: str) -> None:
    """400 with the reason, never 500."""
    answer = await world.call("POST", "/ims/token/v2", body, headers=headers)

    assert (answer.status, answer.json()) == (400, {"reason": "invalid_parameter", "message": message})


async def test_too_large_form(world: World) -> None:
    """More than a form can need is 413."""
    answer = await world.call("POST", "/ims/token/v3", b"a=" + b"x" * 70_000, headers=URLENCODED)

    assert (answer.status, answer.json()["reason"]) == (413, "too_large")
