"""The CloudEvents SDKs for Python and JavaScript, unchanged, publish in every mode and parse what comes out."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.bindings.http import HTTPMessage, to_binary_event, to_structured_event
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from tests.e2e.conftest import StartGateway
from tests.e2e.harness.http_client import Answer, Client
from tests.e2e.harness.tenant import Registration, Tenant, Topic

pytestmark = pytest.mark.anyio

NPM = Path(__file__).parent / "cloudevents"
BATCH_TYPE = "application/cloudevents-batch+json"
TIME = datetime(2026, 3, 1, 10, tzinfo=UTC)


@asynccontextmanager
async def subscribed(start_gateway: StartGateway) -> AsyncIterator[tuple[Tenant, Topic, Registration]]:
    """A gateway that adds only what CloudEvents allows: names with `_` are legal to neither SDK."""
    gateway = start_gateway("--dev", variables={"EVENTMILL_LEGACY_FIELDS": "false"})
    async with Client(gateway.port) as client:
        tenant = Tenant(client, gateway.env())
        topic = await tenant.topic()
        yield tenant, topic, await tenant.register(topic)


def attributes(topic: Topic, id: str, **changes: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": id,
        "source": topic.source,
        "type": topic.event_code,
        "datacontenttype": "application/json",
        "subject": 'shelf "7" \u20ac 100% / caf\u00e9',
        "acmetenant": "eu west",
        "time": TIME,
        **changes,
    }


async def send(tenant: Tenant, message: HTTPMessage) -> Answer:
    headers = {name: value for name, value in tenant.headers.items() if name != "content-type"}
    return await tenant.client.call("POST", tenant.env["ingress_url"], {**headers, **message.headers}, message.body)


async def test_python_sdk(start_gateway: StartGateway) -> None:
    """Binary with JSON and with bytes, structured, and a batch of its events: each comes out as the SDK's own event."""
    data = {"sku": "A1", "n": 1.5}
    async with subscribed(start_gateway) as (tenant, topic, registration):
        event = CloudEvent(attributes(topic, "py-binary"), data)
        image = CloudEvent(attributes(topic, "py-image", datacontenttype="image/png"), b"\x00\xff")
        structured = CloudEvent(attributes(topic, "py-structured"), data)
        batch = [CloudEvent(attributes(topic, f"py-batch-{number}"), data) for number in (1, 2)]
        for message in (to_binary_event(event), to_binary_event(image), to_structured_event(structured)):
            answer = await send(tenant, message)
            assert (answer.status, answer.body) == (200, b"OK"), answer
        texts = b",".join(JSONFormat().write(each) for each in batch)
        answer = await send(tenant, HTTPMessage({"content-type": BATCH_TYPE}, b"[" + texts + b"]"))
        entries = await tenant.journal(registration)

    assert (answer.status, answer.json()["accepted"], answer.json()["stored"]) == (200, 2, 2)
    assert [result["eventid"] for result in answer.json()["results"]] == [e["event"]["eventid"] for e in entries[3:]]
    found = [JSONFormat().read(None, json.dumps(entry["event"])) for entry in entries]
    for sent, got in zip((event, image, structured, *batch), found, strict=True):
        added = {"eventid", "recipientclientid"}
        assert {name: value for name, value in got.get_attributes().items() if name not in added} == (
            sent.get_attributes()
        )
        assert got.get_attributes().keys() >= added
        assert got.get_data() == sent.get_data()


async def test_javascript_sdk(start_gateway: StartGateway) -> None:
    """Its emitter in binary mode, bytes included, and in structured mode, and a batch of its events."""
    async with subscribed(start_gateway) as (tenant, topic, registration):
        event = attributes(topic, "", subject="shelf 7", time=TIME.isoformat(), data={"sku": "A1", "n": 1.5})
        story = await run_publisher(
            {
                "url": tenant.env["ingress_url"],
                "headers": {name: value for name, value in tenant.headers.items() if name != "content-type"},
                "journal": registration.link("rel:events"),
                "event": event,
            }
        )

    for mode in ("binary", "image", "structured"):
        assert story[mode] == {"status": 200, "body": "OK"}
    assert story["batch"]["status"] == 200
    assert json.loads(story["batch"]["body"])["stored"] == 2
    parsed = story["parsed"]
    assert [each["id"] for each in parsed] == ["js-binary", "js-image", "js-structured", "js-batch-1", "js-batch-2"]
    for each in parsed:
        assert (each["source"], each["type"], each["subject"]) == (topic.source, topic.event_code, "shelf 7")
        assert (each["acmetenant"], each["recipientclientid"]) == ("eu west", tenant.env["client_id"])
        assert datetime.fromisoformat(each["time"]) == TIME
    assert [each["data"] for each in parsed if each["id"] != "js-image"] == [event["data"]] * 4
    assert (parsed[1]["datacontenttype"], parsed[1]["data_base64"]) == ("image/png", "AP8H")


async def run_publisher(task: Mapping[str, Any]) -> Any:
    """Runs the script of tests/e2e/cloudevents, which sees `PATH` and its standard input, nothing else."""
    process = await asyncio.create_subprocess_exec(
        "node",
        "publish-events.mjs",
        cwd=NPM,
        env={"PATH": os.environ["PATH"]},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        told, complaints = await process.communicate(json.dumps(task).encode())
    assert process.returncode == 0, complaints.decode()
    return json.loads(told)
