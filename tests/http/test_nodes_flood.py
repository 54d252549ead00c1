"""Made-up tokens on one of two nodes: they cost the database nothing, and what another node has just made is good."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import jwt
import pytest

from eventmill.flow.keyring import rotate_token_key
from tests.http.test_nodes_tokens import invalidate, make_credential, validate
from tests.http.world import CLIENT, IMS_ORG, SEALER, TOKEN_KEY, World, key_pair, nodes

pytestmark = pytest.mark.anyio

PATH = "/events/1001/providers"


class Looks:
    """How often a node asked the database how new its catalogue is."""

    def __init__(self) -> None:
        self.count = 0


@contextmanager
def looks_of(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Looks]:
    looks, refresh = Looks(), world.parts.catalogue.refresh

    async def counted() -> None:
        looks.count += 1
        await refresh()

    with monkeypatch.context() as patched:
        patched.setattr(world.parts.catalogue, "refresh", counted)
        yield looks


def auth(token: str, api_key: str = CLIENT) -> dict[str, str]:
    return {"authorization": f"Bearer {token}", "x-api-key": api_key, "content-type": "application/cloudevents+json"}


async def statuses(world: World, headers: dict[str, str]) -> set[int]:
    """Of a publish and of a call of the management API."""
    published = await world.call("POST", "/", {}, headers=headers)
    listed = await world.call("GET", PATH, headers=headers)
    return {published.status, listed.status}


def signed(kid: str, private_pem: str) -> str:
    claims = {"type": "access_token", "client_id": CLIENT, "user_id": "u", "org": IMS_ORG, "scope": "adobeio_api"}
    return jwt.encode({**claims, "created_at": "1", "expires_in": "1"}, private_pem, "RS256", headers={"kid": kid})


async def test_what_is_never_good_costs_no_query(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No token, no token of ours, a known key with another signature, an expired one, one without a scope, no api key:
    all are refused by what the node knows, publishing and managing alike."""
    async with nodes(tmp_path) as (_, two):
        good = two.token()
        bad = {
            "no token": {},
            "no JSON Web Token": auth("made-up"),
            "another signature": auth(good[:-6] + ("AAAAAA" if good[-6:] != "AAAAAA" else "BBBBBB")),
            "expired": auth(two.token(now_ms=1)),
            "no scope": auth(two.token(scope="openid")),
            "no api key": {"authorization": f"Bearer {good}"},
            "an id that no key has": auth(signed("k" * 100, key_pair()[0])),
        }
        with looks_of(two, monkeypatch) as looks:
            answers = {why: await statuses(two, headers) for why, headers in bad.items()}
            assert not await validate(two, "made-up")
        assert all(answer <= {401, 403} for answer in answers.values()), answers
        assert looks.count == 0


async def test_a_key_that_nobody_has_is_looked_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many calls name it; another one is looked for, once as well."""
    async with nodes(tmp_path) as (_, two):
        with looks_of(two, monkeypatch) as looks:
            for kid in (str(uuid4()), str(uuid4())):
                for _ in range(3):
                    assert await statuses(two, auth(signed(kid, key_pair()[0]))) == {401}
        assert looks.count == 2


async def test_a_revoked_token_is_looked_for_never(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that goes on with a token which was revoked costs no queries, once the node knows that."""
    async with nodes(tmp_path) as (one, two):
        token = two.token()
        assert (await invalidate(one, token)).status == 200
        assert (await two.call("GET", PATH, headers=auth(token))).status == 401
        with looks_of(two, monkeypatch) as looks:
            assert await statuses(two, auth(token)) == {401}
        assert looks.count == 0


async def test_what_another_node_made_a_moment_ago_is_good(tmp_path: Path) -> None:
    """In the middle of a flood: a token of a new key, and one of a new credential, at the very next call."""
    async with nodes(tmp_path) as (one, two):
        flood = auth(signed(str(uuid4()), key_pair()[0]))
        assert await statuses(two, flood) == {401}
        made = await make_credential(one, "Late shift")
        token = one.token(IMS_ORG, made["apiKey"])
        listed = await two.call("GET", PATH, headers=auth(token, made["apiKey"]))
        assert listed.status == 200
        assert await statuses(two, flood) == {401}
        parts = one.parts
        key = await rotate_token_key(parts.store, SEALER, parts.clock, parts.ids)
        await parts.catalogue.refresh()
        assert key.id != TOKEN_KEY
        listed = await two.call("GET", PATH, headers=auth(one.token()))
        assert listed.status == 200
        assert await validate(two, one.token())
