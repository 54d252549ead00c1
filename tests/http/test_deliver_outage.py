"""`flow.deliver` while the store refuses its questions: whatever it was in the middle of, it goes on from there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from eventmill.clock import VirtualClock
from eventmill.errors import StoreUnavailable
from eventmill.store.base import Store
from tests.http.delivery import REGISTRATIONS, Delivery, delivering
from tests.http.world import registration_form
from tests.waiting import eventually

pytestmark = pytest.mark.anyio

_QUESTIONS = frozenset(
    ("heads", "lanes", "lane", "read_log", "lane_page", "fetch", "due_units", "epoch", "changes", "get", "scan_page")
)


class Refusing:
    """The store, but that questions are refused as asked."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._dice = Random(1)
        self.refused: set[str] = set()
        """Questions that were."""
        self.share = 0.0
        """Of the questions, that are refused."""

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        return self._refusing(name, found) if name in _QUESTIONS else found

    def _refusing(self, name: str, ask: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def asked(*values: Any, **named: Any) -> Any:
            if self._dice.random() < self.share:
                self.refused.add(name)
                await asyncio.sleep(0)
                raise StoreUnavailable("away")
            return await ask(*values, **named)

        return asked


@pytest.mark.parametrize("share", [1.0, 0.5, 0.2])
async def test_refused_questions_lose_nothing(tmp_path: Path, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of the questions is refused, or all for a while, from the take-over of the lanes on, while events
    come, attempts fail, registrations change and retries become due: each event arrives, where it should, once."""
    monkeypatch.setattr("eventmill.flow.deliver._AGAIN_S", 0.01)
    found: list[Refusing] = []

    def refusing(store: Store) -> Any:
        found.append(Refusing(store))
        return found[0]

    async def publish_before(delivery: Delivery) -> None:
        for topic, path in ((await delivery.world.topic("A"), "/one"), (await delivery.world.topic("B"), "/two")):
            topics.append(topic)
            registrations.append(await delivery.register(topic, path))
            await delivery.world.publish(topic, "before")
        delivery.hook.status = "503 Service Unavailable"
        found[0].share = share

    topics: list[Any] = []
    registrations: list[dict[str, Any]] = []
    async with delivering(tmp_path, publish_before, refusing) as delivery:
        store, hook, world = found[0], delivery.hook, delivery.world
        if share == 1:
            await eventually(lambda: store.refused, "refused questions")
            store.share = 0.2
        await hook.until("/one", 1)
        await hook.until("/two", 1)
        hook.status = "200 OK"
        form = registration_form(topics[1], name="/two", webhook_url=f"{hook.url}/moved")
        answer = await world.call("PUT", f"{REGISTRATIONS}/{registrations[1]['registration_id']}", form)
        assert answer.status == 200, answer
        for topic in topics:
            await world.publish(topic, "after")
        await hook.until("/one", 2)
        await hook.until("/moved", 1)
        await eventually(delivery.deliver.next_due_ms, "a planned retry")
        clock = world.parts.clock
        assert isinstance(clock, VirtualClock)
        clock.advance(3_600_000)
        delivery.deliver.wake()
        bodies = await hook.until("/one", 3) + await hook.until("/moved", 2)
        assert len(bodies) == 5
        assert store.refused
