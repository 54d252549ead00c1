"""Hostile bodies at everything that takes one, as the OpenAPI document lists it: a 4xx, and nothing is stored.

`tests.http.client` holds each refusal against the document, so that it is known to say what and where.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.http.console import admin, made
from tests.http.described import document
from tests.http.world import CLIENT, IMS_ORG, World, key_pair, running

pytestmark = pytest.mark.anyio

MIB = 1 << 20

BODIES = {
    "nested arrays": b"[" * MIB,
    "nested objects": b'{"name":' * (MIB // 8),
    "nested and closed": b"[" * (MIB // 2) + b"]" * (MIB // 2),
    "no utf-8": b'{"name":"\xff\xfe","label":"\xc3\x28"}',
    "utf-16": '{"name":"a"}'.encode("utf-16"),
    "a member twice": b'{"name":"a","name":"b","label":"a","label":"b"}',
    "a member twice, escaped": b'{"name":"a","\\u006eame":"b"}',
    "half a surrogate pair": b'[{"name":"\\ud800"}]',
    "a nul": b'{"name":"a\x00b"}',
    "not a number": b'{"name":NaN}',
    "a very long number": b'{"name":' + b"9" * 10_000 + b"}",
    "a number beyond all": b'{"name":1e999999}',
    "cut short": b'{"name":"a',
    "two documents": b'{"name":"a"}{"name":"b"}',
    "a string": b'"text"',
    "null": b"null",
    "bytes": bytes(range(256)),
    "too large": b" " * (5 * MIB),
}
TELLS_WHAT_IS_NOT_GOOD = "validateToken"
"""Answers 200 whatever it is asked about."""
TAKES_ANY_JSON = {"sendSampleEvent"}


def writes() -> list[Any]:
    return [
        pytest.param(method.upper(), path, operation, id=operation["operationId"])
        for path, methods in document()["paths"].items()
        for method, operation in methods.items()
        if "requestBody" in operation and "/_dev/" not in path
    ]


class Everything:
    """A world with one of each, and what the parameters of paths are called there."""

    def __init__(self, world: World, names: dict[str, str]) -> None:
        self.world = world
        self.names = names


@pytest.fixture(scope="module")
async def everything(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Everything]:
    async with running(tmp_path_factory.mktemp("bodies")) as world:
        topic = await world.topic()
        wanted = {"name": "Everything", "subscriber_filter": '{"type":[{"exists":true}]}'}
        registration = await world.register(topic, subscriber_filters=[wanted])
        old = "/console/organizations/1001/projects/2001/workspaces/3001/credentials/entp"
        jwt = await made(world, old, {"name": "Old kind", "certificate": key_pair()[1]})
        names = {
            "org": "1001",
            "project": "2001",
            "workspace": "3001",
            "credential": jwt["id"],
            "provider": topic["provider_id"],
            "code": topic["event_code"],
            "registration": registration["registration_id"],
            "filter": registration["subscriber_filters"][0]["id"],
            "cursor": "reader",
            "type": "jwt",
            "namespace": "any",
            "key": "none",
            "user": "nobody",
        }
        yield Everything(world, names)


@pytest.mark.parametrize(("method", "path", "operation"), writes())
async def test_hostile_bodies(everything: Everything, method: str, path: str, operation: dict[str, Any]) -> None:
    """Deep nesting, bytes that are no text, members that repeat, more than may be: refused, and nothing is stored."""
    world = everything.world
    target = path.format(**everything.names)
    for media_type in operation["requestBody"]["content"]:
        for what, body in BODIES.items():
            if operation["operationId"] in TAKES_ANY_JSON and what == "a number beyond all":
                continue
            before = await world.epoch()
            headers = {**admin(world), "x-api-key": CLIENT, "x-ims-org-id": IMS_ORG, "content-type": media_type}
            answer = await world.call(method, target, body, headers=headers)
            is_fine = operation["operationId"] == TELLS_WHAT_IS_NOT_GOOD and answer.status == 200
            assert is_fine or 400 <= answer.status < 500, (what, media_type, answer.status, answer.body[:200])
            assert answer.body.isascii()
            assert len(answer.body) < 2000
            assert await world.epoch() == before, (what, media_type)


@pytest.mark.parametrize(("method", "path", "operation"), writes())
@pytest.mark.parametrize("media_type", ["text/html", "application/x-tar", "json", "/", "application/json; charset=x"])
async def test_media_types(
    everything: Everything, media_type: str, method: str, path: str, operation: dict[str, Any], tmp_path: Path
) -> None:
    """One that an operation does not take is 415 before anything else; never an error of the gateway's."""
    world = everything.world
    headers = {**admin(world), "x-api-key": CLIENT, "x-ims-org-id": IMS_ORG, "content-type": media_type}
    before = await world.epoch()
    answer = await world.call(method, path.format(**everything.names), b"{", headers=headers)

    assert 200 <= answer.status < 500
    takes_json = "application/json" in operation["requestBody"]["content"]
    if takes_json and "application/json" not in media_type:
        assert answer.status in {403, 415}, answer.body
    assert await world.epoch() == before
