"""Token keys: published, replaced without a restart, kept as long as their tokens live, withdrawn when asked to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from structlog.testing import capture_logs

from eventmill import telemetry
from eventmill.flow.keyring import retired_token_keys, rotate_token_key
from eventmill.flow.token_upkeep import TokenUpkeep
from eventmill.model import SigningKey
from eventmill.web.ims.grants import issue
from eventmill.web.tokens import Grant
from tests.http.client import Answer
from tests.http.world import CLIENT, DELIVERY_KEY, IMS_ORG, TOKEN_KEY, World, running

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path) as each:
        yield each


def operator(world: World, **changes: Any) -> dict[str, str]:
    token = issue(world.parts, Grant.for_operator(3600))
    return {"authorization": f"Bearer {token}", **changes}


async def key_set(world: World) -> dict[str, Any]:
    """By key id."""
    answer = await world.call("GET", "/ims/keys", headers={})
    assert answer.status == 200
    return {key["kid"]: key for key in answer.json()["keys"]}


async def rotate(world: World, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
    return await world.call("POST", "/ims/keys", body, headers=operator(world) if headers is None else headers)


async def status(world: World, token: str) -> int:
    headers = {"authorization": f"Bearer {token}", "x-api-key": CLIENT}
    return (await world.call("GET", "/events/1001/providers", headers=headers)).status


def upkeep(world: World) -> TokenUpkeep:
    parts = world.parts
    return TokenUpkeep(world.store, parts.catalogue, parts.sealer, parts.clock, parts.ids, parts.config)


async def test_published_keys(world: World) -> None:
    """RFC 7517, at two addresses, cacheable, open to pages of any origin; only public halves, only of token keys."""
    answer = await world.call("GET", "/ims/keys", headers={})
    twin = await world.call("GET", "/.well-known/jwks.json", headers={})

    assert answer.body == twin.body
    assert (answer.header("content-type"), answer.header("cache-control")) == (
        "application/json",
        "public, max-age=300",
    )
    assert answer.header("access-control-allow-origin") == "*"
    (key,) = answer.json()["keys"]
    assert list(key) == ["kty", "kid", "use", "alg", "n", "e"]
    assert (key["kty"], key["kid"], key["use"], key["alg"], key["e"]) == ("RSA", TOKEN_KEY, "sig", "RS256", "AQAB")
    assert DELIVERY_KEY not in answer.body.decode()
    claims = jwt.decode(world.token(), jwt.PyJWK(key).key, algorithms=["RS256"])
    assert claims["org"] == IMS_ORG


async def test_rotation_takes_effect_at_once(world: World) -> None:
    """New tokens carry the new key, old ones are good as before, both keys are published: no restart."""
    before = world.token()
    answer = await rotate(world)

    assert answer.status == 201
    body = answer.json()
    assert body["kids"] == [TOKEN_KEY, body["kid"]] and list(await key_set(world)) == body["kids"]
    after = world.token()
    kids = [jwt.get_unverified_header(token)["kid"] for token in (before, after)]
    assert kids == [TOKEN_KEY, body["kid"]]
    assert [await status(world, token) for token in (before, after)] == [200, 200]


async def test_rotation_is_logged(world: World) -> None:
    """Which key, whose doing, and whether every token ended with it."""
    with capture_logs() as lines:
        kid = (await rotate(world, {"revoke_earlier": True})).json()["kid"]

    (line,) = [line for line in lines if line["event"] == telemetry.TOKEN_KEY_ROTATED]
    assert (line["kid"], line["revoke_earlier"], line["by"]) == (kid, True, "eventmill-admin")


async def test_rotation_survives_a_restart(tmp_path: Path) -> None:
    """The newest key signs after it, too."""
    async with running(tmp_path) as world:
        kid = (await rotate(world)).json()["kid"]
    async with running(tmp_path) as world:
        assert jwt.get_unverified_header(world.token())["kid"] == kid
        assert world.parts.token_key().id == kid


async def test_withdrawing_all_earlier_keys(world: World) -> None:
    """After a leak: every token there is stops working at once, also the operator's own; new ones are good."""
    headers, token = operator(world), world.token()
    before = await status(world, token)
    answer = await rotate(world, {"revoke_earlier": True}, headers)

    assert (before, answer.status) == (200, 201)
    assert list(await key_set(world)) == [answer.json()["kid"]]
    assert [await status(world, each) for each in (token, world.token())] == [401, 200]
    assert (await rotate(world, None, headers)).status == 401


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "invalid_json"),
        ([], "invalid_body"),
        ({"revoke_earlier": "yes"}, "invalid_body"),
        ({"x": 1}, "invalid_body"),
    ],
)
async def test_unsound_rotation(world: World, body: Any, reason: str) -> None:
    """400, and no key is made."""
    answer = await rotate(world, body)

    assert (answer.status, answer.json()["reason"]) == (400, reason)
    assert list(await key_set(world)) == [TOKEN_KEY]


