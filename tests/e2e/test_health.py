"""Health of webhooks with real processes: a day of failures on the virtual clock, a kill in the middle, and production
with deliveries in children of their own."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import StartGateway
from tests.e2e.harness.hook import Hook, Received, Reply, always
from tests.e2e.harness.http_client import Client
from tests.e2e.harness.production import NO_LIMITS, OPEN_LOOPBACK, write_bootstrap
from tests.e2e.harness.tenant import Registration, Tenant
from tests.waiting import eventually

pytestmark = pytest.mark.anyio

DAY_S = 86_400


async def advance(tenant: Tenant, seconds: float) -> None:
    answer = await tenant.client.call(
        "POST", "/_dev/clock", {"content-type": "application/json"}, {"advance_seconds": seconds}
    )
    assert answer.status == 200, answer.body


async def health(tenant: Tenant, registration: Registration) -> dict[str, Any]:
    answer = await tenant.call("GET", registration.link("self") + "/health")
    assert answer.status == 200, answer.body
    body: dict[str, Any] = answer.json()
    return body


async def until_status(tenant: Tenant, registration: Registration, status: str) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        shown = await health(tenant, registration)
        return shown if shown["webhook_status"] == status else None

    return await eventually(look, f"a registration that is {status}")


async def refuse_but_one(request: Received) -> Reply:
    """One event is failed again and again, all others are refused for good."""
    return Reply(503 if b'"id": "kept"' in request.body else 404)


async def test_a_day_to_the_end_over_a_kill(start_gateway: StartGateway) -> None:
    """Unstable at the tenth failure, over a kill in the middle of the day disabled after 24 hours; an edit enables."""
    gateway = await asyncio.to_thread(start_gateway, "--dev")
    env = await asyncio.to_thread(gateway.env)
    async with Client(gateway.port) as client, Hook(refuse_but_one) as hook:
        tenant = Tenant(client, env)
        topic = await tenant.topic()
        registration = await tenant.register(topic, url=f"{hook.url}/hook")
        await tenant.publish(topic, "kept")
        for _ in range(8):
            await tenant.publish(topic)
        await advance(tenant, 0)
        assert (await health(tenant, registration))["webhook_status"] == "verified"
        await tenant.publish(topic)
        await advance(tenant, 0)
        shown = await health(tenant, registration)
        assert (shown["webhook_status"], shown["next_status"]) == ("unstable", "hook_unreachable")
        assert shown["summary"].startswith("10 of 10 attempts failed in 24 h; next evaluation ")

        await advance(tenant, DAY_S / 2)
        await asyncio.to_thread(gateway.kill)
        await asyncio.to_thread(gateway.start)
        await advance(tenant, DAY_S / 2 - 300)
        assert (await health(tenant, registration))["webhook_status"] == "unstable"
        await advance(tenant, 600)
        disabled = (await tenant.call("GET", registration.link("self"))).json()
        assert (disabled["webhook_status"], disabled["enabled"]) == ("hook_unreachable", False)

        hook.answer = always(200)
        missed, posts = await tenant.publish(topic), len(hook.posts)
        await advance(tenant, DAY_S)
        assert len(hook.posts) == posts
        enabled = await tenant.update(registration)
        assert (enabled.body["webhook_status"], enabled.body["enabled"]) == ("verified", True)
        await tenant.publish(topic)
        await advance(tenant, 0)
        assert len(hook.posts) == posts + 1
        assert missed in await tenant.journal_ids(registration)


async def test_production_with_delivery_children(start_gateway: StartGateway, tmp_path: Path) -> None:
    """The front judges what its children count: unstable by itself within moments, verified with the next success,
    and an outcome is not forgotten by a restart."""
    variables = {**OPEN_LOOPBACK, **NO_LIMITS, "EVENTMILL_DELIVERY_PROCESSES": "2"}
    bootstrap = ("--bootstrap", str(write_bootstrap(tmp_path)))
    gateway = await asyncio.to_thread(lambda: start_gateway(*bootstrap, variables=variables))
    env = await asyncio.to_thread(gateway.env)
    async with Client(gateway.port) as client, Hook(always(404)) as hook:
        tenant = Tenant(client, env)
        topic = await tenant.topic()
        first, second = [await tenant.register(topic, url=f"{hook.url}/{name}") for name in ("first", "second")]
        for _ in range(6):
            await tenant.publish(topic)
        await hook.until_posts(12)
        assert await asyncio.to_thread(gateway.stop) == 0
        await asyncio.to_thread(gateway.start)
        for _ in range(4):
            await tenant.publish(topic)
        for registration in (first, second):
            shown = await until_status(tenant, registration, "unstable")
            assert shown["last_24_hours"] == {"attempts": 10, "successful": 0, "failed": 10, "failing": True}

        hook.answer = always(200)
        await tenant.publish(topic)
        for registration in (first, second):
            await until_status(tenant, registration, "verified")
