"""The AsyncAPI addresses: open to all, in both forms and versions, cacheable; a clear refusal where there is none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from tests.http.world import World, running

pytestmark = pytest.mark.anyio

ADDRESSES = ["/asyncapi/catalog.json", "/asyncapi/catalog.yaml"]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path, catalog="") as each:
        yield each


@pytest.mark.parametrize(
    ("query", "version"), [("", "2.6.0"), ("?version=2.6.0", "2.6.0"), ("?version=3.0.0", "3.0.0")]
)
async def test_both_forms_say_the_same(world: World, query: str, version: str) -> None:
    """Without a token, JSON and YAML of one version are one document; YAML without aliases, which some tools refuse."""
    as_json, as_yaml = [await world.call("GET", address + query, headers={}) for address in ADDRESSES]

    assert (as_json.status, as_json.header("content-type")) == (200, "application/json")
    assert (as_yaml.status, as_yaml.header("content-type")) == (200, "application/yaml")
    assert as_json.json() == yaml.safe_load(as_yaml.body)
    assert as_json.json()["asyncapi"] == version
    assert b"&id" not in as_yaml.body


@pytest.mark.parametrize("address", ADDRESSES)
async def test_caching(world: World, address: str) -> None:
    """A client that has the document is told so without it; web pages of any origin may read it."""
    first = await world.call("GET", address, headers={})
    tag = first.header("etag")
    assert tag is not None and first.header("access-control-allow-origin") == "*"

    again = await world.call("GET", address, headers={"if-none-match": f'"other", W/{tag}'})
    other = await world.call("GET", f"{address}?version=3.0.0", headers={"if-none-match": tag})

    assert (again.status, again.body, again.header("etag")) == (304, b"", tag)
    assert again.header("content-length") is None
    assert other.status == 200 and other.header("etag") != tag


@pytest.mark.parametrize("address", ADDRESSES)
async def test_unknown_version(world: World, address: str) -> None:
    """Another version is refused by naming those there are."""
    answer = await world.call("GET", f"{address}?version=4", headers={})

    assert (answer.status, answer.json()["reason"]) == (400, "invalid_parameter")
    assert answer.json()["message"] == "version must be 2.6.0 or 3.0.0, but is '4'"


@pytest.mark.parametrize("address", ADDRESSES)
async def test_switched_off(tmp_path: Path, address: str) -> None:
    """Without a catalogue there is no document, and the message says why."""
    async with running(tmp_path, catalog="off") as world:
        answer = await world.call("GET", address, headers={})

    assert answer.status == 404
    assert "EVENTMILL_CATALOG=off" in answer.json()["message"]


async def test_journal_of_this_gateway(tmp_path: Path) -> None:
    """A catalogue of the operator's that names no other place has its journal here."""
    file = tmp_path / "catalogue.json"
    file.write_text("""{
      "provider_metadata": [{"id": "shop", "group": "Acme", "label": "Shop", "description": "Shop"}],
      "providers": [{"id": "6f0d2a4e-58a9-4a33-8e8a-51d6e9f1a001", "provider_metadata": "shop", "label": "Shop",
        "events": [{"event_code": "sold", "label": "Sold", "description": "Sold"}]}]}""")

    async with running(tmp_path, catalog=str(file)) as world:
        told = (await world.call("GET", ADDRESSES[0], headers={})).json()

    assert told["servers"]["journal"]["url"] == world.parts.config.url
    assert list(told["channels"]) == ["sold"]


async def test_each_text_is_made_once(world: World) -> None:
    """Whatever is asked, no more than the four texts are kept, and those are sent again as they are."""
    queries = ["", "?version=3.0.0", "?version=2.6.0&x=1", "?version=", "?version=4"]
    first, again = [
        [(await world.call("GET", address + query, headers={})).body for query in queries for address in ADDRESSES]
        for _ in range(2)
    ]

    assert first == again
    assert {reply.body for reply in world.parts.documents.values()} == {*first[:4]}
    assert len(world.parts.documents) == 4
