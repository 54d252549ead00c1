"""Start, refusal to start, health and orderly end of the real process."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import socket
from pathlib import Path

import pytest

from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import Gateway, call, free_port
from tests.e2e.harness.hook import Gate, Hook, never
from tests.e2e.harness.http_client import Client
from tests.e2e.harness.process import delivery_pids, first_delivery_pids, is_running, logged, run_eventmill
from tests.e2e.harness.production import OPEN_LOOPBACK, tenants, write_bootstrap
from tests.e2e.harness.tenant import Tenant
from tests.waiting import eventually

pytestmark = pytest.mark.anyio

ENV_KEYS = [
    *("api_url", "ingress_url", "journal_url", "ims_url", "console_url", "keys_url"),
    *("ims_org_id", "consumer_org_id", "project_id", "workspace_id", "credential_id"),
    *("client_id", "client_secret", "access_token"),
]


GONE_WITHIN_S = 15
FULL = os.environ.get("EVENTMILL_E2E") == "full"
HANGING = {"EVENTMILL_WEBHOOK_TIMEOUT_S": "60", **({} if FULL else {"EVENTMILL_DRAIN_TIMEOUT_S": "1"})}
"""Attempts outlast the drain; in full that is the default one, which takes most of the time allowed."""


@pytest.fixture(params=["dev", "production"])
async def gateway(request: pytest.FixtureRequest, start_gateway: StartGateway, tmp_path: Path) -> Gateway:
    """In one process, and with delivery apart."""
    flags = ["--dev"] if request.param == "dev" else ["--bootstrap", str(write_bootstrap(tmp_path))]
    return await asyncio.to_thread(start_gateway, *flags, variables={**OPEN_LOOPBACK, **HANGING})


async def test_sigterm_lets_attempts_finish(start_gateway: StartGateway, tmp_path: Path) -> None:
    """An attempt under way at SIGTERM ends normally and is not repeated after the restart; the exit code is 0."""
    gateway = await asyncio.to_thread(
        start_gateway, "--bootstrap", str(write_bootstrap(tmp_path)), variables=OPEN_LOOPBACK
    )
    env = await asyncio.to_thread(gateway.env)
    gate = Gate()
    async with Client(gateway.port) as client, Hook(gate) as hook:
        tenant = Tenant(client, env)
        topic = await tenant.topic()
        await tenant.register(topic, url=f"{hook.url}/hook")
        held = await tenant.publish(topic)
        await hook.until_posts(1)
        stopping = asyncio.create_task(asyncio.to_thread(gateway.stop))
        await eventually(lambda: logged(gateway, "gateway_draining"), "the start of the drain")
        gate.opened.set()
        assert await stopping == 0
        assert logged(gateway, "gateway_stopped")

        await asyncio.to_thread(gateway.start)
        last = await tenant.publish(topic)
        await hook.until_posts(2)
        assert [json.loads(post.body)["id"] for post in hook.posts] == [held, last]


async def test_sigterm_is_not_held_up(gateway: Gateway) -> None:
    """Neither a silent endpoint nor a client stuck in its request keeps the process; the event comes again."""
    env = await asyncio.to_thread(gateway.env)
    async with Client(gateway.port) as client, Hook(never) as hook:
        tenant = Tenant(client, env)
        topic = await tenant.topic()
        await tenant.register(topic, url=f"{hook.url}/hook")
        event_id = await tenant.publish(topic)
        await hook.until_posts(1)
        with socket.create_connection(("127.0.0.1", gateway.port)) as hanging:
            hanging.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nonly the begin")
            assert await asyncio.wait_for(asyncio.to_thread(gateway.stop), GONE_WITHIN_S) == 0

        for pid in delivery_pids(gateway):
            assert not is_running(pid)
        await asyncio.to_thread(gateway.start)
        await hook.until_posts(2)
        assert [json.loads(post.body)["id"] for post in hook.posts] == [event_id, event_id]


def test_stop_while_still_starting(start_gateway: StartGateway, tmp_path: Path) -> None:
    """A delivery process that is only just coming up hears of the stop too; nobody waits for the end of the drain."""
    longer_than_allowed = {"EVENTMILL_DRAIN_TIMEOUT_S": "60"}
    gateway = start_gateway("--bootstrap", str(write_bootstrap(tmp_path)), variables=longer_than_allowed)

    assert gateway.stop() == 0, "it was ended by force"


async def test_children_end_with_the_front(start_gateway: StartGateway, tmp_path: Path) -> None:
    """A front that is killed alone takes its delivery process with it, so that a restart finds nothing in its way."""
    gateway = await asyncio.to_thread(start_gateway, "--bootstrap", str(write_bootstrap(tmp_path)))
    pids = await eventually(lambda: first_delivery_pids(gateway), "the delivery process")
    gateway.kill_front()
    await eventually(lambda: not any(map(is_running, pids)), "the end of the delivery process")
    await asyncio.to_thread(gateway.start)


async def test_health(gateway: Gateway) -> None:
    """`/healthz` and `/readyz` answer without a token, with a request id; unknown paths say so."""
    async with Client(gateway.port) as client:
        for path in ("/healthz", "/readyz"):
            answer = await client.call("GET", path)
            assert answer.status == 200
            assert len(answer.header("x-request-id")) == 32
        unknown = await client.call("GET", "/nowhere")
        assert (unknown.status, unknown.json()["reason"]) == (404, "not_found")


@pytest.mark.on_files  # a database is for many
def test_second_gateway_on_the_same_directory(start_gateway: StartGateway, tmp_path: Path) -> None:
    """It names the directory and leaves; the first one goes on."""
    first = start_gateway("--dev")
    second = run_eventmill("serve", "--dev", "--data", str(first.data), "--port", str(free_port()), directory=tmp_path)

    assert second.code == 2
    assert str(first.data) in second.message
    assert "Traceback" not in second.message
    assert call("GET", f"{first.url}/readyz").status == 200


def test_port_in_use(tmp_path: Path) -> None:
    """It names the port and leaves, and has not taken the data directory with it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = run_eventmill("serve", "--dev", "--data", "data", "--port", port, directory=tmp_path)

    assert refused.code == 2
    assert port in refused.message
    assert "Traceback" not in refused.message


