"""A data directory copied while events come in, and put back elsewhere; the real commands."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import Gateway
from tests.e2e.harness.http_client import Client
from tests.e2e.harness.tenant import Tenant, Topic

pytestmark = [pytest.mark.anyio, pytest.mark.on_files]  # a database has tools of its own


def eventmill(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "eventmill", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


async def publish_until(over: asyncio.Event, tenant: Tenant, topic: Topic) -> list[str]:
    taken = []
    while not over.is_set():
        taken.append(await tenant.publish(topic))
    return taken


async def test_a_copy_beside_a_running_gateway(start_gateway: StartGateway, tmp_path: Path) -> None:
    """All that was acknowledged before is in it, in its order; credentials and a reader's position are as good as on
    the original, and what was acknowledged meanwhile is there without a hole, or not yet."""
    gateway = start_gateway("--dev")
    place, data = tmp_path / "backup", tmp_path / "restored"
    async with Client(gateway.port) as client:
        tenant = Tenant(client, gateway.env())
        topic = await tenant.topic()
        journal = await tenant.register(topic)
        before = [await tenant.publish(topic) for _ in range(20)]
        page = await tenant.call("GET", f"{journal.link('rel:events')}?limit=5")
        position = page.link("next")
        over = asyncio.Event()
        publishing = asyncio.create_task(publish_until(over, tenant, topic))
        done = await asyncio.to_thread(eventmill, "backup", str(place), "--data", str(gateway.data), "--json")
        over.set()
        meanwhile = await publishing
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["sealing_key"]
        gateway.stop()
        done = await asyncio.to_thread(eventmill, "restore", str(place), "--data", str(data))
        assert "Start the gateway on it" in done.stdout, done.stderr
        again = Gateway(data, ("--dev",), port=gateway.port)
        try:
            again.start()
            found = await tenant.journal_ids(journal)
            assert found == (before + meanwhile)[: len(found)]
            assert len(found) >= len(before)
            rest = await tenant.call("GET", f"{position}&limit=1000")
            assert [entry["event"]["id"] for entry in rest.json()["events"]] == found[5:]
            later = await tenant.publish(topic)
            assert (await tenant.journal_ids(journal))[-1] == later
        finally:
            again.close()


def test_what_cannot_be_done(start_gateway: StartGateway, tmp_path: Path) -> None:
    """Each refusal names the remedy, and leaves everything as it was."""
    gateway = start_gateway("--dev")
    data, place = str(gateway.data), tmp_path / "backup"
    assert eventmill("backup", str(place), "--data", data, "--without-key").returncode == 0
    assert not (place / "seal.key").exists()
    refusals = [
        (("backup", str(place), "--data", data), "exists already"),
        (("backup", "/proc/backup", "--data", data), "name another place"),
        (("backup", str(tmp_path / "new"), "--data", str(tmp_path / "none")), "no gateway has its data"),
        (("restore", str(place), "--data", data), "name an empty directory"),
        (("restore", str(tmp_path), "--data", str(tmp_path / "none")), "is no backup"),
    ]
    for arguments, remedy in refusals:
        done = eventmill(*arguments)
        assert done.returncode == 2 and remedy in done.stderr and done.stderr.count("\n") == 1, done.stderr
    (place / "state.db").write_bytes((place / "state.db").read_bytes()[:5000])
    damaged = eventmill("restore", str(place), "--data", str(tmp_path / "none"))
    assert damaged.returncode == 2 and "damaged" in damaged.stderr
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith("gateway")) == ["backup"]
