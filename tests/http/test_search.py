"""Searching for events over the wire: by each thing that is known of them, bounded, and within one organization."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from eventmill.core.envelope import format_time
from eventmill.flow import search
from eventmill.model import Lane
from eventmill.store.work import Ended, LaneProgress, WorkCommit
from tests.http.client import Answer
from tests.http.world import CLIENT, World, running

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path, dev=True, auth="strict") as opened:
        yield opened


async def ask(world: World, query: str = "") -> Answer:
    return await world.call("GET", f"/events/1001/search{query}")


async def found(world: World, query: str = "") -> list[str]:
    """Publishers' ids of what is found, by way of explaining each."""
    told = [
        await world.call("GET", f"/events/1001/events/{each['id']}")
        for each in (await ask(world, query)).json()["events"]
    ]
    return [each.json()["event"]["published_id"] for each in told]


async def journal_registration(world: World, topic: Any, **changed: Any) -> Any:
    return await world.register(topic, delivery_type="journal", webhook_url=..., **changed)


async def test_what_is_told_of_an_event(world: World) -> None:
    """Newest first; ids, code, provider, publisher, position, and what became of it where it was to go."""
    topic = await world.topic("Warehouse")
    registration = await journal_registration(world, topic, name="Stock")
    for number in range(3):
        await world.publish(topic, f"order-{number}")
    answer = (await ask(world)).json()
    assert await found(world) == ["order-2", "order-1", "order-0"]
    now = format_time(world.parts.clock.now_ms())
    assert (answer["searched"], answer["next"], answer["back_to"]) == (3, None, now)
    newest = answer["events"][0]
    journal = (await world.journal(registration))[-1]
    assert newest["id"] == journal["eventid"]
    assert newest["provider"] == {"id": topic["provider_id"], "label": "Warehouse"}
    assert (newest["code"], newest["published_by"], newest["matched"]) == (topic["event_code"], CLIENT, 1)
    [way] = newest["registrations"]
    assert (way["registration_id"], way["name"], way["state"]) == (
        registration["registration_id"],
        "Stock",
        "journal_only",
    )


async def test_each_thing_narrows(world: World) -> None:
    """Id of either kind, code, provider by id and by a part of its label, registration, time."""
    stock, orders = await world.topic("Warehouse"), await world.topic("Order desk")
    registration = await journal_registration(world, stock, name="Stock")
    await journal_registration(world, orders, name="Orders")
    await world.publish(stock, "s-1")
    assert world.parts.dev is not None
    world.parts.dev.clock.advance(60_000)
    between = format_time(world.parts.clock.now_ms())
    await world.publish(orders, "o-1")
    event_id = (await ask(world, "?id=s-1")).json()["events"][0]["id"]
    for query, expected in (
        ("?id=s-1", ["s-1"]),
        (f"?id={event_id}", ["s-1"]),
        (f"?code={orders['event_code']}&source=order", ["o-1"]),
        (f"?source={stock['provider_id']}", ["s-1"]),
        (f"?source=urn:uuid:{stock['provider_id']}", ["s-1"]),
        ("?source=WAREHOUSE", ["s-1"]),
        (f"?registration={registration['registration_id']}", ["s-1"]),
        (f"?from={quote(between)}", ["o-1"]),
        (f"?to={quote(between)}", ["s-1"]),
        ("?id=nobodys", []),
    ):
        assert await found(world, query) == expected, query


async def test_what_became_of_them_narrows(world: World) -> None:
    """Waiting, delivered, undelivered: as the store has it settled."""
    topic = await world.topic()
    registration = await world.register(topic)
    for number in range(3):
        await world.publish(topic, str(number))
    lane = Lane(registration["id"])
    first = (await ask(world)).json()["events"][-1]["position"]
    seq = int(first.rpartition(".")[2])
    ended = Ended((seq + 1,), "refused", 404, 1)
    leases = tuple(lease for lease in await world.store.leases() if lease.slot == lane % 1024)
    progress = LaneProgress(lane=lane, mark=seq + 1, done=(), settled=(seq, seq + 1), ended=(ended,))
    assert await world.store.commit(WorkCommit(leases, (progress,))) == frozenset()
    assert await found(world, "?status=waiting") == ["2"]
    assert await found(world, "?status=undelivered") == ["1"]
    assert await found(world, "?status=delivered") == ["0"]


async def test_a_search_is_bounded_and_goes_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer says how far it came, and `next` leads further back until there is nothing."""
    monkeypatch.setattr(search, "POSITIONS_MAX", 4)
    topic = await world.topic()
    await journal_registration(world, topic)
    for number in range(10):
        await world.publish(topic, str(number))
    answer = (await ask(world, "?id=0")).json()
    assert (answer["events"], answer["searched"]) == ([], 4)
    answer = (await ask(world, f"?id=0&before={answer['next']}")).json()
    assert (answer["events"], answer["searched"]) == ([], 4)
    answer = (await ask(world, f"?id=0&before={answer['next']}")).json()
    assert (len(answer["events"]), answer["searched"], answer["next"]) == (1, 2, None)
    seen, before = [], ""
    for _ in range(4):
        answer = (await ask(world, f"?limit=3{before}")).json()
        seen += [each["id"] for each in answer["events"]]
        before = f"&before={answer['next']}"
    assert len(set(seen)) == 10 and answer["next"] is None


async def test_others_see_nothing_of_it(world: World) -> None:
    """Neither events nor how many there are, though positions are shared."""
    topic = await world.topic()
    await journal_registration(world, topic)
    await world.publish(topic, "order-1")
    event_id = (await ask(world)).json()["events"][0]["id"]
    for query in ("", "?id=order-1", f"?id={event_id}", f"?source={topic['provider_id']}"):
        answer = await world.call("GET", f"/events/1002/search{query}", headers=world.foreign_auth())
        assert answer.json() == {"events": [], "searched": 0, "back_to": None, "next": None}


async def test_what_cannot_be_searched_for_is_refused(world: World) -> None:
    """Named, and with what it must be."""
    for query in ("status=gone", "from=yesterday", "to=0001-01-01", "before=x", "limit=-1", "limit=0", "limit=9999"):
        answer = await ask(world, f"?{query}")
        assert (answer.status, answer.json()["reason"]) == (400, "invalid_parameter"), query
        assert query.partition("=")[0] in answer.json()["message"]
    assert (await ask(world, "?registration=nobodys")).status == 404
