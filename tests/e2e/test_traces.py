"""Debug traces of real attempts, 6xx codes included, and the dial guard that some of them come from."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import Gateway, free_port
from tests.e2e.harness.hook import Hook, always, never
from tests.e2e.harness.http_client import Client
from tests.e2e.harness.production import OPEN_LOOPBACK, write_bootstrap
from tests.e2e.harness.tenant import Registration, Tenant
from tests.waiting import eventually

pytestmark = pytest.mark.anyio

BODY_MAX = 64 * 1024
UUID_TEXT = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


@pytest.fixture(scope="module")
def shared(start_shared_gateway: StartGateway) -> Gateway:
    return start_shared_gateway("--dev", variables={"EVENTMILL_WEBHOOK_TIMEOUT_S": "0.5"})


@pytest.fixture(scope="module")
def shared_env(shared: Gateway) -> dict[str, str]:
    return shared.env()


@pytest.fixture
async def tenant(shared: Gateway, shared_env: dict[str, str]) -> AsyncIterator[Tenant]:
    async with Client(shared.port) as client:
        assert (await client.call("POST", "/_dev/reset")).status == 204
        yield Tenant(client, shared_env)


async def only_delivery_trace(tenant: Tenant, registration: Registration) -> dict[str, Any]:
    """The trace of the registration's only attempt, once it is stored."""
    traces: list[dict[str, Any]] = await eventually(lambda: tenant.delivery_traces(registration), "a trace")
    assert len(traces) == 1
    return traces[0]


async def test_trace_of_a_success(tenant: Tenant) -> None:
    """Request and response as they went over the wire, under both addresses; and the challenge before it, obscured."""
    async with Hook(always(201, ("x-shop", "eu"), body=b"gr\xc3\xbcn")) as hook:
        topic = await tenant.topic(label="Warehouse of traces")
        registration = await tenant.register(topic, url=f"{hook.url}/hook")
        await tenant.publish(topic)
        [post] = await hook.until_posts(1)
        [challenge] = hook.challenges

    trace = await only_delivery_trace(tenant, registration)
    assert (trace["event"], trace["id"]) == (topic.event_code, post.headers["x-adobe-delivery-id"])
    assert (trace["clientId"], trace["registrationId"]) == (tenant.env["client_id"], registration.id)
    request, response = trace["trace"]["tracingRequest"], trace["trace"]["tracingResponse"]
    assert (request["requestMethod"], request["requestUrl"]) == ("POST", f"{hook.url}/hook")
    assert request["requestBody"] == post.body.decode()
    assert request["contentType"] == post.headers["content-type"]
    added_by_http = {"host", "content-length", "connection"}
    sent = {name: [value] for name, value in post.headers.items() if name not in added_by_http}
    assert {name: value for name, value in request["requestHeaders"].items() if name not in added_by_http} == sent
    assert (response["responseCode"], response["responseBody"]) == (201, "grün")
    assert response["responseHeaders"]["x-shop"] == ["eu"]
    assert isinstance(response["responseTime"], int)
    assert trace["trace"]["ts"] - trace["trace"]["deliveryTime"] == response["responseTime"]
    ids = [post.headers["x-adobe-event-id"]]
    assert trace["trace"]["insightsInfo"] == [
        {"providerName": "Warehouse of traces", "eventCode": topic.event_code, "eventIds": ids}
    ]

    traces = await tenant.traces(registration)
    assert [entry["event"] for entry in traces][:1] == [topic.event_code], "newest first"
    assert "/challenge=" not in json.dumps(traces)
    assert challenge.query.removeprefix("challenge=") not in json.dumps(traces)
    assert f"challenge=XXXXXXXX-XXXX-XXXX-XXXX-XXXXXXXX{challenge.query[-4:]}" in json.dumps(traces)
    org, credential = tenant.env["consumer_org_id"], tenant.env["credential_id"]
    address = f"/events/organizations/{org}/integrations/{credential}/tracing/{registration.id}"
    assert (await tenant.call("GET", address)).json() == traces


