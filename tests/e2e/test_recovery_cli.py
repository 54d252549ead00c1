"""`eventmill undelivered|replay|resend` against real gateways: in dev mode, and in production over a restart."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import Gateway
from tests.e2e.harness.commands import ok, read, run
from tests.e2e.harness.hook import Hook, always
from tests.e2e.harness.http_client import Client
from tests.e2e.harness.production import NO_LIMITS, OPEN_LOOPBACK, write_bootstrap
from tests.e2e.harness.tenant import Tenant

pytestmark = pytest.mark.anyio


async def settle(tenant: Tenant) -> None:
    """Every attempt that is due has been made."""
    answer = await tenant.client.call(
        "POST", "/_dev/clock", {"content-type": "application/json"}, {"advance_seconds": 0}
    )
    assert answer.status == 200, answer.body


@pytest.mark.slow
async def test_commands(start_gateway: StartGateway) -> None:
    """A refusing webhook is looked at, tried with one event, and then sent the rest; each command says what to do next,
    and what cannot be done is one line and exit code 1."""
    gateway = await asyncio.to_thread(start_gateway, "--dev")
    env = await asyncio.to_thread(gateway.env)
    async with Client(gateway.port) as client, Hook(always(404)) as hook:
        tenant = Tenant(client, env)
        topic = await tenant.topic()
        registration = await tenant.register(topic, url=f"{hook.url}/hook", name="Stock to ERP")
        quiet = await ok(gateway, "undelivered", "Stock to ERP")
        assert quiet == "Stock to ERP: everything was delivered, or is still being tried\n"
        for number in range(3):
            await tenant.publish(topic, f"order-{number}")
        await settle(tenant)

        lines = (await ok(gateway, "undelivered", registration.id)).splitlines()
        assert lines[0].split() == ["POSITION", "PUBLISHED", "EVENT", "EVENT", "CODE", "CAUSE", "STATUS"]
        assert [line.split()[-2:] for line in lines[1:4]] == [["refused", "404"]] * 3
        assert lines[4].startswith("Stock to ERP: 3 events undelivered (3 refused), the oldest of ")
        drain = lines[5].split()
        assert drain == ["eventmill", "replay", "start", registration.id]
        short = await ok(gateway, "undelivered", registration.id, "--limit", "1", "--cause", "refused")
        assert "more come after 1." in short

        hook.answer, hook.posts[:] = always(200), []
        event = (await read(gateway, "undelivered", registration.id))["items"][0]["event_id"]
        assert await ok(gateway, "resend", registration.id, event) == f"event {event} is sent once more, now\n"
        await hook.until_posts(1)
        await settle(tenant)
        assert await ok(gateway, "replay", "start", registration.id, "--dry-run") == "2 events would be sent\n"
        watched = await run(gateway, *drain[1:], "--rate", "100", "--watch")
        assert watched.code == 0, watched.message
        assert "2 of 2 sent (100 %): 2 delivered" in watched.output
        assert sorted(json.loads(post.body)["id"] for post in hook.posts) == ["order-0", "order-1", "order-2"]

        [job] = await read(gateway, "replay", "list", registration.id)
        assert (job["state"], job["delivered"]) == ("done", 2)
        assert [post.headers["x-eventmill-replay"] for post in hook.posts][1:] == [job["id"]] * 2
        assert job["id"] in await ok(gateway, "replay", "show", registration.id)
        await refusals(gateway, registration.id, job["id"])


async def refusals(gateway: Gateway, registration_id: str, replay_id: str) -> None:
    again = await run(gateway, "replay", "resume", registration_id)
    assert (again.code, again.message) == (1, f"eventmill: replay {replay_id} is done\n")
    assert (await run(gateway, "resend", registration_id, "nobodys")).code == 1
    unknown = await run(gateway, "undelivered", "Nobody")
    assert (unknown.code, unknown.output) == (1, "")
    assert "there is no registration 'Nobody'; there are: " in unknown.message
    everything = await run(gateway, "replay", "start", registration_id, "--all")
    assert everything.code == 1 and "Send 3 events to Stock to ERP" in everything.message


async def test_an_attempt_is_sent_again(start_gateway: StartGateway) -> None:
    """By the id that its trace has."""
    gateway = await asyncio.to_thread(start_gateway, "--dev")
    env = await asyncio.to_thread(gateway.env)
    async with Client(gateway.port) as client, Hook(always(404)) as hook:
        tenant = Tenant(client, env)
        topic = await tenant.topic()
        registration = await tenant.register(topic, url=f"{hook.url}/hook")
        await tenant.publish(topic)
        await settle(tenant)
        hook.answer = always(200)
        [trace] = await tenant.delivery_traces(registration)
        assert "is sent once more, now" in await ok(gateway, "resend", registration.id, trace["id"], "--attempt")
        await hook.until_posts(2)
        await settle(tenant)
        assert (await read(gateway, "undelivered", registration.id))["total"] == 0


@pytest.mark.slow
async def test_watched_over_a_restart(start_gateway: StartGateway, tmp_path: Path) -> None:
    """Deliveries in children, the gateway stopped while the replay is paused: it is resumed and watched to its end."""
    bootstrap = ("--bootstrap", str(write_bootstrap(tmp_path)))
    gateway = await asyncio.to_thread(lambda: start_gateway(*bootstrap, variables={**OPEN_LOOPBACK, **NO_LIMITS}))
    env = await asyncio.to_thread(gateway.env)
    async with Hook() as hook:
        async with Client(gateway.port) as client:
            tenant = Tenant(client, env)
            topic = await tenant.topic()
            registration = await tenant.register(topic, url=f"{hook.url}/hook")
            await tenant.update(registration, enabled=False)
            for number in range(40):
                await tenant.publish(topic, f"order-{number}")
            enabled = await tenant.call("POST", registration.link("self") + "/challenge")
            assert enabled.json()["undelivered"]["total"] == 40
            await ok(gateway, "replay", "start", registration.id, "--rate", "3")
            await hook.until_posts(1)
            assert "state     paused" in await ok(gateway, "replay", "pause", registration.id)
            assert (await run(gateway, "replay", "show", registration.id, "--watch")).code == 1
            assert await asyncio.to_thread(gateway.stop) == 0
        await asyncio.to_thread(gateway.start)
        watched = await run(gateway, "replay", "resume", registration.id, "--watch")

        assert watched.code == 0, watched.message
        assert " of 40 sent (" in watched.message and "40 of 40 sent (100 %)" in watched.output
        assert {json.loads(post.body)["id"] for post in hook.posts} == {f"order-{number}" for number in range(40)}
        assert (await read(gateway, "undelivered", registration.id))["total"] == 0
