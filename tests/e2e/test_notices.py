"""Mails about failing webhooks with real processes: dev mode's mailbox along the virtual clock, and production with a
real mail server."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import Gateway
from tests.e2e.harness.hook import Hook, always
from tests.e2e.harness.http_client import Client
from tests.e2e.harness.process import run_eventmill
from tests.e2e.harness.production import NO_LIMITS, OPEN_LOOPBACK, write_bootstrap
from tests.e2e.harness.tenant import Tenant
from tests.http.mail_server import PASSWORD, USER, Mails, mail_server
from tests.waiting import eventually

pytestmark = pytest.mark.anyio

DAY_S = 86_400


async def command(gateway: Gateway, *words: str) -> str:
    """What `eventmill` prints."""
    where = ("--data", str(gateway.data), "--port", str(gateway.port))
    done = await asyncio.to_thread(lambda: run_eventmill(*words, *where, directory=gateway.data.parent))
    assert done.code == 0, done.message
    return done.output


async def advance(client: Client, seconds: float) -> None:
    answer = await client.call(
        "POST", "/_dev/clock", {"content-type": "application/json"}, {"advance_seconds": seconds}
    )
    assert answer.status == 200, answer.body


@pytest.mark.on_files  # the mailbox is in the memory of the node that judges
@pytest.mark.slow
async def test_the_mailbox_along_the_clock(start_gateway: StartGateway) -> None:
    """Ten failures: a mail; a day later the second one. A paused project gets none, and a reset empties the mailbox."""
    gateway = await asyncio.to_thread(start_gateway, "--dev")
    env = await asyncio.to_thread(gateway.env)
    async with Client(gateway.port) as client, Hook(always(503)) as hook:
        tenant = Tenant(client, env)
        topic = await tenant.topic()
        await tenant.register(topic, url=f"{hook.url}/hook")

        async def mailed() -> list[str]:
            mails = (await client.call("GET", "/_dev/mailbox", {})).json()
            return [each["subject"].rsplit(" ", 1)[1] for each in mails]

        for _ in range(10):
            await tenant.publish(topic)
        await advance(client, 0)
        assert await mailed() == ["UNSTABLE"]
        await advance(client, DAY_S + 60)
        assert await mailed() == ["HOOK_UNREACHABLE", "UNSTABLE"]
        newest = (await client.call("GET", "/_dev/mailbox", {})).json()[0]
        shown = await client.call("GET", newest["href"].removeprefix(gateway.url), {"accept": "text/html"})
        assert shown.status == 200 and shown.body.startswith(b"<!DOCTYPE html>")
        assert b"HOOK_UNREACHABLE (Disabled)" in shown.body

        assert "paused" in await command(gateway, "project", "update", env["project_id"], "--pause-notices")
        await tenant.register(topic, url=f"{hook.url}/other")
        for _ in range(10):
            await tenant.publish(topic)
        await advance(client, 0)
        assert len(await mailed()) == 2
        assert (await client.call("POST", "/_dev/reset", {})).status == 204
        assert await mailed() == []


def settings(mails: Mails) -> dict[str, str]:
    return {
        **OPEN_LOOPBACK,
        **NO_LIMITS,
        "EVENTMILL_SMTP_HOST": "127.0.0.1",
        "EVENTMILL_SMTP_PORT": str(mails.port),
        "EVENTMILL_SMTP_TLS": "off",
        "EVENTMILL_SMTP_USER": USER,
        "EVENTMILL_SMTP_PASSWORD": PASSWORD,
        "EVENTMILL_MAIL_FROM": "events@gw.example",
        "EVENTMILL_NOTICE_RECIPIENTS": "operator@gw.example",
    }


@pytest.mark.slow
async def test_production(start_gateway: StartGateway, tmp_path: Path) -> None:
    """Deliveries fail in a child, the front judges and mails, once over a restart; recipients are set at run time."""
    bootstrap = ("--bootstrap", str(write_bootstrap(tmp_path)))
    async with mail_server(needs_auth=True) as mails, Hook(always(404)) as hook:
        gateway = await asyncio.to_thread(lambda: start_gateway(*bootstrap, variables=settings(mails)))
        env = await asyncio.to_thread(gateway.env)
        async with Client(gateway.port) as client:
            tenant = Tenant(client, env)
            topic = await tenant.topic()
            registration = await tenant.register(topic, url=f"{hook.url}/first")
            for _ in range(10):
                await tenant.publish(topic)
            await eventually(lambda: len(mails.received) >= 1, "the first mail")
            received: Any = mails.received[0]
            assert (received.recipients, received.user) == (["operator@gw.example"], USER)
            assert registration.link("self") in received.message.get_body(("plain",)).get_content()

            assert await asyncio.to_thread(gateway.stop) == 0
            await asyncio.to_thread(gateway.start)
            shown = await command(gateway, "org", "update", "Acme", "--notice-recipient", "ops@acme.example")
            assert "ops@acme.example" in shown
            await tenant.register(topic, url=f"{hook.url}/second")
            for _ in range(10):
                await tenant.publish(topic)
            await eventually(lambda: len(mails.received) >= 2, "the second mail")
            assert [each.recipients for each in mails.received] == [["operator@gw.example"], ["ops@acme.example"]]
            assert "notices to" not in await command(gateway, "org", "update", "Acme", "--no-notice-recipients")
        assert PASSWORD not in gateway.log_tail()
        assert "notice_mailed" in gateway.log_tail()
