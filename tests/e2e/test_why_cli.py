"""`eventmill explain|traces|unmatched` against a real gateway: what a stranger reads, and what a program does."""

from __future__ import annotations

import asyncio

import pytest

from tests.e2e.conftest import StartGateway
from tests.e2e.harness.commands import ok, read, run
from tests.e2e.harness.hook import Hook, always
from tests.e2e.harness.http_client import Client
from tests.e2e.harness.process import Finished
from tests.e2e.harness.tenant import Tenant, event_bytes

pytestmark = pytest.mark.anyio


@pytest.mark.slow
async def test_commands(start_gateway: StartGateway) -> None:
    """A delivered event and one that nobody was to get are explained, by either id; traces are listed, all or the
    failed ones; what cannot be answered is one line and an exit code."""
    gateway = await asyncio.to_thread(start_gateway, "--dev")
    env = await asyncio.to_thread(gateway.env)
    async with Client(gateway.port) as client, Hook(always(200)) as hook:
        tenant = Tenant(client, env)
        topic = await tenant.topic()
        assert await run(gateway, "unmatched") == Finished(0, "0 in the last 24 hours\n", "nothing to list\n")
        assert (await tenant.post_event(event_bytes(topic, "too-early", b"{}"))).status == 204
        registration = await tenant.register(topic, url=f"{hook.url}/hook", name="Stock to ERP")
        await tenant.publish(topic, "order-1")
        [post] = await hook.until_posts(1)
        settled = {"content-type": "application/json"}, {"advance_seconds": 0}
        assert (await client.call("POST", "/_dev/clock", *settled)).status == 200

        event_id = post.headers["x-adobe-event-id"]
        explained = await ok(gateway, "explain", event_id)
        assert "published as  order-1" in explained and f"Stock to ERP ({registration.id})" in explained
        assert "state         delivered" in explained and "attempt  status 200 after" in explained
        assert (await read(gateway, "explain", event_id))["registrations"][0]["state"] == "delivered"
        early = await ok(gateway, "explain", "too-early")
        assert "nobody was to get it: no registration asked" in early and "created after the event" in early
        [missed] = (await read(gateway, "unmatched"))["events"]
        assert missed["published_id"] == "too-early" and "too-early" in await ok(gateway, "unmatched")

        heading, *rows = (await ok(gateway, "traces", "Stock to ERP")).splitlines()
        assert heading.split()[0] == "TIME" and [row.split()[2] for row in rows] == ["200", "200"]
        [newest] = await read(gateway, "traces", registration.id, "--limit", "1")
        assert newest["id"] == post.headers["x-adobe-delivery-id"]
        failed = await run(gateway, "traces", "Stock to ERP", "--errors")
        assert failed == Finished(0, "", "no attempt was answered with anything but 2xx\n")

    for words, code, message in (
        (("explain", "nobody-knows"), 1, "does not exist"),
        (("traces", "Nobody"), 1, "there are:"),
        (("traces", "Stock to ERP", "--limit", "0"), 2, "--limit"),
        (("unmatched", "--limit", "1001"), 2, "--limit"),
    ):
        done = await run(gateway, *words)
        assert (done.code, done.output) == (code, "") and message in done.message
