"""The eight channels end to end: what subscribers get fits the schemas of the AsyncAPI document; faulty set-ups."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cloudevents.core.bindings import http as cloudevents_http

from eventmill.cli.environment import mint_admin_token
from eventmill.config import Config
from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import Gateway, auth_headers, call, free_port
from tests.e2e.harness.engines import store_of, store_variables
from tests.e2e.harness.hook import Hook, Received
from tests.e2e.harness.http_client import Client
from tests.e2e.harness.tenant import Registration, Tenant, Topic, event_bytes
from tests.unit.catalogue_facts import CHANNELS, PROVIDERS, ChannelFacts

pytestmark = pytest.mark.anyio

NODE = Path(__file__).parent / "asyncapi"
TOPICS = {channel.code: Topic(facts.id, channel.code) for facts in PROVIDERS for channel in facts.channels}


def content(channel: ChannelFacts) -> bytes:
    """Header and body with every member, as the channel's schema wants them."""
    values = {"string": "x-1", "integer": 7, "object": {}}

    def value(schema: dict[str, Any]) -> Any:
        if "enum" in schema:
            return schema["enum"][-1]
        return "2026-03-01T10:00:00Z" if "format" in schema else values[schema["type"]]

    body = {name: value(schema) for name, schema in channel.body.items()}
    return json.dumps({"header": dict.fromkeys(channel.header, channel.code), "body": body}).encode()


@dataclass
class Subscribed:
    """What a tenant got of each channel, by event code."""

    schemas: dict[str, Any]
    """Payload schemas of the gateway's own AsyncAPI document."""
    posts: dict[str, Received]
    entries: dict[str, Any]
    """Events in the journals."""


async def run_through(gateway: Gateway) -> Subscribed:
    """Subscribe to each channel by webhook and by journal, publish one event to each as the operator."""
    env = gateway.env()
    async with Hook() as hook, Client(gateway.port) as client:
        tenant = Tenant(client, env)
        webhooks = [
            await tenant.register(topic, url=f"{hook.url}/{code}", name=f"Hook {code}")
            for code, topic in TOPICS.items()
        ]
        journals = {code: await tenant.register(topic, name=f"Journal {code}") for code, topic in TOPICS.items()}
        assert all(each.body["webhook_status"] == "verified" for each in webhooks)
        token = await asyncio.to_thread(mint_admin_token, _config(gateway))
        headers = {
            "authorization": f"Bearer {token}",
            "x-ims-org-id": env["ims_org_id"],
            "content-type": "application/cloudevents+json",
        }
        for channel in CHANNELS:
            event = event_bytes(TOPICS[channel.code], f"event-{channel.message}", content(channel))
            answer = await client.call("POST", env["ingress_url"], headers, event)
            assert (answer.status, answer.body) == (200, b"OK"), answer
        await hook.until(lambda: len(hook.paths) == len(CHANNELS))
        document = (await client.call("GET", f"{gateway.url}/asyncapi/catalog.json", {}, None)).json()
        schemas = {channel.code: document["components"]["schemas"][channel.payload] for channel in CHANNELS}
        posts = {code: hook.posts_at(f"/{code}")[0] for code in TOPICS}
        return Subscribed(schemas, posts, {code: await only(tenant, journals[code]) for code in TOPICS})


async def only(tenant: Tenant, registration: Registration) -> Any:
    [entry] = await tenant.journal(registration)
    return entry["event"]


def validate(instance: Any, schema: Any) -> None:
    jsonschema.validate(instance, schema, format_checker=jsonschema.FormatChecker())


async def test_each_channel_by_webhook_and_journal(gateway: Gateway) -> None:
    """A webhook gets each channel's envelope, valid by its schema; a journal what is inside it, as published."""
    got = await run_through(gateway)

    for channel in CHANNELS:
        post = got.posts[channel.code]
        payload = json.loads(post.body)
        validate(payload, got.schemas[channel.code])
        assert payload["event"] == json.loads(content(channel))
        assert post.headers["x-adobe-event-code"] == channel.code
        assert post.headers["x-adobe-provider"].startswith("aec_")
        assert post.headers["content-type"] == "application/json; charset=utf-8"
        validate(got.entries[channel.code], got.schemas[channel.code]["properties"]["event"])
        assert got.entries[channel.code] == payload["event"]


async def test_each_channel_as_cloud_events(start_gateway: StartGateway) -> None:
    """By setting, both get CloudEvents, valid by the channel's schema and read by the official SDKs.

    Without the fields of the older spellings, whose underscores the SDK of Python refuses in attribute names.
    """
    gateway = start_gateway(
        "--dev", "--catalog-delivery-format", "cloud_events_v1", variables={"EVENTMILL_LEGACY_FIELDS": "false"}
    )
    got = await run_through(gateway)

    delivered = [got.posts[channel.code] for channel in CHANNELS]
    for channel, post, parsed in zip(CHANNELS, delivered, parse_with_node(delivered, "strict"), strict=True):
        event = json.loads(post.body)
        validate(event, got.schemas[channel.code])
        validate(got.entries[channel.code], got.schemas[channel.code])
        message = cloudevents_http.HTTPMessage(headers=post.headers, body=post.body)
        in_python = cloudevents_http.from_http_event(message)
        topic = TOPICS[channel.code]
        assert (in_python.get_type(), in_python.get_source()) == (channel.code, topic.source)
        assert in_python.get_id() == parsed["id"] == f"event-{channel.message}"
        assert (parsed["type"], parsed["source"]) == (channel.code, topic.source)
        assert in_python.get_data() == parsed["data"] == json.loads(content(channel))
        assert in_python.get_extension("eventid") == parsed["eventid"] == event["eventid"]


