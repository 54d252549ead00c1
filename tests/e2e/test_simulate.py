"""`eventmill simulate` against a real gateway: what it publishes arrives, the same each time, and slips are told."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import Gateway, free_port
from tests.e2e.harness.engines import store_variables
from tests.e2e.harness.http_client import Client
from tests.e2e.harness.process import ENDS_WITHIN_S, Finished, run_eventmill
from tests.e2e.harness.tenant import Registration, Tenant, Topic
from tests.waiting import eventually

pytestmark = pytest.mark.anyio

START = "2026-03-01T10:00:00Z"
EIGHT = {
    "com.adobe.experience-platform.dataset-ingestion": "ff15757e-dc59-543c-b3ef-25a3025279cd",
    "com.adobe.experience-platform.profile-update": "ff15757e-dc59-543c-b3ef-25a3025279cd",
    "com.adobe.experience-platform.segment-evaluation": "ff15757e-dc59-543c-b3ef-25a3025279cd",
    "com.adobe.analytics.report-suite-change": "2aecfc2e-95ef-58c3-82f5-956a7650b1ec",
    "com.adobe.campaign.delivery-status": "bfcd03aa-b321-56f9-ba35-eb1700c06ffc",
    "com.adobe.campaign.workflow-execution": "bfcd03aa-b321-56f9-ba35-eb1700c06ffc",
    "com.adobe.target.activity-state-change": "9e827682-ba57-5a41-ac4d-5b9a2bd40566",
    "com.adobe.journey-optimizer.journey-step": "6accdb9b-3e10-5ee1-bd95-0846864ea57a",
}


@pytest.fixture(scope="module")
def gateway(start_shared_gateway: StartGateway) -> Gateway:
    return start_shared_gateway("--dev")


@pytest.fixture(scope="module")
def env(gateway: Gateway) -> dict[str, str]:
    return gateway.env()


def where(gateway: Gateway) -> list[str]:
    return ["--data", str(gateway.data), "--port", str(gateway.port)]


async def simulate(gateway: Gateway, *arguments: str) -> Finished:
    """Run the command to its end, beside the test's own connections."""
    command = ("simulate", *arguments, *where(gateway))
    return await asyncio.to_thread(run_eventmill, *command, directory=gateway.data.parent)


@asynccontextmanager
async def subscribed(tenant: Tenant, codes: Iterable[str] = EIGHT) -> AsyncIterator[Registration]:
    """A registration with a journal; gone afterwards, for the tests that share the gateway."""
    registration = await tenant.register(*(Topic(EIGHT[code], code) for code in codes))
    yield registration
    await tenant.delete(registration)


async def received(tenant: Tenant, registration: Registration) -> list[dict[str, Any]]:
    """What the publishers said, oldest first."""
    return [entry["event"] for entry in await tenant.journal(registration)]


async def test_what_is_published_arrives(gateway: Gateway, env: dict[str, str]) -> None:
    """The summary's counts are the journal's, channel by channel; every event names its code in its header."""
    async with Client(gateway.port) as client, subscribed(Tenant(client, env)) as registration:
        done = await simulate(gateway, "--count", "300", "--rate", "0", "--seed", "7", "--json")

        assert done.code == 0, done.message
        summary = json.loads(done.output)
        found = Counter(event["header"]["eventType"] for event in await received(Tenant(client, env), registration))
    told = {f"com.adobe.{name.replace('/', '.')}": counts for name, counts in summary["channels"].items()}
    assert {code: counts["published"] for code, counts in told.items()} == found
    assert told.keys() == EIGHT.keys()
    assert (summary["published"], summary["unsubscribed"], summary["refused"]) == (300, 0, 0)
    assert summary["organization"] == env["ims_org_id"]


async def test_the_same_seed_and_start_give_the_same_events(gateway: Gateway, env: dict[str, str]) -> None:
    """Two runs into two journals: the same events, and those of each story in the same order."""
    runs = []
    async with Client(gateway.port) as client:
        tenant = Tenant(client, env)
        for _ in range(2):
            async with subscribed(tenant) as registration:
                done = await simulate(gateway, "--count", "120", "--rate", "0", "--seed", "7", "--start", START)
                assert done.code == 0, done.message
                runs.append(await received(tenant, registration))

    first, second = ([json.dumps(event, sort_keys=True) for event in run] for run in runs)
    assert len(first) == 120
    assert sorted(first) == sorted(second)
    for run in runs:
        entered: set[tuple[str, str]] = set()
        for event in run:
            if event["header"]["eventType"] == "com.adobe.journey-optimizer.journey-step":
                step = event["body"]["profileId"], event["body"]["stepId"]
                if event["body"]["stepStatus"] == "entered":
                    entered.add(step)
                assert step in entered


async def test_a_family_of_channels(gateway: Gateway, env: dict[str, str]) -> None:
    """`campaign` is both channels of Campaign and nothing else; whoever subscribes to one gets that one."""
    async with (
        Client(gateway.port) as client,
        subscribed(Tenant(client, env), ["com.adobe.campaign.workflow-execution"]) as registration,
    ):
        done = await simulate(gateway, "campaign", "--count", "40", "--rate", "0", "--seed", "7", "--json")

        summary = json.loads(done.output)
        assert summary["channels"].keys() == {"campaign/delivery-status", "campaign/workflow-execution"}
        assert summary["unsubscribed"] == summary["channels"]["campaign/delivery-status"]["unsubscribed"]
        found = await received(Tenant(client, env), registration)
        assert len(found) == summary["published"] == 40 - summary["unsubscribed"]


