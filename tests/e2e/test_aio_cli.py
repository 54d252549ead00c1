"""The official `aio` command line, unchanged from npm, against a real gateway through `eventmill proxy`."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import Gateway
from tests.e2e.harness.aio import AIO, YAML, Aio, proxy
from tests.e2e.harness.fidelity import Suite, check_fidelity, npm_package
from tests.e2e.harness.hook import Hook
from tests.e2e.harness.http_client import Client
from tests.e2e.harness.process import run_eventmill
from tests.e2e.harness.tenant import Tenant

pytestmark = pytest.mark.anyio

CLI = npm_package(AIO, "@adobe/aio-cli")
EVENTS_PLUGIN = npm_package(AIO, "@adobe/aio-cli-plugin-events")
EVENT_CODE = "com.acme.stock.low"
SURE = (("irreversible", "y"),)


@pytest.fixture(scope="module")
def gateway(start_shared_gateway: StartGateway) -> Gateway:
    """Tokens are checked here as they are in production."""
    return start_shared_gateway("--dev", "--auth", "strict")


@pytest.fixture(scope="module")
def proxy_port(gateway: Gateway) -> Iterator[int]:
    with proxy(gateway) as port:
        yield port


@pytest.fixture
def variables(gateway: Gateway, proxy_port: int) -> dict[str, str]:
    """What `eventmill env --aio` sets."""
    return gateway.env("--aio", "--proxy-port", str(proxy_port))


@pytest.fixture
def aio(gateway: Gateway, variables: Mapping[str, str], tmp_path: Path) -> Aio:
    """The command line of somebody whose configuration `eventmill aio-config` wrote."""
    where = ("--data", str(gateway.data), "--write", str(tmp_path / "aio"))
    written = run_eventmill("aio-config", *where, directory=tmp_path)
    assert written.code == 0, written.message
    return Aio(tmp_path, variables)


async def in_all_formats(aio: Aio, command: str, *arguments: str) -> tuple[str, Any]:
    """The text that a command prints, and what it prints as JSON and, equal to it, as YAML."""
    # One after the other: each command rewrites the configuration that the others read.
    text = await aio.run(command, *arguments)
    told = await aio.json(command, *arguments)
    as_yaml = await aio.run(command, *arguments, form=YAML)
    assert json.loads(json.dumps(yaml.safe_load(as_yaml), default=str)) == told
    return text, told


@pytest.mark.slow
async def test_console(env: dict[str, str], variables: Mapping[str, str], tmp_path: Path) -> None:
    """Organisations, projects and workspaces are listed and selected; after that, event commands need nothing else."""
    aio = Aio(tmp_path, variables)
    text, listed = await in_all_formats(aio, "console org list")
    assert env["ims_org_id"] in text
    assert [each["code"] for each in listed] == [env["ims_org_id"]]
    assert "Org selected" in await aio.run("console org select", env["ims_org_id"])

    text, listed = await in_all_formats(aio, "console project list")
    assert env["project_id"] in text
    assert env["project_id"] in [each["id"] for each in listed]
    assert "Project selected" in await aio.run("console project select", env["project_id"])

    text, listed = await in_all_formats(aio, "console workspace list")
    assert env["workspace_id"] in text
    assert [each["id"] for each in listed] == [env["workspace_id"]]
    assert "Workspace selected" in await aio.run("console workspace select", env["workspace_id"])

    assert "Stage" in await aio.run("console where")
    await aio.run("event provider list")
    assert env["client_id"] in (tmp_path / "aio").read_text("utf-8")
    del aio.formats["event provider list"]
    check_fidelity(Suite(CLI, "Console", aio.rows()))


@pytest.mark.slow
async def test_new_project(env: dict[str, str], aio: Aio, tmp_path: Path) -> None:
    """A project and a workspace in it are created, and the description of a workspace is downloaded."""
    project = await aio.json("console project create", "--name", "acme", "--title", "Acme")
    workspace = await aio.json("console workspace create", "--projectName", "acme", "--name", "Development")
    chosen = ("--projectId", project["id"])
    assert workspace["id"] in await aio.run("console workspace list", *chosen)
    del aio.formats["console workspace list"]

    await aio.run("console workspace download", str(tmp_path / "downloaded.json"))
    downloaded = json.loads((tmp_path / "downloaded.json").read_bytes())["project"]
    [credential] = downloaded["workspace"]["details"]["credentials"]
    assert credential["oauth_server_to_server"]["client_id"] == env["client_id"]
    check_fidelity(Suite(CLI, "Console: creation and download", aio.rows()))


async def test_login(gateway: Gateway, variables: Mapping[str, str], tmp_path: Path) -> None:
    """`eventmill login` completes `aio auth login --no-open`: the commands after it need no token from outside."""
    untold = {name: value for name, value in variables.items() if not name.startswith("AIO_IMS_")}
    aio = Aio(tmp_path, untold)
    process = await aio.start("auth login", "--no-open")
    assert process.stdout is not None and process.stderr is not None
    async with asyncio.timeout(60):
        line = b""
        while b"https://" not in line:
            line = await process.stderr.readline() or await process.stdout.readline()
            assert line, "aio told no address"
        url = line[line.index(b"https://") :].split()[0].decode()
        done = await asyncio.to_thread(run_eventmill, "login", url, "--data", str(gateway.data), directory=tmp_path)
        assert done.code == 0, done.message
        told, complaints = await process.communicate()
    assert process.returncode == 0, complaints.decode()
    assert told.strip().decode().count(".") == 2
    assert "Org ID" in await aio.run("console org list")
    assert "logged out" in await aio.run("auth logout")
    rows = [("`aio auth login --no-open`", "completed by `eventmill login`"), ("`aio auth logout`", "text")]
    check_fidelity(Suite(CLI, "Login", rows))


@pytest.mark.slow
async def test_providers(aio: Aio) -> None:
    """A provider made by answering questions, listed and read in each format, changed, and deleted."""

    def answers(label: str) -> list[tuple[str, str]]:
        return [("label for the provider", label), ("description about", "Stock moves"), ("a url that", "")]

    created = await aio.json("event provider create", answers=answers("Warehouse"))
    assert (created["label"], created["description"]) == ("Warehouse", "Stock moves")
    updated = await aio.json("event provider update", created["id"], answers=answers("Warehouse North"))
    assert updated["label"] == "Warehouse North"

    text, listed = await in_all_formats(aio, "event provider list")
    assert created["id"] in text and "Warehouse North" in text
    assert created["id"] in [each["id"] for each in listed["_embedded"]["providers"]]
    filters = ("--fetchEventMetadata", "-p", "3rd_party_custom_events", "-p", "aem")
    filtered = await aio.json("event provider list", *filters)
    [found] = [each for each in filtered["_embedded"]["providers"] if each["id"] == created["id"]]
    assert found["_embedded"]["eventmetadata"] == []
    text, read = await in_all_formats(aio, "event provider get", created["id"])
    assert "Warehouse North" in text
    assert read == updated

    assert "deleted successfully" in await aio.run("event provider delete", created["id"], answers=SURE)
    assert "404 - Not Found" in await aio.refused("event provider get", created["id"])
    check_fidelity(Suite(CLI, "Providers", aio.rows()))


@pytest.mark.slow
async def test_event_metadata(gateway: Gateway, env: dict[str, str], aio: Aio) -> None:
    """Event codes of a provider: made by answering questions, read in each format, changed, deleted."""
    async with Client(gateway.port) as client:
        provider_id = (await Tenant(client, env).topic("com.acme.first", label="Of the event codes")).provider_id

    def answers(label: str, *code: str) -> list[tuple[str, str]]:
        asked = [("label for the event metadata", label)]
        asked += [("reverse dns format", each) for each in code]
        return [*asked, ("description about", "An article runs out")]

    created = await aio.json("event eventmetadata create", provider_id, answers=answers("Low", EVENT_CODE))
    assert (created["event_code"], created["label"]) == (EVENT_CODE, "Low")
    updated = await aio.json("event eventmetadata update", provider_id, EVENT_CODE, answers=answers("Lower"))
    assert updated["label"] == "Lower"

    text, listed = await in_all_formats(aio, "event eventmetadata list", provider_id)
    assert EVENT_CODE in text and "com.acme.first" in text
    assert [each["event_code"] for each in listed["_embedded"]["eventmetadata"]] == ["com.acme.first", EVENT_CODE]
    text, read = await in_all_formats(aio, "event eventmetadata get", provider_id, EVENT_CODE)
    assert "Lower" in text
    assert read == updated

    deleted = await aio.run("event eventmetadata delete", provider_id, EVENT_CODE, answers=SURE)
    assert "deleted successfully" in deleted
    assert "404 - Not Found" in await aio.refused("event eventmetadata get", provider_id, EVENT_CODE)
    deleted = await aio.run("event eventmetadata delete", provider_id, answers=SURE)
    assert "All event metadata" in deleted
    assert (await aio.json("event eventmetadata list", provider_id))["_embedded"]["eventmetadata"] == []
    check_fidelity(Suite(CLI, "Event metadata", aio.rows()))


@pytest.mark.slow
async def test_registrations(gateway: Gateway, env: dict[str, str], aio: Aio, tmp_path: Path) -> None:
    """Registrations of each delivery type from a file, listed and read in each format, deleted, refused."""
    body: dict[str, Any] = {"description": "Made by aio"}
    async with Client(gateway.port) as client, Hook() as hook:
        topic = await Tenant(client, env).topic(EVENT_CODE, label="Of the registrations")
        body["events_of_interest"] = [{"provider_id": topic.provider_id, "event_code": EVENT_CODE}]

        def file(name: str, **members: str) -> str:
            path = tmp_path / "registration.json"
            path.write_text(json.dumps(body | {"name": name} | members))
            return str(path)

        url = f"{hook.url}/hook"
        created = await aio.json("event registration create", file("Journal", delivery_type="journal"))
        webhook = yaml.safe_load(
            await aio.run(
                "event registration create", file("Hook", delivery_type="WEBHOOK", webhook_url=url), form=YAML
            )
        )
        batch = file("Batch", delivery_type="webhook_batch", webhook_url=url)
        assert "webhook_batch" in await aio.run("event registration create", batch)
        assert "409 - Conflict" in await aio.refused("event registration create", batch)
    assert (created["client_id"], webhook["webhook_status"]) == (env["client_id"], "verified")

    text, listed = await in_all_formats(aio, "event registration list")
    assert created["registration_id"] in text
    assert {"Journal", "Hook", "Batch"} <= {each["name"] for each in listed["_embedded"]["registrations"]}
    text, read = await in_all_formats(aio, "event registration get", created["registration_id"])
    assert "Journal" in text
    assert read == created

    registration_id = created["registration_id"]
    assert "deleted successfully" in await aio.run("event registration delete", registration_id, answers=SURE)
    assert "404 - Not Found" in await aio.refused("event registration get", registration_id)
    check_fidelity(Suite(CLI, "Registrations", aio.rows()))


async def test_app_hooks(gateway: Gateway, env: dict[str, str], variables: Mapping[str, str]) -> None:
    """The events part of `aio app deploy`, `undeploy` and `pack`: create, update, remove what is gone, validate."""
    project = {
        "id": env["project_id"],
        "org": {"id": env["consumer_org_id"], "ims_org_id": env["ims_org_id"]},
        "workspace": {"id": env["workspace_id"]},
    }
    async with Client(gateway.port) as client:
        topic = await Tenant(client, env).topic(EVENT_CODE, label="Of the application")

    def registration(description: str) -> dict[str, Any]:
        interest = {"provider_metadata": "3rd_party_custom_events", "event_codes": [EVENT_CODE]}
        return {"description": description, "events_of_interest": [interest], "runtime_action": "app/on-stock"}

    def events(**registrations: dict[str, Any]) -> dict[str, Any]:
        return {"appConfig": {"project": project, "events": {"registrations": registrations}}}

    def packed(**registrations: dict[str, Any]) -> dict[str, Any]:
        manifest = {"full": {"packages": {"app": {"actions": {"on-stock": {"web": "no"}}}}}}
        application = {"events": {"registrations": registrations}, "manifest": manifest}
        return {"appConfig": {"aio": {"project": project}, "all": {"application": application}}}

    both = events(first=registration("One"), second=registration("Two"))
    steps = [
        ("pre-deploy", both),
        ("post-deploy", both),
        ("post-deploy", events(first=registration("Changed"), second=registration("Two"))),
        ("post-deploy", events(second=registration("Two")) | {"force": True}),
        ("pre-undeploy", events(second=registration("Two"))),
        ("pre-pack", packed(first=registration("One"))),
        ("pre-pack", packed(x=registration("The name is too short"))),
    ]
    told = await run_hooks(
        {
            **variables,
            "ACCESS_TOKEN": env["access_token"],
            "SERVICE_API_KEY": env["client_id"],
            "AIO_EVENTS_PROVIDERMETADATA_TO_PROVIDER_MAPPING": f"3rd_party_custom_events:{topic.provider_id}",
        },
        {"project": project, "steps": [{"hook": hook, "options": options} for hook, options in steps]},
    )

    assert [step["error"] for step in told[:-1]] == [None] * 6
    own = [[each for each in step["registrations"] if each["name"] in ("first", "second")] for step in told]
    assert [{each["name"]: each["description"] for each in step} for step in own] == [
        {},
        {"first": "One", "second": "Two"},
        {"first": "Changed", "second": "Two"},
        {"second": "Two"},
        {},
        {},
        {},
    ]
    assert own[1][0]["delivery_type"] == "webhook"
    assert own[1][0]["runtime_action"] == "app/on-stock"
    assert '"reason"' in told[-1]["error"]
    rows = [
        ("`pre-deploy-event-reg`", "works"),
        ("`post-deploy-event-reg`", "creates, updates; with `--force-events` deletes the others"),
        ("`pre-undeploy-event-reg`", "deletes what the application registered"),
        ("`pre-pack` validation", "accepts; refuses with the reason"),
    ]
    check_fidelity(Suite(EVENTS_PLUGIN, "Hooks of `aio app`", rows))


async def run_hooks(variables: Mapping[str, str], stdin: Mapping[str, Any]) -> Any:
    process = await asyncio.create_subprocess_exec(
        "node",
        "hooks.js",
        cwd=AIO,
        env={"PATH": os.environ["PATH"], **variables},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        told, complaints = await process.communicate(json.dumps(stdin).encode())
    assert process.returncode == 0, complaints.decode()
    return json.loads(told.splitlines()[-1])
