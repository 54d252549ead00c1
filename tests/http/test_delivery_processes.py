"""`supervise` and `delivery_process`: what happens when a child cannot start, or breaks off."""

from __future__ import annotations

import asyncio
import base64
import socket
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from eventmill import supervise
from eventmill.delivery_process import deliver_until_lost
from eventmill.flow.keyring import ensure_keys
from eventmill.model import OrgId
from eventmill.store.control import Create
from eventmill.supervise import DeliveryChildren
from eventmill.testing import receiving
from tests.http.delivery import Hook
from tests.http.world import SEALER, running
from tests.waiting import eventually

pytestmark = pytest.mark.anyio

TEST_SEAL_KEY = base64.b64encode(bytes(32)).decode()


async def test_a_child_that_cannot_be_started_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Publishing must go on when there is no memory or process to be had for delivery; the log says what is wrong."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "missing"))
    async with running(tmp_path, delivery_processes=1) as world:
        children = DeliveryChildren(world.engine, world.parts.config)
        with capture_logs() as logs:
            supervising = asyncio.create_task(children.run())
            await eventually(lambda: len(logs) == 2, "two log lines")
            assert not supervising.done()
            await children.stop()
            await supervising

    assert [entry["event"] for entry in logs] == ["delivery_exited", "delivery_exited"]
    assert [entry["restart_in_s"] for entry in logs] == [0.2, 0.4]
    assert all("missing" in entry["cause"] for entry in logs)


async def test_a_child_that_hangs_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that gives no sign of life would keep its registrations waiting for ever: it is killed, and replaced."""
    hanging = tmp_path / "hanging"
    hanging.write_text("#!/bin/sh\nexec sleep 1000\n")
    hanging.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(hanging))
    monkeypatch.setattr(supervise, "BEAT_S", 0.02)
    async with running(tmp_path, delivery_processes=1) as world:
        children = DeliveryChildren(world.engine, world.parts.config)
        with capture_logs() as logs:
            supervising = asyncio.create_task(children.run())
            await eventually(lambda: [entry for entry in logs if entry["event"] == "delivery_exited"], "its end")
            await children.stop()
            await supervising

    assert [entry["event"] for entry in logs][:3] == ["delivery_started", "delivery_silent", "delivery_exited"]
    assert logs[2]["code"] == -9


async def test_a_child_that_breaks_off_says_why(tmp_path: Path) -> None:
    """An unforeseen error in delivery ends the process with a failure and its traceback, never silently."""
    hook = Hook()
    open_loopback = {"webhook_allow_http": True, "webhook_allow_cidrs": ("127.0.0.0/8",)}
    async with (
        running(tmp_path, delivery_processes=1, seal_key=TEST_SEAL_KEY, **open_loopback) as world,
        receiving(hook.behave) as receiver,
    ):
        await ensure_keys(world.store, SEALER, world.parts.clock, world.parts.ids)
        topic = await world.topic()
        await world.register(topic, webhook_url=receiver.url)
        await world.publish(topic)
        ours, theirs = socket.socketpair()
        world.engine.attach_child(ours, 0, 1)
        with capture_logs() as logs:
            delivering = asyncio.create_task(deliver_until_lost(world.parts.config, theirs))
            await hook.until("/hook", 1)
            await world.store.write([Create("registration", OrgId("1001"), "unreadable", b"no JSON")])
            assert await delivering is False

    failures = [entry for entry in logs if entry["log_level"] == "critical"]
    assert [(entry["event"], entry["stage"]) for entry in failures] == [("stage_failed", "delivery")]