async def test_the_table(gateway: Gateway) -> None:
    """Without a terminal there is no progress bar, only the summary: aligned, and with a hint when nobody listens."""
    done = await simulate(gateway, "target", "analytics", "--count", "5", "--rate", "0")

    assert (done.code, done.message) == (0, "")
    table = done.output.splitlines()[:4]
    assert [line.split()[0] for line in table[1:]] == [
        "analytics/report-suite-change",
        "target/activity-state-change",
        "all",
    ]
    assert len({len(line) for line in table}) == 1
    assert "docs/simulate.md" in done.output


async def test_a_throttled_run_waits(start_gateway: StartGateway) -> None:
    """429 is no loss: the simulator comes back when it was told to, and says so."""
    slow = {"EVENTMILL_PUBLISH_REQUESTS_PER_5S": "20"}
    gateway = await asyncio.to_thread(start_gateway, "--dev", variables=slow)

    done = await simulate(gateway, "--count", "22", "--rate", "0")

    assert done.code == 0, done.message
    assert "to be called later" in done.output


async def start(gateway: Gateway, *arguments: str) -> asyncio.subprocess.Process:
    """The command, running; ends with the gateway at the latest."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "eventmill", "simulate", *arguments, *where(gateway)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **store_variables(str(gateway.data))},
    )


async def test_ctrl_c_ends_with_the_summary(gateway: Gateway, env: dict[str, str]) -> None:
    """An endless run is ended by hand; what it says it published has been."""
    async with Client(gateway.port) as client, subscribed(Tenant(client, env)) as registration:
        process = await start(gateway, "--count", "0", "--rate", "200", "--json")
        await eventually(lambda: received(Tenant(client, env), registration), "the first events")
        process.send_signal(signal.SIGINT)
        output, message = await asyncio.wait_for(process.communicate(), ENDS_WITHIN_S)

        assert (process.returncode, message) == (130, b"")
        summary = json.loads(output)
        assert summary["ended"] == "interrupted"
        assert len(await received(Tenant(client, env), registration)) == summary["published"]


async def test_a_client_may_not_publish_for_built_in_providers(gateway: Gateway, env: dict[str, str]) -> None:
    """With the token of a credential the first refusal ends the run, and says why."""
    where_to = ("--url", gateway.url, "--token", env["access_token"])
    done = await asyncio.to_thread(run_eventmill, "simulate", "--rate", "0", *where_to, directory=gateway.data.parent)

    assert done.code == 1
    assert "operator" in done.message
    assert "Traceback" not in done.message


async def test_an_unknown_organization(gateway: Gateway, env: dict[str, str]) -> None:
    """The message lists those there are."""
    done = await simulate(gateway, "--org", "9999")

    assert done.code == 2
    assert "9999" in done.message and env["ims_org_id"] in done.message


def test_an_unknown_channel(tmp_path: Path) -> None:
    """The message lists the known ones, and no gateway is needed for that."""
    done = run_eventmill("simulate", "campaign/delivery", directory=tmp_path)

    assert done.code == 2
    assert "'campaign/delivery'" in done.message
    assert done.message.count("\n  ") == len(EIGHT)
    assert list(tmp_path.iterdir()) == []


def test_no_gateway_was_ever_started_here(tmp_path: Path) -> None:
    """The message says how to start one."""
    done = run_eventmill("simulate", "--data", "data", directory=tmp_path)

    assert done.code == 2
    assert "eventmill serve" in done.message
    assert list(tmp_path.iterdir()) == []


def test_the_gateway_does_not_run(gateway: Gateway, tmp_path: Path) -> None:
    """Its data is there, but nothing answers at its port: the message names the address and the remedy."""
    port = str(free_port())

    done = run_eventmill("simulate", "--data", str(gateway.data), "--port", port, directory=tmp_path)

    assert done.code == 2
    assert f"127.0.0.1:{port}" in done.message and "eventmill serve" in done.message


@pytest.mark.slow
async def test_the_gateway_goes_away(start_gateway: StartGateway) -> None:
    """The run ends with what it has done so far and exit code 1."""
    gateway = await asyncio.to_thread(start_gateway, "--dev")
    tenant_env = await asyncio.to_thread(gateway.env)
    async with Client(gateway.port) as client:
        tenant = Tenant(client, tenant_env)
        code = "com.adobe.experience-platform.profile-update"
        registration = await tenant.register(Topic(EIGHT[code], code))
        process = await start(gateway, "experience-platform", "--count", "0", "--rate", "200")
        await eventually(lambda: received(tenant, registration), "the first events")
        await asyncio.to_thread(gateway.kill)
        output, message = await asyncio.wait_for(process.communicate(), ENDS_WITHIN_S)

    assert process.returncode == 1
    assert b"published" in output
    assert b"nothing answers" in message and b"Traceback" not in message
