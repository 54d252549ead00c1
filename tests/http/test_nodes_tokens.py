"""Tokens and credentials of two gateways on one database: what one has answered holds at the very next call of the
other, before any hint of it has come."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from eventmill.flow.keyring import rotate_token_key
from tests.http.client import Answer
from tests.http.test_ims_tokens import URLENCODED, issued
from tests.http.world import CLIENT, IMS_ORG, SEALER, SECRET, World, nodes

pytestmark = pytest.mark.anyio

CREDENTIALS = "/console/organizations/1001/projects/2001/workspaces/3001/credentials"


async def ask(world: World, path: str, **fields: str) -> Answer:
    return await world.call("POST", path, urlencode(fields).encode(), headers=URLENCODED)


async def invalidate(world: World, token: str) -> Answer:
    client = {"client_id": CLIENT, "client_secret": SECRET}
    return await ask(world, "/ims/invalidate_token/v2", token=token, token_type="access_token", **client)


async def validate(world: World, token: str) -> Any:
    answer = await ask(world, "/ims/validate_token/v1", token=token)
    return answer.json()["valid"]


async def make_credential(world: World, name: str) -> dict[str, str]:
    operator = world.token("", "eventmill-admin", scope="eventmill_admin")
    headers = {"authorization": f"Bearer {operator}"}
    answer = await world.call("POST", f"{CREDENTIALS}/oauth-server-to-server", {"name": name}, headers=headers)
    assert answer.status == 200, answer.body
    made: dict[str, str] = answer.json()
    return made


async def test_a_new_credential_gets_a_token_on_any_node(tmp_path: Path) -> None:
    """Made on one node, it is given a token by the other at once."""
    async with nodes(tmp_path) as (one, two):
        made = await make_credential(one, "Late shift")
        secret = {"client_id": made["apiKey"], "client_secret": made["client_secret"]}
        answer = await ask(two, "/ims/token/v3", grant_type="client_credentials", **secret)
        assert answer.status == 200, answer.body


async def test_a_new_credential_publishes_on_any_node(tmp_path: Path) -> None:
    """Made on one node, and a token of that node: the next event that is published with them on the other is taken.
    What nobody knows is refused as before."""
    async with nodes(tmp_path) as (one, two):
        topic = await one.topic()
        await one.register(topic, delivery_type="journal", webhook_url=...)
        made = await make_credential(one, "Late shift")
        event = {"id": "1", "source": f"urn:uuid:{topic['provider_id']}", "type": topic["event_code"], "data": {}}
        statuses = []
        for api_key in (made["apiKey"], "0" * 32):
            auth = {"authorization": f"Bearer {one.token(IMS_ORG, made['apiKey'])}", "x-api-key": api_key}
            headers = {**auth, "content-type": "application/cloudevents+json"}
            statuses.append((await two.call("POST", "/", event, headers=headers)).status)
        assert statuses == [200, 403]


async def test_what_was_ended_on_one_node_is_good_on_none(tmp_path: Path) -> None:
    """The other node says so when it is asked, shows nobody's profile for it, and trades no such refresh token."""
    async with nodes(tmp_path) as (one, two):
        access, refresh = issued(one), issued(one, type="refresh_token")
        assert [await validate(two, token) for token in (access, refresh)] == [True, True]
        for token in (access, refresh):
            assert (await invalidate(one, token)).status == 200
        assert [await validate(two, token) for token in (access, refresh)] == [False, False]
    async with nodes(tmp_path) as (one, two):
        access, refresh = issued(one), issued(one, type="refresh_token")
        assert (await invalidate(one, refresh)).status == 200
        client = {"client_id": CLIENT, "client_secret": SECRET}
        traded = await ask(two, "/ims/token/v1", grant_type="refresh_token", refresh_token=refresh, **client)
        assert traded.status == 400
        assert (await invalidate(one, access)).status == 200
        profile = await two.call("GET", "/ims/profile/v1", headers={"authorization": f"Bearer {access}"})
        assert profile.status == 401


async def test_a_token_of_a_new_key_is_ended_on_any_node(tmp_path: Path) -> None:
    """A node that has not heard of the key yet must not say that there is nothing to end."""
    async with nodes(tmp_path) as (one, two):
        parts = one.parts
        await rotate_token_key(parts.store, SEALER, parts.clock, parts.ids)
        await parts.catalogue.refresh()
        token = issued(one)
        assert (await invalidate(two, token)).status == 200
        assert not await validate(one, token)
