"""Codes and refresh tokens (RFC 6749 §4.1, §6): what they are traded for, once or often, and every refusal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jwt
import msgspec
import pytest

from eventmill.store.control import Replace
from eventmill.web.ims.grants import issue
from eventmill.web.tokens import Grant
from tests.http.client import Answer
from tests.http.world import CLIENT, IMS_ORG, OTHER_CLIENT, OTHER_SECRET, SECRET, World, running

pytestmark = pytest.mark.anyio

URLENCODED = {"content-type": "application/x-www-form-urlencoded"}
CONSOLE = "aio-cli-console-auth"


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with running(tmp_path_factory.mktemp("grants")) as each:
        yield each


def handed(world: World, type: Any, **changes: Any) -> str:
    """A code or refresh token of a user of the official CLI, unless changed."""
    grant = Grant(
        client_id=CONSOLE,
        user_id="ann@acme.example",
        ims_org_id=IMS_ORG,
        lifetime_s=300,
        scope="openid,adobeio_api",
        type=type,
    )
    return issue(world.parts, msgspec.structs.replace(grant, **changes))


async def trade(world: World, grant_type: str, token: str, **fields: str) -> Answer:
    field = "code" if grant_type == "authorization_code" else "refresh_token"
    form = {"grant_type": grant_type, field: token, "client_id": CONSOLE, **fields}
    return await world.call("POST", "/ims/token/v1", urlencode(form).encode(), headers=URLENCODED)


def claims(token: str) -> dict[str, Any]:
    read: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return read


@pytest.mark.parametrize("grant_type", ["authorization_code", "refresh_token"])
async def test_tokens_for_a_user(world: World, grant_type: str) -> None:
    """An access and a refresh token of the same user, client and scope; the first opens the API, the second does not.

    The JavaScript client writes `undefined` where its configuration names no scope and no secret."""
    answer = await trade(world, grant_type, handed(world, grant_type), scope="undefined", client_secret="undefined")

    assert (answer.status, answer.header("cache-control")) == (200, "no-store")
    body = answer.json()
    assert list(body) == ["access_token", "token_type", "expires_in", "refresh_token"]
    access, refresh = claims(body["access_token"]), claims(body["refresh_token"])
    for each in (access, refresh):
        assert (each["client_id"], each["user_id"], each["org"]) == (CONSOLE, "ann@acme.example", IMS_ORG)
        assert set(each["scope"].split(",")) == {"openid", "adobeio_api"}
    assert (access["type"], refresh["type"]) == ("access_token", "refresh_token")
    assert (access["expires_in"], refresh["expires_in"]) == ("86399000", "1209600000")
    statuses = []
    for token in (body["access_token"], body["refresh_token"]):
        headers = {"authorization": f"Bearer {token}", "x-api-key": CLIENT}
        statuses.append((await world.call("GET", "/events/1001/providers", headers=headers)).status)
    assert statuses == [200, 401]


async def test_code_is_good_once(world: World) -> None:
    """Of two that use one code at the same time one gets a token, and nobody later."""
    code = handed(world, "authorization_code")

    answers = await asyncio.gather(*(trade(world, "authorization_code", code) for _ in range(3)))
    answers.append(await trade(world, "authorization_code", code))

    assert sorted(answer.status for answer in answers) == [200, 400, 400, 400]
    refused = next(answer.json() for answer in answers if answer.status == 400)
    assert (refused["error"], refused["message"]) == ("invalid_grant", "code: was used already")


async def test_refresh_token_is_good_again_and_again(world: World) -> None:
    """Each use makes distinct tokens, and the new refresh token works too; a narrower scope narrows the access only."""
    first = await trade(world, "refresh_token", handed(world, "refresh_token"), scope="openid")
    second = await trade(world, "refresh_token", first.json()["refresh_token"])

    assert [answer.status for answer in (first, second)] == [200, 200]
    assert claims(first.json()["access_token"])["scope"] == "openid"
    assert set(claims(second.json()["access_token"])["scope"].split(",")) == {"openid", "adobeio_api"}


async def test_credentials_prove_themselves(world: World) -> None:
    """A refresh token of a client with a secret wants that secret, and that client."""
    token = handed(world, "refresh_token", client_id=CLIENT)
    good = await trade(world, "refresh_token", token, client_id=CLIENT, client_secret=SECRET)
    refusals = [
        await trade(world, "refresh_token", token, client_id=CLIENT),
        await trade(world, "refresh_token", token, client_id=CLIENT, client_secret="x"),
        await trade(world, "refresh_token", token, client_id=OTHER_CLIENT, client_secret=OTHER_SECRET),
        await trade(world, "refresh_token", token),
    ]

    assert good.status == 200
    assert [(answer.status, answer.json()["error"]) for answer in refusals] == [
        (400, "invalid_request"),
        (401, "invalid_client"),
        (400, "invalid_grant"),
        (400, "invalid_grant"),
    ]


@pytest.mark.parametrize(
    ("grant_type", "make", "fields", "error"),
    [
        ("refresh_token", lambda w: handed(w, "access_token"), {}, "invalid_grant"),
        ("refresh_token", lambda w: handed(w, "authorization_code"), {}, "invalid_grant"),
        ("authorization_code", lambda w: handed(w, "refresh_token"), {}, "invalid_grant"),
        ("authorization_code", lambda w: handed(w, "authorization_code", lifetime_s=0), {}, "invalid_grant"),
        ("refresh_token", lambda w: handed(w, "refresh_token", lifetime_s=0), {}, "invalid_grant"),
        ("refresh_token", lambda w: handed(w, "refresh_token", ims_org_id="NOBODY@AdobeOrg"), {}, "invalid_grant"),
        ("refresh_token", lambda w: handed(w, "refresh_token", client_id="gone"), {}, "invalid_grant"),
        ("refresh_token", lambda w: "x.y.z", {}, "invalid_grant"),
        ("authorization_code", lambda w: "\u20ac" * 20_000, {}, "too_large"),
        ("refresh_token", lambda w: "", {}, "invalid_request"),
        ("refresh_token", lambda w: handed(w, "refresh_token"), {"scope": "openid,additional"}, "invalid_scope"),
        ("refresh_token", lambda w: handed(w, "refresh_token"), {"scope": "eventmill_admin"}, "invalid_scope"),
    ],
)
async def test_refusals(world: World, grant_type: str, make: Any, fields: dict[str, str], error: str) -> None:
    """What was not handed out for this purpose, or no longer, or to somebody else, is refused in RFC 6749's words."""
    answer = await trade(world, grant_type, make(world), **fields)

    body = answer.json()
    assert (answer.status, body.get("error", body["reason"])) == (413 if error == "too_large" else 400, error)


