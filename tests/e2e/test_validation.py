"""Asynchronous validation against a real gateway: links that people open, across crashes, clocks and processes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import Gateway
from tests.e2e.harness.hook import Hook, Received, Reply, always
from tests.e2e.harness.http_client import Client
from tests.e2e.harness.production import OPEN_LOOPBACK, write_bootstrap
from tests.e2e.harness.tenant import Registration, Tenant
from tests.waiting import eventually

pytestmark = pytest.mark.anyio

WINDOW_S = 300


def silent_hook() -> Hook:
    """A webhook that knows nothing of challenges: its answer to every GET is a page, to every POST 200."""
    hook = Hook()
    hook.challenge_answer = always(200, ("content-type", "text/html"), body=b"<html>It works</html>")
    return hook


def offers(hook: Hook) -> list[str]:
    """The links it was offered."""
    probes = [post for post in hook.posts if post.headers["x-adobe-event-code"] == "challenge"]
    return [str(json.loads(post.body)["validationUrl"]) for post in probes]


def deliveries(hook: Hook) -> list[Received]:
    return [post for post in hook.posts if post.headers["x-adobe-event-code"] != "challenge"]


async def state(tenant: Tenant, registration: Registration) -> tuple[str, bool]:
    body = (await tenant.call("GET", registration.link("self"))).json()
    return body["webhook_status"], body["enabled"]


async def advance(tenant: Tenant, seconds: float) -> None:
    answer = await tenant.client.call(
        "POST", "/_dev/clock", {"content-type": "application/json"}, {"advance_seconds": seconds}
    )
    assert answer.status == 200, answer.body


async def restart(gateway: Gateway) -> None:
    """After a crash."""
    await asyncio.to_thread(gateway.kill)
    await asyncio.to_thread(gateway.start)


async def test_link_survives_a_crash(gateway: Gateway, env: dict[str, str]) -> None:
    """Offered, killed, restarted, opened: verified, and sent what is published from then on. Both probes are traced,
    and neither shows the secret."""
    async with Client(gateway.port) as client, silent_hook() as hook:
        tenant = Tenant(client, env)
        topic = await tenant.topic()
        registration = await tenant.register(topic, url=f"{hook.url}/hook")
        assert (registration.body["webhook_status"], registration.body["enabled"]) == ("accepted", True)
        [link] = offers(hook)
        early = await tenant.publish(topic)
        await restart(gateway)

        assert await state(tenant, registration) == ("accepted", True)
        assert (await client.call("HEAD", link)).status == 200
        assert (await client.call("GET", link)).status == 200
        assert await state(tenant, registration) == ("verified", True)
        assert (await client.call("GET", link)).status == 410
        late = await tenant.publish(topic)
        await hook.until(lambda: len(deliveries(hook)) >= 1)
        await advance(tenant, 1)
        assert [json.loads(post.body)["id"] for post in deliveries(hook)] == [late]
        assert await tenant.journal_ids(registration) == [early, late]

        traces = [trace for trace in await tenant.traces(registration) if trace["event"] == "challenge"]
        secret = parse_qs(urlsplit(link).query)["challenge"][0]
        assert secret not in json.dumps(traces)
        assert [check_probe(trace) for trace in traces] == ["POST", "GET"]
        body = json.loads(traces[0]["trace"]["tracingRequest"]["requestBody"])
        shown = f"XXXXXXXX-XXXX-XXXX-XXXX-XXXXXXXX{secret[-4:]}"
        assert body == {"validationUrl": link.replace(secret, shown)}


def check_probe(trace: dict[str, Any]) -> str:
    """Its method; provider and event are those that the tracing page names."""
    [insight] = trace["trace"]["insightsInfo"]
    assert (insight["providerName"], insight["eventCode"]) == ("Adobe IO Events", "Challenge Probe")
    return str(trace["trace"]["tracingRequest"]["requestMethod"])


async def test_window_spans_restarts_and_advances(gateway: Gateway, env: dict[str, str]) -> None:
    """The five minutes go on where they were; a fast clock does not shorten them; over them, the registration is
    disabled by the advance itself."""
    async with Client(gateway.port) as client, silent_hook() as hook:
        tenant = Tenant(client, env)
        topic = await tenant.topic()
        await client.call("POST", "/_dev/clock", {"content-type": "application/json"}, {"rate": 100_000})
        await client.call("POST", "/_dev/clock", {"content-type": "application/json"}, {"rate": 1})
        first = await tenant.register(topic, url=f"{hook.url}/first")
        await advance(tenant, WINDOW_S - 150)
        await restart(gateway)
        second = await tenant.register(topic, url=f"{hook.url}/second")
        await advance(tenant, 100)
        assert [await state(tenant, each) for each in (first, second)] == [("accepted", True)] * 2
        await advance(tenant, 51)
        assert await state(tenant, first) == ("verification_failed", False)
        assert await state(tenant, second) == ("accepted", True)
        first_link, second_link = offers(hook)
        assert (await client.call("GET", first_link)).status == 410
        assert (await client.call("GET", second_link)).status == 200
        await advance(tenant, 24 * 3600)
        assert await state(tenant, second) == ("verified", True)


async def test_expired_while_down(start_gateway: StartGateway) -> None:
    """Nobody advances anything: the timer fails what ran out, also what ran out while the gateway was not there."""
    gateway = await asyncio.to_thread(start_gateway, "--dev", variables={"EVENTMILL_VALIDATION_WINDOW_S": "1"})
    env = await asyncio.to_thread(gateway.env)
    async with Client(gateway.port) as client, silent_hook() as hook:
        tenant = Tenant(client, env)
        registration = await tenant.register(await tenant.topic(), url=f"{hook.url}/hook")
        await restart(gateway)

        async def has_failed() -> bool:
            return await state(tenant, registration) == ("verification_failed", False)

        await eventually(has_failed, "the expiry")
        [link] = offers(hook)
        assert (await client.call("GET", link)).status == 410


async def test_hook_that_opens_its_own_link(gateway: Gateway, env: dict[str, str]) -> None:
    """Before it answers the offer: then the creation answers `verified`, and the very next event is delivered."""
    async with Client(gateway.port) as client, silent_hook() as hook:
        tenant = Tenant(client, env)

        async def open_link(request: Received) -> Reply:
            if request.headers["x-adobe-event-code"] == "challenge":
                async with Client(gateway.port) as own:
                    await own.call("GET", json.loads(request.body)["validationUrl"])
            return Reply(200)

        hook.answer = open_link
        topic = await tenant.topic()
        registration = await tenant.register(topic, url=f"{hook.url}/hook")
        assert (registration.body["webhook_status"], registration.body["enabled"]) == ("verified", True)
        await tenant.publish(topic)
        await hook.until(lambda: len(deliveries(hook)) >= 1)


async def test_killed_during_the_offer(gateway: Gateway, env: dict[str, str]) -> None:
    """The caller got no answer, but the webhook has its link: it was stored before it was sent, and is good."""
    async with Client(gateway.port) as client, silent_hook() as hook:
        tenant = Tenant(client, env)
        topic = await tenant.topic()
        released = asyncio.Event()

        async def hold(_request: Received) -> Reply:
            await released.wait()
            return Reply(200)

        hook.answer = hold
        creating = asyncio.create_task(
            tenant.call("POST", f"{tenant.workspace}/registrations", tenant.registration_body([topic], hook.url))
        )
        await hook.until_posts(1)
        await restart(gateway)
        with pytest.raises(ConnectionError):
            await creating
        released.set()
        [link] = offers(hook)
        assert (await client.call("GET", link)).status == 200
        hook.answer = always(200)
        await tenant.publish(topic)
        await hook.until(lambda: len(deliveries(hook)) >= 1)


async def test_delivery_processes_learn_of_it(start_gateway: StartGateway, tmp_path: Path) -> None:
    """In production a link opened at the front starts the lane in its delivery process; the call to challenge again
    closes it until the next link is opened."""
    bootstrap = str(write_bootstrap(tmp_path))
    gateway = await asyncio.to_thread(start_gateway, "--bootstrap", bootstrap, variables=OPEN_LOOPBACK)
    env = await asyncio.to_thread(gateway.env)
    async with Client(gateway.port) as client, silent_hook() as hook:
        tenant = Tenant(client, env)
        topic = await tenant.topic()
        registration = await tenant.register(topic, url=f"{hook.url}/hook")
        published = []
        for count in (1, 2):
            await tenant.publish(topic)
            assert (await client.call("GET", offers(hook)[-1])).status == 200
            published.append(await tenant.publish(topic))
            await hook.until(lambda count=count: len(deliveries(hook)) >= count)  # type: ignore[misc]
            again = await tenant.call("POST", f"{registration.link('self')}/challenge")
            assert (again.status, again.json()["webhook_status"]) == (200, "accepted")
        assert [json.loads(post.body)["id"] for post in deliveries(hook)] == published