async def test_older_spellings_in_javascript(start_gateway: StartGateway) -> None:
    """With the fields of the older spellings, which Adobe's SDKs need, the CloudEvents SDK of JavaScript reads them."""
    got = await run_through(start_gateway("--dev", "--catalog-delivery-format", "cloud_events_v1"))

    for parsed in parse_with_node(list(got.posts.values())):
        assert parsed["event_id"] == parsed["eventid"]


def parse_with_node(posts: list[Received], *arguments: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        ["node", "parse-events.mjs", *arguments],
        cwd=NODE,
        input=json.dumps([{"headers": post.headers, "body": post.body.decode()} for post in posts]).encode(),
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode()
    events: list[dict[str, Any]] = json.loads(done.stdout)
    return events


async def test_fired_sample_is_delivered(gateway: Gateway, env: dict[str, str]) -> None:
    """POST sample_event goes all the way: signed, delivered to the one webhook, in its journal and traced."""
    [channel, *_] = CHANNELS
    topic = TOPICS[channel.code]
    async with Hook() as hook, Client(gateway.port) as client:
        tenant = Tenant(client, env)
        registration = await tenant.register(topic, url=f"{hook.url}/here")
        await tenant.register(topic, url=f"{hook.url}/there")
        path = f"/events/providers/{topic.provider_id}/eventmetadata/{topic.event_code}/sample_event/{registration.id}"

        assert (await tenant.call("POST", path)).status == 200
        [post] = await hook.until_posts(1)

        assert post.path == "/here" and post.headers["x-adobe-digital-signature-1"]
        validate(json.loads(post.body)["event"]["body"], channel.body_schema)
        assert (await only(tenant, registration))["header"]["eventType"] == channel.code
        assert hook.paths == ["/here"]


# --- Faulty catalogue files ---


def refused_start(directory: Path, catalog: str) -> str:
    """What `eventmill serve` says when it does not start; nothing must be left behind."""
    data = directory / "data"
    command = [sys.executable, "-m", "eventmill", "serve", "--dev", "--data", str(data), "--catalog", catalog]
    done = subprocess.run([*command, "--port", str(free_port())], capture_output=True, timeout=30)
    assert done.returncode == 2
    assert not data.exists()
    return done.stderr.decode()


def test_wrong_id(tmp_path: Path) -> None:
    """A file whose provider id does not follow from its channels: the file, the place, and the id that it must be."""
    text = (Path(sys.modules["eventmill"].__path__[0]) / "builtin.json").read_text()
    file = tmp_path / "catalogue.json"
    file.write_text(text.replace(PROVIDERS[1].id, "2aecfc2e-95ef-58c3-82f5-956a7650b1ed"))

    told = refused_start(tmp_path, str(file))

    assert f"the catalogue file {file} cannot be used: providers[1].id: must be {PROVIDERS[1].id}" in told
    assert "Traceback" not in told


@pytest.mark.parametrize("kind", ["no JSON", "missing", "directory", "broken link"])
def test_unusable_file(tmp_path: Path, kind: str) -> None:
    """Each says which file, what is wrong, and what to do."""
    file = tmp_path / "catalogue.json"
    match kind:
        case "no JSON":
            file.write_text('{\n  "providers": [}\n')
            expected = "cannot be used: line 2 column 17: is not JSON"
        case "missing":
            expected = "cannot be read: No such file or directory"
        case "directory":
            file.mkdir()
            expected = "cannot be read: Is a directory"
        case _:
            file.symlink_to(file)
            expected = "cannot be read: Too many levels of symbolic links"

    told = refused_start(tmp_path, str(file))

    assert f"the catalogue file {file} {expected}" in told
    assert "off" in told and "Traceback" not in told


def test_taken_id(start_gateway: StartGateway, tmp_path: Path) -> None:
    """A file that gives its provider the id of an organisation's own provider does not start."""
    gateway = start_gateway("--dev")
    env = gateway.env()
    workspace = f"/events/{env['consumer_org_id']}/{env['project_id']}/{env['workspace_id']}"
    headers = {**auth_headers(env), "content-type": "application/json"}
    created = call("POST", f"{gateway.url}{workspace}/providers", headers, {"label": "Warehouse"}).json()
    assert gateway.stop() == 0
    family = {"id": "shop", "group": "Acme", "label": "Shop", "description": "Shop"}
    event = {"event_code": "sold", "label": "Sold", "description": "Sold"}
    provider = {"id": created["id"], "provider_metadata": "shop", "label": "Shop", "events": [event]}
    file = tmp_path / "catalogue.json"
    file.write_text(json.dumps({"provider_metadata": [family], "providers": [provider]}))

    command = [sys.executable, "-m", "eventmill", "serve", "--dev", "--data", str(gateway.data), "--catalog", str(file)]
    variables = {**os.environ, **store_variables(str(gateway.data))}
    done = subprocess.run([*command, "--port", str(free_port())], capture_output=True, timeout=30, env=variables)

    assert done.returncode == 2
    assert (
        f"the catalogue's provider {created['id']} (Shop) has the id of the provider Warehouse" in done.stderr.decode()
    )


def _config(gateway: Gateway) -> Config:
    return Config(data=str(gateway.data), store=store_of(gateway.data))
