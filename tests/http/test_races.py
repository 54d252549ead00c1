"""Two requests at once for the same thing: one wins, the other is told, nothing is half done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.http.world import WORKSPACE, World, registration_form, running

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path) as each:
        yield each


async def both(world: World, *requests: tuple[Any, ...]) -> list[int]:
    """Statuses of requests that run at the same time, sorted."""
    return sorted(answer.status for answer in await asyncio.gather(*(world.call(*each) for each in requests)))


async def test_deleting_twice(world: World) -> None:
    """One delete is 204, the other 404, for each kind of thing."""
    topic = await world.topic()
    registration = await world.register(topic)
    provider = f"{WORKSPACE}/providers/{topic['provider_id']}"
    for path in (
        f"{WORKSPACE}/registrations/{registration['registration_id']}",
        f"{provider}/eventmetadata/{topic['event_code']}",
        provider,
    ):
        assert await both(world, ("DELETE", path), ("DELETE", path)) == [204, 404]
    assert await world.store.scan("provider") == []


async def test_creating_one_name_twice(world: World) -> None:
    """One is 201, the other 409, and there is one of it."""
    provider = await world.provider("Other")
    await world.metadata(provider)
    topic = {"provider_id": provider["id"], "event_code": "com.acme.low"}
    metadata = {"event_code": "com.acme.new", "label": "New", "description": "New"}
    for path, form in (
        (f"{WORKSPACE}/providers", {"label": "Warehouse"}),
        (f"{WORKSPACE}/providers/{provider['id']}/eventmetadata", metadata),
        (f"{WORKSPACE}/registrations", registration_form(topic)),
    ):
        assert await both(world, ("POST", path, form), ("POST", path, form)) == [201, 409]
    assert len(await world.store.scan("registration")) == 1
    assert len(await world.store.scan("event_metadata")) == 2


async def test_changing_one_thing_twice(world: World) -> None:
    """Both were read from the same version: both are applied, one after the other, and the later one stays."""
    topic = await world.topic()
    paths = {
        f"/events/providers/{topic['provider_id']}": f"{WORKSPACE}/providers/{topic['provider_id']}",
        f"/events/providers/{topic['provider_id']}/eventmetadata/{topic['event_code']}": (
            f"{WORKSPACE}/providers/{topic['provider_id']}/eventmetadata/{topic['event_code']}"
        ),
    }
    for read, written in paths.items():
        forms = [{"label": label, "description": "d", "event_code": topic["event_code"]} for label in ("One", "Two")]

        assert await both(world, *(("PUT", written, form) for form in forms)) == [200, 200]
        assert (await world.call("GET", read)).json()["label"] in ("One", "Two")


async def test_patching_one_thing_twice(world: World) -> None:
    """Neither patch undoes the other: the one that came second is applied to what the first one left."""
    topic = await world.topic()
    registration = await world.register(topic, delivery_type="journal")
    provider = f"{WORKSPACE}/providers/{topic['provider_id']}"
    for path, read, names in (
        (provider, f"/events/providers/{topic['provider_id']}", ("label", "docs_url")),
        (
            f"{provider}/eventmetadata/{topic['event_code']}",
            f"/events/providers/{topic['provider_id']}/eventmetadata/{topic['event_code']}",
            ("label", "description"),
        ),
        (
            f"{WORKSPACE}/registrations/{registration['registration_id']}",
            f"{WORKSPACE}/registrations/{registration['registration_id']}",
            ("name", "description"),
        ),
    ):
        value = "https://docs.example/x" if "docs_url" in names else "Changed"
        patches = [[{"op": "replace", "path": f"/{name}", "value": value}] for name in names]
        patches[0][0]["value"] = "Renamed"

        assert await both(world, *(("PATCH", path, patch) for patch in patches)) == [200, 200]
        body = (await world.call("GET", read)).json()
        assert [body[name] for name in names] == ["Renamed", value]


async def test_event_code_for_a_provider_that_goes(world: World) -> None:
    """Created before and deleted with it, or refused: no code outlives its provider."""
    provider = await world.provider()
    path = f"{WORKSPACE}/providers/{provider['id']}"
    forms = [{"event_code": f"com.acme.{n}", "label": "New", "description": "New"} for n in range(4)]

    statuses = await both(
        world,
        *(("POST", f"{path}/eventmetadata", form) for form in forms[:2]),
        ("DELETE", path),
        *(("POST", f"{path}/eventmetadata", form) for form in forms[2:]),
    )

    assert set(statuses) <= {201, 204, 404}
    assert await world.store.scan("provider") == []
    assert await world.store.scan("event_metadata") == []


async def test_deleting_one_code_and_all(world: World) -> None:
    """All are gone afterwards, whichever came first."""
    topic = await world.topic()
    path = f"{WORKSPACE}/providers/{topic['provider_id']}/eventmetadata"

    statuses = await both(world, ("DELETE", path), ("DELETE", f"{path}/{topic['event_code']}"))

    assert statuses in ([204, 204], [204, 404])
    assert await world.store.scan("event_metadata") == []


async def test_provider_deleted_while_it_is_changed(world: World) -> None:
    """The change is applied before, or refused; it never brings the provider back."""
    topic = await world.topic()
    path = f"{WORKSPACE}/providers/{topic['provider_id']}"
    metadata = f"{path}/eventmetadata/{topic['event_code']}"
    form = {"event_code": topic["event_code"], "label": "New", "description": "New"}

    statuses = await both(world, ("DELETE", path), ("PUT", path, form), ("PUT", metadata, form))

    assert set(statuses) <= {200, 204, 404, 409}
    assert await world.store.scan("provider") == []
    assert await world.store.scan("event_metadata") == []