async def test_traced_bodies_are_cut(tenant: Tenant) -> None:
    """64 KiB of either body are kept, cut between characters; what is delivered is whole."""
    async with Hook(always(200, body="é".encode() * BODY_MAX)) as hook:
        topic = await tenant.topic()
        registration = await tenant.register(topic, url=f"{hook.url}/hook")
        await tenant.publish(topic, data=b'"' + b"x" * 2 * BODY_MAX + b'"')
        [post] = await hook.until_posts(1)

    assert len(post.body) > 2 * BODY_MAX
    trace = (await only_delivery_trace(tenant, registration))["trace"]
    assert trace["tracingRequest"]["requestBody"] == post.body[:BODY_MAX].decode()
    assert trace["tracingResponse"]["responseBody"] == "é" * (BODY_MAX // 2)


async def test_trace_ring(tenant: Tenant) -> None:
    """The last 100 successes and the last 100 errors are kept, each newest first."""

    async with Hook() as hook:
        topic = await tenant.topic()
        registration = await tenant.register(topic, url=f"{hook.url}/hook")
        for status, count in ((404, 105), (200, 120)):
            hook.answer = always(status)
            await asyncio.gather(*(tenant.publish(topic) for _ in range(count)))
            await tenant.client.call("POST", "/_dev/clock", body={"advance_seconds": 0})

        async def full_ring() -> list[int]:
            found = await tenant.delivery_traces(registration)
            codes = [trace["trace"]["tracingResponse"]["responseCode"] for trace in found]
            return codes if len(codes) == 200 else []

        assert await eventually(full_ring, "200 traces") == [200] * 100 + [404] * 100


async def test_refused_connection_is_602(tenant: Tenant) -> None:
    """A webhook that went away after its challenge is traced as 602."""
    async with Hook() as hook:
        topic = await tenant.topic()
        registration = await tenant.register(topic, url=f"{hook.url}/hook")
    await tenant.publish(topic)
    assert_explained(await only_delivery_trace(tenant, registration), 602)


async def test_silent_endpoint_is_604(tenant: Tenant) -> None:
    """A webhook that takes the request and never answers is traced as 604 when its time is up."""
    async with Hook(never) as hook:
        topic = await tenant.topic()
        registration = await tenant.register(topic, url=f"{hook.url}/hook")
        await tenant.publish(topic)
        assert_explained(await only_delivery_trace(tenant, registration), 604)


def assert_explained(trace: dict[str, Any], code: int) -> None:
    """The response body says what went wrong, with a UUID to quote."""
    response = trace["trace"]["tracingResponse"]
    assert response["responseCode"] == code
    assert response["responseHeaders"] == {}
    first, *causes = response["responseBody"].splitlines()
    assert re.fullmatch(rf"{code} : .+ ERROR\(`{UUID_TEXT}`\) :", first)
    assert causes and all(re.fullmatch(r"\| .+\(`.*`\)", cause) for cause in causes)


async def test_tls_failure_is_611(tenant: Tenant) -> None:
    """An https URL whose port speaks plain HTTP fails its challenge with 611 and the registration is disabled."""

    async def answer_in_clear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer_in_clear, "127.0.0.1") as server:
        topic = await tenant.topic()
        port = server.sockets[0].getsockname()[1]
        registration = await tenant.register(topic, url=f"https://127.0.0.1:{port}/hook")

    assert (registration.body["webhook_status"], registration.body["enabled"]) == ("verification_failed", False)
    traces = await tenant.traces(registration)
    assert {trace["trace"]["tracingResponse"]["responseCode"] for trace in traces} == {611}


async def test_guard_refuses_loopback_at_creation(start_gateway: StartGateway, tmp_path: Path) -> None:
    """In production nothing is dialled on loopback: the challenge fails without a connection."""
    gateway = await asyncio.to_thread(start_gateway, "--bootstrap", str(write_bootstrap(tmp_path)))
    env = await asyncio.to_thread(gateway.env)
    async with Client(gateway.port) as client, Hook() as hook:
        tenant = Tenant(client, env)
        topic = await tenant.topic()
        for scheme in ("http", "https"):
            body = tenant.registration_body([topic], f"{scheme}://127.0.0.1:{hook.port}/hook")
            created = await tenant.call("POST", f"{tenant.workspace}/registrations", body)
            if created.status == 201:
                registration = Registration(created.json())
                assert (registration.body["webhook_status"], registration.body["enabled"]) == (
                    "verification_failed",
                    False,
                )
                codes = [
                    trace["trace"]["tracingResponse"]["responseCode"] for trace in await tenant.traces(registration)
                ]
                assert set(codes) <= {601, 602} and codes
            else:
                assert (created.status, scheme) == (400, "http"), created.body
        assert hook.connections == 0
        assert (await client.call("GET", "/_dev/clock")).status == 404


async def test_guard_refuses_loopback_at_delivery(start_gateway: StartGateway, tmp_path: Path) -> None:
    """A registration verified while loopback was open gets nothing once it is closed: 602, no TCP connection. Trace and
    explanation come from a delivery process of its own."""
    gateway = await asyncio.to_thread(
        start_gateway, "--bootstrap", str(write_bootstrap(tmp_path)), variables=OPEN_LOOPBACK
    )
    env = await asyncio.to_thread(gateway.env)
    async with Client(gateway.port) as client, Hook() as hook:
        tenant = Tenant(client, env)
        topic = await tenant.topic()
        registration = await tenant.register(topic, url=f"{hook.url}/hook")
        assert registration.body["webhook_status"] == "verified"
        assert await asyncio.to_thread(gateway.stop) == 0
        connections = hook.connections
        gateway.variables = {"EVENTMILL_WEBHOOK_ALLOW_HTTP": "true"}
        await asyncio.to_thread(gateway.start)
        await tenant.publish(topic)

        trace = await only_delivery_trace(tenant, registration)
        assert trace["trace"]["tracingResponse"]["responseCode"] == 602
        assert "connect" in trace["trace"]["timings"]
        [event_id] = trace["trace"]["insightsInfo"][0]["eventIds"]
        explained = (await tenant.call("GET", f"/events/{env['consumer_org_id']}/events/{event_id}")).json()
        [way] = explained["registrations"]
        assert (way["state"], [each["status"] for each in way["attempts"]]) == ("scheduled", [602])
        assert hook.connections == connections
        assert hook.posts == []


async def test_unused_port_at_creation(tenant: Tenant) -> None:
    """A webhook that is not there fails its challenge with 602; a PUT once it is there verifies and enables it."""
    topic = await tenant.topic()
    port = free_port()
    registration = await tenant.register(topic, url=f"http://127.0.0.1:{port}/hook")
    assert (registration.body["webhook_status"], registration.body["enabled"]) == ("verification_failed", False)
    [trace] = await tenant.traces(registration)
    assert trace["trace"]["tracingResponse"]["responseCode"] == 602

    async with Hook(port=port) as hook:
        enabled = await tenant.update(registration)
        assert (enabled.body["webhook_status"], enabled.body["enabled"]) == ("verified", True)
        await tenant.publish(topic)
        await hook.until_posts(1)
