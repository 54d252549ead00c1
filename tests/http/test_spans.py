"""The spans of an event's way, and the trace context that goes with it from publisher to receiver."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, StatusCode

from eventmill.clock import VirtualClock
from eventmill.flow.ingest import Ingest
from eventmill.flow.probe import Prober
from eventmill.flow.spans import Spans
from eventmill.flow.tracing import watch_publishing
from eventmill.testing import Connection, receiving, response
from eventmill.web.app import build_app
from tests.http.client import Answer
from tests.http.delivery import FAILED, Delivery, Hook, delivering_for
from tests.http.sending import sending
from tests.http.world import CLIENT, SEALER, World, running

pytestmark = pytest.mark.anyio

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"
OTHER_TRACE = "0af7651916cd43dd8448eb211c80319c"
OTHER_PARENT = f"00-{OTHER_TRACE}-b7ad6b7169203331-01"


class Told(Hook):
    """With the headers of its requests."""

    def __init__(self) -> None:
        super().__init__()
        self.headers: dict[str, list[dict[str, str]]] = {}

    async def behave(self, connection: Connection) -> None:
        while (request := await connection.read_request()) is not None:
            async with self.arrived:
                self.headers.setdefault(request.path, []).append(dict(request.headers))
                self.bodies.setdefault(request.path, []).append(request.body)
                self.arrived.notify_all()
            await connection.send(response(status=FAILED if request.path.startswith("/fail") else self.status))


@dataclass
class Traced:
    world: World
    delivery: Delivery
    hook: Told
    exporter: InMemorySpanExporter

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        """The newest of each name."""
        return {span.name: span for span in self.exporter.get_finished_spans()}

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.exporter.get_finished_spans() if span.name == name]

    async def publish(self, body: Any, **headers: str) -> Answer:
        kind = "cloudevents-batch+json" if isinstance(body, list) else "cloudevents+json"
        sent = {**self.world.auth(), "content-type": f"application/{kind}", **headers}
        return await self.world.call("POST", "/", body, headers=sent)

    async def deliver(self, topic: Any, path: str = "/hook", attributes: Any = None, **headers: str) -> dict[str, str]:
        """Headers of the delivery of one published event."""
        await self.delivery.register(topic, path)
        answer = await self.publish(event_of(topic, **(attributes or {})), **headers)
        assert answer.status == 200
        await self.hook.until(path, 1)
        await self.delivery.deliver.quiesce()
        return self.hook.headers[path][0]


@asynccontextmanager
async def tracing(tmp_path: Path, *, on: bool = True, **settings: Any) -> AsyncIterator[Traced]:
    exporter = InMemorySpanExporter()
    spans = Spans(SimpleSpanProcessor(exporter))
    hook = Told()

    async def prepare(delivery: Delivery) -> None:
        if on:
            delivery.deliver._destinations.spans = spans

    async with running(tmp_path, dev=True, **settings) as world, receiving(hook.behave) as receiver:
        hook.url = receiver.url.removesuffix("/hook")
        if on:
            assert isinstance(world.parts.ingest, Ingest)
            world.app = build_app(
                msgspec.structs.replace(world.parts, ingest=watch_publishing(world.parts.ingest, spans))
            )
        async with delivering_for(world, hook, prepare) as delivery:
            yield Traced(world, delivery, hook, exporter)


def event_of(topic: Any, **attributes: Any) -> dict[str, Any]:
    source = f"urn:uuid:{topic['provider_id']}"
    return {"id": "1", "source": source, "type": topic["event_code"], "data": {"n": 1}, **attributes}


def context(span: ReadableSpan) -> SpanContext:
    found = span.get_span_context()
    assert found is not None
    return found


def parent_of(span: ReadableSpan) -> str | None:
    return None if span.parent is None else f"{span.parent.span_id:016x}"


def id_of(span: ReadableSpan) -> str:
    return f"{context(span).span_id:016x}"


def traces(traced: Traced) -> set[str]:
    return {f"{context(span).trace_id:032x}" for span in traced.exporter.get_finished_spans()}


async def test_an_event_without_a_trace_begins_one(tmp_path: Path) -> None:
    """Publish, append and delivery follow from each other, and the receiver is told of the delivery's span."""
    async with tracing(tmp_path) as traced:
        topic = await traced.world.topic()
        told = await traced.deliver(topic)
        (trace,) = traces(traced)
        publish, append, deliver = (traced.spans[name] for name in ("publish", "append", "deliver"))
        assert (parent_of(publish), parent_of(append), parent_of(deliver)) == (None, id_of(publish), id_of(append))
        assert told["traceparent"] == f"00-{trace}-{id_of(deliver)}-01"
        (body,) = traced.hook.bodies["/hook"]
        assert b"traceparent" not in body
        attributes = [dict(span.attributes or {}) for span in (publish, append, deliver)]
        assert {each["messaging.message.id"] for each in attributes} == {json.loads(body)["eventid"]}
        assert {each["messaging.destination.name"] for each in attributes} == {topic["provider_id"]}
        assert [each.get("http.response.status_code") for each in attributes] == [200, None, 200]
        assert attributes[2]["server.address"] == "127.0.0.1"
        assert attributes[2]["eventmill.delivery_id"] == told["x-adobe-delivery-id"]