async def test_only_the_operator_rotates(world: World, tmp_path: Path) -> None:
    """No organisation does, nor an operator that acts for one, nor anybody in lenient mode."""
    for headers in (world.auth(), operator(world, **{"x-ims-org-id": IMS_ORG})):
        answer = await rotate(world, None, headers)
        assert (answer.status, answer.json()["reason"]) == (403, "not_permitted")
    (tmp_path / "lenient").mkdir()
    async with running(tmp_path / "lenient", auth="lenient") as lenient:
        answer = await rotate(lenient, None, {"authorization": "Bearer any", "x-api-key": CLIENT})
        assert (answer.status, answer.json()["reason"]) == (403, "not_permitted")
        assert (await rotate(lenient)).status == 201


# --- By themselves ---


async def test_keys_change_by_themselves(tmp_path: Path) -> None:
    """After the configured days and not before; a key goes once its last token has expired, the newest never."""
    async with running(tmp_path, token_key_rotation_days=90) as world:
        clock, day_ms = world.parts.clock, 86_400_000
        start_ms = world.parts.clock.machine_ms()
        await rotate_token_key(world.store, world.parts.sealer, clock, world.parts.ids)
        counts = []
        for days in (0, 15, 91, 92, 106):
            clock.machine_ms = lambda: start_ms + days * day_ms  # type: ignore[method-assign]  # noqa: B023
            await world.parts.catalogue.refresh()
            await upkeep(world).step()
            counts.append(len(await key_set(world)))

        assert counts == [2, 1, 2, 2, 1]


async def test_keys_change_only_when_asked_to(tmp_path: Path) -> None:
    """Days of 0: never by themselves, however old they are."""
    async with running(tmp_path, token_key_rotation_days=0) as world:
        await upkeep(world).step()

        assert list(await key_set(world)) == [TOKEN_KEY]


async def test_newest_key_is_newest_whatever_the_clock_says(world: World) -> None:
    """A machine clock that was set back does not let an older key sign on."""
    world.parts.clock.machine_ms = lambda: 0  # type: ignore[method-assign]
    kid = (await rotate(world)).json()["kid"]

    assert world.parts.token_key().id == kid


def held_key(id: str, created_ms: int, purpose: Any = "token") -> SigningKey:
    return SigningKey(id=id, public_pem="", sealed_private_pem="", created_ms=created_ms, purpose=purpose)


def test_which_keys_are_retired() -> None:
    """Those whose successor is older than a token gets; never the newest, never a delivery key."""
    keys = [held_key("c", 3000), held_key("a", 1000), held_key("d", 1, "delivery"), held_key("b", 2000)]
    retired = [
        [key.id for key in retired_token_keys(keys, now_ms=now, lifetime_s=1)] for now in (2999, 3001, 4001, 10**9)
    ]

    assert retired == [[], ["a"], ["a", "b"], ["a", "b"]]