def test_production_without_tenants(start_gateway: StartGateway, tmp_path: Path) -> None:
    """A first start outside dev mode makes up no tenant; its log and `eventmill env` say how they are made."""
    gateway = start_gateway()

    assert logged(gateway, "tenants_missing")
    assert logged(gateway, "--bootstrap")
    asked = run_eventmill("env", "--data", str(gateway.data), directory=tmp_path)
    assert asked.code == 2
    assert "--bootstrap" in asked.message
    headers = {"authorization": "Bearer x", "x-api-key": "x"}
    assert call("GET", f"{gateway.url}/events/providermetadata", headers).status == 401


@pytest.mark.slow
def test_bootstrap(start_gateway: StartGateway, tmp_path: Path) -> None:
    """Ids and secrets are the file's; the same file again changes nothing, a contradicting one stops the start."""
    bootstrap = write_bootstrap(tmp_path)
    gateway = start_gateway("--bootstrap", str(bootstrap))
    first = gateway.env()
    assert {name: first[name] for name in ENV_KEYS[6:13]} == {
        "ims_org_id": "0123456789ABCDEF01234567@AdobeOrg",
        "consumer_org_id": "1001",
        "project_id": "2001",
        "workspace_id": "3001",
        "credential_id": "4001",
        "client_id": "a" * 32,
        "client_secret": "p8e-secret-of-the-first",
    }
    second = gateway.env("--workspace", "3002")
    assert (second["workspace_id"], second["client_id"], second["client_secret"]) == (
        "3002",
        "b" * 32,
        "p8e-secret-of-the-second",
    )
    assert gateway.stop() == 0
    gateway.start()
    again = gateway.env()
    assert {**again, "access_token": ""} == {**first, "access_token": ""}
    assert gateway.stop() == 0

    write_bootstrap(tmp_path, tenants(client_secret="p8e-another"))
    where = ("--data", str(gateway.data), "--port", str(gateway.port))
    refused = run_eventmill("serve", "--bootstrap", str(bootstrap), *where, directory=tmp_path)
    assert refused.code == 2
    assert "4001" in refused.message
    assert "p8e-" not in refused.message
    assert "Traceback" not in refused.message

    gateway.flags = ()
    gateway.start()
    assert gateway.env()["client_secret"] == "p8e-secret-of-the-first"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{not json", "bootstrap.json"),
        ('{"organizations":[{"id":"1001"}]}', "ims_org_id"),
    ],
)
def test_unusable_bootstrap(tmp_path: Path, content: str, said: str) -> None:
    """A file that cannot be used stops the start with a message about it, and leaves no data directory behind."""
    (tmp_path / "bootstrap.json").write_text(content)
    arguments = ("serve", "--bootstrap", "bootstrap.json", "--data", "data", "--port", str(free_port()))
    refused = run_eventmill(*arguments, directory=tmp_path)

    assert refused.code == 2
    assert said in refused.message
    assert "Traceback" not in refused.message
    assert not (tmp_path / "data").exists()


def test_a_misspelt_variable_is_said(start_gateway: StartGateway) -> None:
    """It stops nothing, and the log names it with the setting that was probably meant."""
    gateway = start_gateway("--dev", variables={"EVENTMILL_WEBHOOK_TIMEOUT": "5"})

    assert logged(gateway, "setting_unknown")
    assert logged(gateway, "EVENTMILL_WEBHOOK_TIMEOUT_S")


def test_env_outputs(start_gateway: StartGateway, tmp_path: Path) -> None:
    """Shell exports and one JSON object of the same values, whose token the gateway takes in strict mode."""
    gateway = start_gateway("--dev", "--auth", "strict")
    values = gateway.env()
    assert list(values) == ENV_KEYS
    assert {values[name] for name in ("api_url", "ims_url", "console_url", "journal_url")} == {gateway.url}
    headers = {"authorization": f"Bearer {values['access_token']}", "x-api-key": values["client_id"]}
    assert call("GET", f"{values['api_url']}/events/providermetadata", headers).status == 200
    headers["authorization"] += "x"
    assert call("GET", f"{values['api_url']}/events/providermetadata", headers).status == 401

    where = ("--data", str(gateway.data), "--port", str(gateway.port))
    shell = run_eventmill("env", *where, directory=tmp_path)
    assert shell.code == 0
    exported = dict(shlex.split(line.removeprefix("export "))[0].split("=", 1) for line in shell.output.splitlines())
    lower = {name.lower(): value for name, value in exported.items()}
    assert list(lower) == ENV_KEYS
    assert {**lower, "access_token": ""} == {**values, "access_token": ""}

    unknown = run_eventmill("env", *where, "--workspace", "9999", directory=tmp_path)
    assert unknown.code == 2
    assert "9999" in unknown.message


def test_env_without_a_gateway(tmp_path: Path) -> None:
    """Nothing was ever started there: the message says what to do, and no directory is made."""
    refused = run_eventmill("env", "--data", "data", directory=tmp_path)

    assert refused.code == 2
    assert "eventmill serve" in refused.message
    assert not (tmp_path / "data").exists()