async def test_nobody_asks_for_the_operators_scope(world: World) -> None:
    """No client gets an admin token, whatever it asks for and however it writes it."""
    for scope in ("eventmill_admin", "openid eventmill_admin", "adobeio_api,eventmill_admin"):
        form = {"client_id": CLIENT, "client_secret": SECRET, "scope": scope, "grant_type": "client_credentials"}
        answer = await world.call("POST", "/ims/token/v3", urlencode(form).encode(), headers=URLENCODED)
        assert (answer.status, answer.json()["error"]) == (400, "invalid_scope")


async def test_earlier_secrets_are_good_for_tokens(tmp_path: Path) -> None:
    """During a rotation both secrets work."""
    async with running(tmp_path) as world:
        known = world.parts.catalogue.credential_by_client(CLIENT)
        assert known is not None
        await replace_credential(
            world,
            sealed_secret=world.parts.sealer.seal(b"newer", f"credential:{known.id}"),
            earlier_secrets=known.sealed_secrets,
        )
        statuses = []
        for secret in ("newer", SECRET, "other"):
            form = {"client_id": CLIENT, "client_secret": secret, "grant_type": "client_credentials"}
            answer = await world.call("POST", "/ims/token/v3", urlencode(form).encode(), headers=URLENCODED)
            statuses.append(answer.status)

        assert statuses == [200, 200, 401]


async def replace_credential(world: World, **changes: Any) -> None:
    known = world.parts.catalogue.credential_by_client(CLIENT)
    assert known is not None
    stored = await world.store.get("credential", known.org, known.id)
    assert stored is not None
    doc = msgspec.json.encode(msgspec.structs.replace(known, **changes))
    await world.store.write([Replace("credential", known.org, known.id, doc, stored.version)])
    await world.parts.catalogue.refresh()
