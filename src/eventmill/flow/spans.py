"""OpenTelemetry spans: their export, their place in a trace, and those of deliveries and challenges.

Attributes follow the semantic conventions for HTTP, messaging and CloudEvents, with ours below `eventmill.`; none holds
data of an event. Every process knows the span of an event's append by the event's id, so nothing is stored for tracing.
Must not: fail, or hold up, what it watches.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from time import time_ns
from urllib.parse import urlsplit

from opentelemetry import trace as otel
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, TraceFlags

from eventmill import __version__
from eventmill.core.trace_context import TraceContext, context_of_event, ids_of_event
from eventmill.flow.lane import Unit
from eventmill.flow.sent import Sent
from eventmill.flow.targets import Target
from eventmill.flow.traces import shown_url
from eventmill.ids import uuid_text
from eventmill.send import challenge
from eventmill.send.webhook import Request, Response
from eventmill.store.log import NewEvent, StoredEvent

Attributes = dict[str, str | int]

_KINDS = {
    "publish": SpanKind.SERVER,
    "append": SpanKind.INTERNAL,
    "deliver": SpanKind.CLIENT,
    "challenge": SpanKind.CLIENT,
}
_CLOSE_S = 3.0
"""A collector that does not answer holds up no stop."""


class _Ids(RandomIdGenerator):
    """By chance, unless the next ones are given."""

    trace_id = span_id = 0

    def generate_trace_id(self) -> int:
        return self.trace_id or super().generate_trace_id()

    def generate_span_id(self) -> int:
        return self.span_id or super().generate_span_id()


class Spans:
    """One per process; used from its event loop only."""

    def __init__(self, processor: SpanProcessor) -> None:
        ours = Resource.create(
            {"service.name": "eventmill", "service.version": __version__, "process.pid": os.getpid()}
        )
        self._ids = _Ids()
        self._provider = TracerProvider(
            resource=ours.merge(OTELResourceDetector().detect()), id_generator=self._ids, shutdown_on_exit=False
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("eventmill", __version__)

    @classmethod
    def exported(cls) -> Spans:
        """In batches, by a thread of its own; where to and how, the `OTEL_*` variables say."""
        return cls(BatchSpanProcessor(OTLPSpanExporter()))

    def close(self) -> None:
        """Send what is left, if that is quickly done."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(_CLOSE_S)

    def start(
        self,
        name: str,
        parent: SpanContext | None,
        attributes: Attributes,
        *,
        start_ns: int | None = None,
        ids: tuple[int, int] = (0, 0),
        links: Sequence[Link] = (),
    ) -> Span:
        """`ids`: of the trace, which counts without a parent, and of the span; 0: any."""
        context = otel.set_span_in_context(otel.NonRecordingSpan(parent or SpanContext(0, 0, is_remote=False)))
        self._ids.trace_id, self._ids.span_id = ids
        try:
            return self._tracer.start_span(name, context, _KINDS[name], attributes, links, start_ns)
        finally:
            self._ids.trace_id = self._ids.span_id = 0

    def trace_of(self, event: NewEvent | StoredEvent) -> tuple[SpanContext | None, int]:
        """Where it came from; or the id of the trace that begins with it."""
        context = context_of_event(event.body)
        return (None, ids_of_event(event.event_id)[0]) if context is None else (remote(context), 0)

    def begin_attempt(self, target: Target, unit: Unit, delivery_id: str) -> Span:
        """A single event's attempt is a child of its append; a batch is linked to those of its events."""
        contexts = [self._append_of(event) for event in unit.events]
        attributes: Attributes = {
            **about(unit.events),
            "messaging.operation.name": "deliver",
            "messaging.operation.type": "send",
            "eventmill.registration_id": target.registration_id,
            "eventmill.delivery_id": delivery_id,
        }
        if unit.retry is not None and unit.retry.retries:
            attributes["http.request.resend_count"] = unit.retry.retries
        links = [] if len(contexts) == 1 else [Link(context) for context in contexts]
        return self.start("deliver", None if links else contexts[0], attributes, links=links)

    @staticmethod
    def headers_of(span: Span) -> list[tuple[str, str]]:
        """What tells the receiver that the span is its parent."""
        context = span.get_span_context()
        traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
        return TraceContext(traceparent, context.trace_state.to_header()).headers

    def end_attempt(self, span: Span, sent: Sequence[Sent]) -> None:
        """Nothing sent: it was cut off."""
        if sent:
            worst = max(sent, key=lambda each: each.response.status)
            _note_exchange(span, worst.request, worst.response)
        else:
            fail(span, "cancelled")
        span.end()

    def record_challenge(self, result: challenge.ChallengeResult) -> None:
        start_ns = time_ns() - result.response.duration_ms * 1_000_000
        attributes: Attributes = {"eventmill.registration_id": result.request.registration_id}
        span = self.start("challenge", None, attributes, start_ns=start_ns)
        _note_exchange(span, result.request, result.response)
        if not result.passed and 200 <= result.response.status <= 299:
            fail(span, "not_passed")
        span.end()

    def _append_of(self, event: StoredEvent) -> SpanContext:
        """The span of its append, which another process may have made."""
        parent, trace_id = self.trace_of(event)
        _, span_id = ids_of_event(event.event_id)
        if parent is not None:
            return SpanContext(parent.trace_id, span_id, True, parent.trace_flags, parent.trace_state)
        is_sampled = (
            self._provider.sampler.should_sample(None, trace_id, "append").decision is Decision.RECORD_AND_SAMPLE
        )
        return SpanContext(trace_id, span_id, True, TraceFlags(TraceFlags.SAMPLED if is_sampled else 0))


def remote(context: TraceContext) -> SpanContext:
    trace_id, span_id, flags = context.ids
    state = otel.TraceState.from_header([context.tracestate] if context.tracestate else [])
    return SpanContext(trace_id, span_id, True, TraceFlags(flags), state)


def about(events: Sequence[NewEvent | StoredEvent]) -> Attributes:
    attributes: Attributes = {"messaging.system": "eventmill"}
    if not events:
        return attributes
    origin = events[0].origin
    attributes["messaging.destination.name"] = origin.provider_id
    attributes["cloudevents.event_type"] = origin.event_code
    if len(events) == 1:
        attributes["messaging.message.id"] = uuid_text(events[0].event_id)
    else:
        attributes["messaging.batch.message_count"] = len(events)
    return attributes


def _note_exchange(span: Span, request: Request, response: Response) -> None:
    span.set_attribute("http.request.method", request.method)
    with suppress(ValueError):  # of what is no URL
        span.set_attribute("server.address", urlsplit(request.url).hostname or "")
    span.set_attribute("url.full", shown_url(request.url.partition("?")[0]))
    status = response.status
    if status < 600:
        span.set_attribute("http.response.status_code", status)
    if not 200 <= status <= 299:
        fail(span, str(status))


def fail(span: Span, error_type: str) -> None:
    span.set_attribute("error.type", error_type)
    span.set_status(otel.Status(otel.StatusCode.ERROR))
