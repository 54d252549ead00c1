"""Spans as a collector gets them from real processes: OTLP over HTTP, read with OpenTelemetry's own messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import Gateway
from tests.e2e.harness.hook import Hook, never
from tests.e2e.harness.http_client import Client
from tests.e2e.harness.production import NO_LIMITS, OPEN_LOOPBACK, write_bootstrap
from tests.e2e.harness.tenant import Tenant, event_bytes

pytestmark = pytest.mark.anyio

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"
_PATH = "/v1/traces"


class Exported(NamedTuple):
    trace: str
    id: str
    parent: str
    service: str
    pid: str
    """Of the process that made it."""


def exported(collector: Hook) -> dict[str, Exported]:
    """The newest of each name."""
    found = {}
    for post in collector.posts_at(_PATH):
        for resource in ExportTraceServiceRequest.FromString(post.body).resource_spans:
            values = {each.key: each.value for each in resource.resource.attributes}
            service, pid = values["service.name"].string_value, str(values["process.pid"].int_value)
            for scope in resource.scope_spans:
                for span in scope.spans:
                    ids = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
                    found[span.name] = Exported(*ids, service, pid)
    return found


@asynccontextmanager
async def producing(start: StartGateway, tmp_path: Path, endpoint: str) -> AsyncIterator[tuple[Gateway, Tenant]]:
    """A gateway that delivers in a process of its own."""
    bootstrap = str(write_bootstrap(tmp_path))
    traced = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_SERVICE_NAME": "shop-mill",
    }
    variables = {**NO_LIMITS, **OPEN_LOOPBACK, **traced, "EVENTMILL_DELIVERY_PROCESSES": "1"}
    gateway = await asyncio.to_thread(start, "--bootstrap", bootstrap, variables=variables)
    async with Client(gateway.port) as client:
        yield gateway, Tenant(client, gateway.env())


async def test_a_trace_leads_from_publisher_to_receiver(start_gateway: StartGateway, tmp_path: Path) -> None:
    """The publisher's trace goes on through the front and a delivery process to the webhook, which is told of the span
    that the collector has of its delivery."""
    async with Hook() as collector, Hook() as hook:
        async with producing(start_gateway, tmp_path, f"http://127.0.0.1:{collector.port}") as (gateway, tenant):
            topic = await tenant.topic()
            await tenant.register(topic, url=hook.url)
            headers = {**tenant.headers, "content-type": "application/cloudevents+json", "traceparent": PARENT}
            answer = await tenant.client.call("POST", "/", headers, event_bytes(topic, "1", b'{"n":1}'))
            assert answer.status == 200
            (post,) = await hook.until_posts(1)
            await collector.until(lambda: set(exported(collector)) == {"challenge", "publish", "append", "deliver"})
            assert await asyncio.to_thread(gateway.stop) == 0
        spans = exported(collector)
    publish, append, deliver = (spans[name] for name in ("publish", "append", "deliver"))
    assert {publish.trace, append.trace, deliver.trace} == {TRACE}
    assert (publish.parent, append.parent, deliver.parent) == (SPAN, publish.id, append.id)
    assert post.headers["traceparent"] == f"00-{TRACE}-{deliver.id}-01"
    assert publish.pid == append.pid != deliver.pid
    assert {span.service for span in spans.values()} == {"shop-mill"}


@pytest.mark.slow
async def test_a_collector_that_hangs_holds_up_nothing(start_gateway: StartGateway, tmp_path: Path) -> None:
    """Publishing, delivering and an orderly stop."""
    async with (
        Hook(never) as collector,
        Hook() as hook,
        producing(start_gateway, tmp_path, f"http://127.0.0.1:{collector.port}") as (gateway, tenant),
    ):
        topic = await tenant.topic()
        await tenant.register(topic, url=hook.url)
        await tenant.publish_numbered(topic, 20)
        await hook.until_posts(20)
        await collector.until(lambda: bool(collector.posts_at(_PATH)))
        assert await asyncio.to_thread(gateway.stop) == 0
