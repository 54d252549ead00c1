"""Spans of nodes that share a database: one node takes an event, another delivers it, and it is one trace."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.e2e.gateway import Gateway
from tests.e2e.harness.cluster import SEAL_KEY
from tests.e2e.harness.database import DatabaseServer
from tests.e2e.harness.hook import Hook, Received
from tests.e2e.harness.http_client import Client
from tests.e2e.harness.production import NO_LIMITS, OPEN_LOOPBACK, write_bootstrap
from tests.e2e.harness.tenant import Tenant, event_bytes
from tests.e2e.test_spans_export import PARENT, SPAN, TRACE

pytestmark = [pytest.mark.anyio, pytest.mark.on_files, pytest.mark.slow]

Told = dict[tuple[str, str], tuple[str, str]]
"""Trace and name of a span: its id, its parent's."""


def told(posts: list[Received]) -> Told:
    messages = [ExportTraceServiceRequest.FromString(post.body) for post in posts]
    spans = [
        span
        for each in messages
        for resource in each.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    return {(span.trace_id.hex(), span.name): (span.span_id.hex(), span.parent_span_id.hex()) for span in spans}


async def test_a_trace_leads_from_node_to_node(tmp_path: Path) -> None:
    """Each node has a collector of its own, so that what one tells is not taken for what the other does: the front has
    the publish and the append, the delivering node a span below the append, which the webhook is told of. So it is for
    an event with a trace of its publisher's, and for one whose trace begins here."""
    async with Hook() as fronts, Hook() as deliverers, Hook() as hook:

        def traced(collector: Hook) -> dict[str, str]:
            own = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
            return {**NO_LIMITS, **OPEN_LOOPBACK, **SEAL_KEY, "EVENTMILL_DELIVERY_PROCESSES": "1", **own}

        with DatabaseServer.new() as server:
            await asyncio.to_thread(server.start)
            await asyncio.to_thread(server.make_database)
            shared = ("--store", server.dsn)
            bootstrap = ("--bootstrap", str(write_bootstrap(tmp_path)))
            front = Gateway(tmp_path / "front", (*shared, *bootstrap, "--roles", "front"), traced(fronts))
            delivering = Gateway(tmp_path / "deliver", (*shared, "--roles", "deliver"), traced(deliverers))
            try:
                await asyncio.to_thread(front.start)
                await asyncio.to_thread(delivering.start)
                env = await asyncio.to_thread(front.env, *shared)
                async with Client(front.port) as client:
                    tenant = Tenant(client, env)
                    topic = await tenant.topic()
                    await tenant.register(topic, url=f"{hook.url}/hook")
                    headers = {**tenant.headers, "content-type": "application/cloudevents+json"}
                    for event_id, parent in (("theirs", {"traceparent": PARENT}), ("ours", {})):
                        body = event_bytes(topic, event_id, b"{}")
                        assert (await client.call("POST", "/", {**headers, **parent}, body)).status == 200
                    await hook.until_posts(2)
                    parents = {
                        json.loads(post.body)["id"]: post.headers["traceparent"] for post in hook.posts_at("/hook")
                    }
                    await deliverers.until(lambda: len(_named(told(deliverers.posts), "deliver")) == 2)
                    await fronts.until(lambda: len(_named(told(fronts.posts), "append")) == 2)
                    await fronts.until(lambda: len(_named(told(fronts.posts), "publish")) == 2)
            finally:
                for node in (front, delivering):
                    await asyncio.to_thread(node.close)
    first, second = told(fronts.posts), told(deliverers.posts)
    assert {name for _, name in second} == {"deliver"}
    for event_id, trace in (("theirs", TRACE), ("ours", parents["ours"].split("-")[1])):
        publish, append, deliver = first[trace, "publish"], first[trace, "append"], second[trace, "deliver"]
        assert publish[1] == (SPAN if event_id == "theirs" else "")
        assert (append[1], deliver[1]) == (publish[0], append[0])
        assert parents[event_id] == f"00-{trace}-{deliver[0]}-01"


def _named(spans: Told, name: str) -> list[str]:
    return [trace for trace, each in spans if each == name]