async def test_the_header_of_a_publish_is_carried(tmp_path: Path) -> None:
    """As CloudEvents' attributes, behind what was published: the receiver's trace is the publisher's."""
    async with tracing(tmp_path) as traced:
        told = await traced.deliver(await traced.world.topic(), traceparent=PARENT, tracestate="acme=1")
        assert traces(traced) == {TRACE}
        publish, append, deliver = (traced.spans[name] for name in ("publish", "append", "deliver"))
        assert (parent_of(publish), parent_of(append), parent_of(deliver)) == (SPAN, id_of(publish), id_of(append))
        assert told["traceparent"] == f"00-{TRACE}-{id_of(deliver)}-01"
        assert told["tracestate"] == "acme=1"
        (body,) = traced.hook.bodies["/hook"]
        assert json.loads(body)["traceparent"] == PARENT
        assert json.loads(body)["tracestate"] == "acme=1"


async def test_the_attribute_of_an_event_goes_before_the_header(tmp_path: Path) -> None:
    """It names the trace that the event began in; the request's own trace is linked."""
    async with tracing(tmp_path) as traced:
        attributes = {"traceparent": PARENT}
        told = await traced.deliver(await traced.world.topic(), attributes=attributes, traceparent=OTHER_PARENT)
        publish, append, deliver = (traced.spans[name] for name in ("publish", "append", "deliver"))
        assert f"{context(publish).trace_id:032x}" == OTHER_TRACE
        assert (parent_of(append), parent_of(deliver)) == (SPAN, id_of(append))
        assert [link.context.span_id for link in append.links] == [context(publish).span_id]
        assert told["traceparent"] == f"00-{TRACE}-{id_of(deliver)}-01"
        assert json.loads(traced.hook.bodies["/hook"][0])["traceparent"] == PARENT


async def test_an_envelope_is_left_as_it_is(tmp_path: Path) -> None:
    """The format `adobe_io` has no attributes: its deliveries begin a trace, which links to the publisher's."""
    async with tracing(tmp_path) as traced:
        topic = await traced.world.topic(event_delivery_format="adobe_io")
        told = await traced.deliver(topic, traceparent=PARENT)
        append, deliver = traced.spans["append"], traced.spans["deliver"]
        assert TRACE not in told["traceparent"]
        assert parent_of(append) is None and parent_of(deliver) == id_of(append)
        assert [f"{link.context.trace_id:032x}" for link in append.links] == [TRACE]
        assert set(json.loads(traced.hook.bodies["/hook"][0])) == {
            *("event", "event_id", "eventid", "recipient_client_id", "recipientclientid"),
        }


