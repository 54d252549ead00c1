"""What delivery knows of registrations, and the catalogue, over a real store: loaded in pages, followed by changes."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from eventmill.errors import StoreUnavailable
from eventmill.flow.aims import Aims
from eventmill.flow.catalogue import Catalogue
from eventmill.model import (
    Credential,
    EventMetadata,
    EventOfInterest,
    Lane,
    Provider,
    Registration,
    SubscriberFilter,
)
from eventmill.store.base import Store
from eventmill.store.control import Create, Delete, OpenLane, Replace, Versioned
from tests.store.builders import ORG, OTHER_ORG, Stores
from tests.store.conftest import open_sqlite

pytestmark = pytest.mark.anyio

TOPIC = EventOfInterest("9b6d0f1c", "stock.low")


def registration(number: int, **fields: object) -> Registration:
    base = Registration(
        id=Lane(number),
        registration_id=f"r{number}",
        org=ORG,
        project_id="p",
        workspace_id="w",
        client_id="c",
        name=f"Stock {number}",
        description="",
        events_of_interest=(TOPIC,),
        delivery_type="webhook",
        webhook_url=f"https://erp.example/{number}",
        enabled=True,
        webhook_status="verified",
        created_ms=1,
        updated_ms=1,
    )
    return msgspec.structs.replace(base, **fields)


def filtered(number: int, text: str) -> Registration:
    wanted = SubscriberFilter(id=f"f{number}", name="", description="", subscriber_filter=text)
    return registration(number, subscriber_filters=(wanted,))


def credential(sealed: str) -> Credential:
    return Credential(
        id="cr", org=ORG, project_id="p", workspace_id="w", name="Stock", client_id="c", sealed_secret=sealed
    )


def created(each: Registration) -> list[Create | OpenLane]:
    doc = msgspec.json.encode(each)
    return [Create("registration", ORG, each.registration_id, doc), OpenLane(each.id, ORG, each.registration_id)]


async def create(store: Store, registrations: Sequence[Registration]) -> None:
    await store.write([op for each in registrations for op in created(each)])


async def create_topic(store: Store) -> None:
    provider = Provider(
        id=TOPIC.provider_id,
        org=ORG,
        project_id="p",
        workspace_id="w",
        label="Stock",
        description="",
        docs_url=None,
        provider_metadata="3rd_party_custom_events",
        instance_id="stock",
        event_delivery_format="cloud_events_v1",
        data_residency_region="VA6",
    )
    metadata = EventMetadata(
        org=ORG,
        provider_id=provider.id,
        event_code=TOPIC.event_code,
        label="Low",
        description="",
        sample_event_template=None,
    )
    metadata_id = f"{provider.id}/{metadata.event_code}"
    await store.write(
        [
            Create("provider", ORG, provider.id, msgspec.json.encode(provider)),
            Create("event_metadata", ORG, metadata_id, msgspec.json.encode(metadata)),
        ]
    )


async def replace(store: Store, each: Registration) -> None:
    stored = await store.get("registration", ORG, each.registration_id)
    assert stored is not None
    await store.write([Replace("registration", ORG, stored.id, msgspec.json.encode(each), stored.version)])


async def loaded(store: Store) -> Aims:
    aims = Aims(store)
    await aims.load()
    return aims


def url(aims: Aims, lane: int) -> str | None:
    target = aims.target(Lane(lane))
    return None if target is None else target.url


async def test_targets_follow_registrations(stores: Stores) -> None:
    """A registration that is made, changed or deleted is told of once, with what then holds."""
    async with stores.opened() as store:
        await create(store, [registration(1001)])
        aims = await loaded(store)
        assert await aims.follow() == set()
        assert (url(aims, 1001), aims.is_pushed(Lane(1001))) == ("https://erp.example/1001", True)

        await create(store, [registration(1002)])
        assert await aims.follow() == {1002}
        await replace(store, registration(1001, webhook_url="https://erp.example/new", enabled=False))
        assert await aims.follow() == {1001}
        assert (url(aims, 1001), aims.is_pushed(Lane(1001))) == ("https://erp.example/new", False)

        await store.write([Delete("registration", ORG, "r1001")])
        assert await aims.follow() == {1001}
        assert (url(aims, 1001), aims.is_pushed(Lane(1001))) == (None, False)
        assert (await aims.follow(), url(aims, 1002)) == (set(), "https://erp.example/1002")


async def test_an_id_of_two_organizations(stores: Stores) -> None:
    """They are two registrations: deleting one leaves the other."""
    async with stores.opened() as store:
        await create(store, [registration(1001)])
        theirs = registration(1002, org=OTHER_ORG, registration_id="r1001")
        await store.write([Create("registration", OTHER_ORG, "r1001", msgspec.json.encode(theirs))])
        aims = await loaded(store)
        await store.write([Delete("registration", ORG, "r1001")])
        assert await aims.follow() == {1001}
        assert url(aims, 1002) == "https://erp.example/1002"


async def test_targets_sign_with_the_stored_secret(stores: Stores) -> None:
    """Whether the credential was there before the registration, comes later, is changed or deleted; others are left."""
    async with stores.opened() as store:
        await create(store, [registration(1001), registration(1002, client_id="other")])
        aims = await loaded(store)

        async def secret() -> tuple[set[Lane], str, str]:
            touched = await aims.follow()
            target = aims.target(Lane(1001))
            assert target is not None
            return touched, target.credential_id, target.sealed_secret

        assert await secret() == (set(), "", "")
        await store.write([Create("credential", ORG, "cr", msgspec.json.encode(credential("one")))])
        assert await secret() == ({1001}, "cr", "one")
        await store.write([Replace("credential", ORG, "cr", msgspec.json.encode(credential("two")), 1)])
        assert await secret() == ({1001}, "cr", "two")
        again = (await loaded(store)).target(Lane(1001))
        assert again is not None
        assert again.sealed_secret == "two"
        await store.write([Delete("credential", ORG, "cr")])
        assert await secret() == ({1001}, "", "")


async def test_more_than_a_page_is_loaded(stores: Stores) -> None:
    """Of many registrations none is left out, and the catalogue lists them in creation order though ids are in none."""
    numbers = range(1001, 1001 + 600)
    async with stores.opened() as store:
        await create(store, [registration(n, registration_id=f"{n * 7919 % 1000:04}-{n}") for n in numbers])
        aims, catalogue = await loaded(store), Catalogue(store)
        await catalogue.load()
        assert all(aims.target(Lane(number)) is not None for number in numbers)
        assert [each.id for each in catalogue.registrations()] == list(numbers)
        assert len(catalogue.interested(ORG, TOPIC)) == len(numbers)


async def test_what_registrations_share_is_kept_once(stores: Stores) -> None:
    """Ten thousand of them name the same few places, clients and event codes."""
    async with stores.opened() as store:
        await create(store, [registration(1001), registration(1002)])
        catalogue = Catalogue(store)
        await catalogue.load()
        first, second = catalogue.registrations()
        assert first.events_of_interest is second.events_of_interest
        for name in ("org", "project_id", "workspace_id", "client_id"):
            assert getattr(first, name) is getattr(second, name)


async def test_filters_are_compiled_ahead(stores: Stores) -> None:
    """In steps between which others get their turns; a publish finds them compiled, so a broken one is logged then."""
    async with stores.opened() as store:
        await create_topic(store)
        await create(store, [filtered(1001, '{"type": ["a"]}'), filtered(1002, "broken"), registration(1003)])
        catalogue = Catalogue(store)
        await catalogue.load()
        turns = 0

        async def count_turns() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count_turns())
        with capture_logs() as logged:
            await catalogue.compile_filters()
        counting.cancel()
        assert [each["registration_id"] for each in logged] == ["r1002"]
        assert turns >= 2
        with capture_logs() as logged:
            route = catalogue.route(ORG, TOPIC.provider_id, TOPIC.event_code)
        assert (logged, route.lanes) == ([], (1001, 1002, 1003))


async def test_a_load_holds_a_page_at_a_time(tmp_path: Path) -> None:
    """Of many large documents, only what is kept of them and a few more are in memory at any moment."""
    numbers = range(1001, 1001 + 1000)
    async with Stores(open_sqlite, tmp_path / "data").opened() as store:
        await create(store, [registration(number, description="x" * 2000) for number in numbers])
        aims = Aims(store)
        tracemalloc.start(1)
        try:
            await aims.load()
            kept, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert kept < 700 * len(numbers)
        assert peak < kept + 2000 * len(numbers) * 3 // 4


class Away:
    """A store whose registrations cannot be read any more."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def scan_page(self, *_: object) -> list[Versioned]:
        raise StoreUnavailable("away")


async def test_half_a_picture_is_none(stores: Stores) -> None:
    """Where reading everything anew fails in the middle, what was known before is still known."""
    async with stores.opened() as store:
        await create(store, [registration(1001)])
        for picture in (Catalogue(store), Aims(store)):
            await picture.load()
            picture._store = Away(store)
            epoch = picture.epoch
            with pytest.raises(StoreUnavailable):
                await picture.load()
            assert picture.epoch == epoch
            if isinstance(picture, Catalogue):
                assert [each.id for each in picture.registrations()] == [1001]
            else:
                assert picture.target(Lane(1001)) is not None