async def test_a_batch_is_linked_to_its_events(tmp_path: Path) -> None:
    """Published and delivered: one span each, and an append for each event, in the trace of that event."""
    async with tracing(tmp_path) as traced:
        topic = await traced.world.topic()
        await traced.delivery.register(topic, "/hook", delivery_type="webhook_batch")
        events = [event_of(topic, id="1", traceparent=PARENT), event_of(topic, id="2")]
        assert (await traced.publish(events)).status == 200
        await traced.hook.until("/hook", 1)
        await traced.delivery.deliver.quiesce()
        appends = traced.named("append")
        assert [f"{context(span).trace_id:032x}" == TRACE for span in appends] == [True, False]
        delivered = {link.context.span_id for span in traced.named("deliver") for link in span.links}
        assert delivered | {span.parent.span_id for span in traced.named("deliver") if span.parent} == {
            context(span).span_id for span in appends
        }
        assert (traced.spans["publish"].attributes or {})["messaging.batch.message_count"] == 2


async def test_failures_are_marked(tmp_path: Path) -> None:
    """A delivery that failed and its retry are spans of their own below the append; a refused publish has no append,
    and is no error of the gateway's."""
    async with tracing(tmp_path) as traced:
        told = await traced.deliver(await traced.world.topic(), "/fail")
        clock = traced.world.parts.clock
        assert isinstance(clock, VirtualClock)
        clock.advance(60_000)
        await traced.delivery.deliver.quiesce()
        first, retry = traced.named("deliver")
        assert id_of(first) in told["traceparent"] and id_of(retry) in traced.hook.headers["/fail"][1]["traceparent"]
        assert parent_of(first) == parent_of(retry) == id_of(traced.spans["append"])
        assert {span.status.status_code for span in (first, retry)} == {StatusCode.ERROR}
        attributes = [dict(span.attributes or {}) for span in (first, retry)]
        assert [each["error.type"] for each in attributes] == ["503", "503"]
        assert [each.get("http.request.resend_count") for each in attributes] == [None, 1]
        traced.exporter.clear()
        assert (await traced.publish({"id": "1"})).status == 400
        assert list(traced.spans) == ["publish"]
        assert traced.spans["publish"].status.status_code is StatusCode.UNSET
        assert (traced.spans["publish"].attributes or {})["http.response.status_code"] == 400


async def test_what_is_not_sampled_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is exported, and the receiver is told that nobody records."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    async with tracing(tmp_path) as traced:
        told = await traced.deliver(await traced.world.topic())
        assert not traced.spans
        assert int(told["traceparent"][-2:], 16) & 1 == 0


async def test_without_spans_the_context_is_passed_on(tmp_path: Path) -> None:
    """An event's own goes out as it came, as for whoever takes no part in a trace; a request's is nobody's affair, and
    adds nothing to the event."""
    async with tracing(tmp_path, on=False) as traced:
        topic = await traced.world.topic()
        attributes = {"traceparent": PARENT, "tracestate": "acme=1"}
        told = await traced.deliver(topic, attributes=attributes)
        assert (told["traceparent"], told["tracestate"]) == (PARENT, "acme=1")
        plain = await traced.deliver(topic, "/plain", traceparent=OTHER_PARENT)
        assert "traceparent" not in plain
        assert OTHER_PARENT.encode() not in b"".join(traced.hook.bodies["/plain"])


@pytest.mark.parametrize(("status", "error"), [("200 OK", "not_passed"), ("404 Not Found", "404")])
async def test_a_challenge_is_a_span(tmp_path: Path, status: str, error: str) -> None:
    """With what came of it, and without the value that proves who answers."""
    exporter = InMemorySpanExporter()
    hook = Told()
    hook.status = status
    async with running(tmp_path, dev=True) as world, receiving(hook.behave) as receiver, sending() as sender:
        prober = Prober(sender, world.parts.catalogue, SEALER, world.parts.clock, world.parts.config)
        prober.spans = Spans(SimpleSpanProcessor(exporter))
        await prober.challenge(receiver.url, "a-registration", CLIENT)
    (span,) = exporter.get_finished_spans()
    attributes = dict(span.attributes or {})
    assert (span.name, attributes["error.type"]) == ("challenge", error)
    assert attributes["url.full"] == receiver.url
    assert attributes["eventmill.registration_id"] == "a-registration"
