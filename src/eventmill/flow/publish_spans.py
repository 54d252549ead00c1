"""The spans of a publish and of its appends, made once it is answered. Loaded only where they are wanted.

Events that bring no trace along are given that of their request, as CloudEvents' attributes. Must not: fail, or hold
up, what it watches.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from time import time_ns

import msgspec
from opentelemetry.trace import Link, SpanContext

from eventmill.core.trace_context import TraceContext, context_of_headers, ids_of_event, with_context
from eventmill.flow.answers import WHOLE_ANSWER
from eventmill.flow.batch import Append
from eventmill.flow.ingest import Ingest, Message, Receive, Send
from eventmill.flow.spans import Attributes, Spans, about, fail, remote
from eventmill.store.log import Appended, NewEvent

App = Callable[[Message, Receive, Send], Awaitable[None]]


class _Stored(msgspec.Struct):
    """An append that a publish asked for."""

    events: Sequence[NewEvent]
    start_ns: int
    end_ns: int = 0
    error: str = ""


class _Publish(msgspec.Struct):
    """A request under way. `context` is that of its headers."""

    context: TraceContext | None
    appends: list[_Stored] = []


_current: ContextVar[_Publish | None] = ContextVar("publish", default=None)


class PublishSpans:
    def __init__(self, spans: Spans) -> None:
        self._spans = spans

    def watch(self, ingest: Ingest) -> App:
        """The publishing application, with a span for each request, made once it is answered."""
        ingest.watch_appends(self._around_append)

        async def traced(scope: Message, receive: Receive, send: Send) -> None:
            publish = _Publish(context_of_headers(dict(scope["headers"])))
            status, start_ns = 0, time_ns()

            async def noting(message: Message) -> None:
                nonlocal status
                status = message.get("status", status)
                await send(message)

            scope.pop(WHOLE_ANSWER, None)  # it would pass `noting` by
            token = _current.set(publish)
            try:
                await ingest(scope, receive, noting)
            finally:
                _current.reset(token)
                self._record_publish(publish, scope["path"], status, start_ns)

        return traced

    def _around_append(self, append: Append) -> Append:
        """The append, noted; events that bring no trace along get that of the request."""

        async def traced(events: Sequence[NewEvent]) -> Appended:
            publish = _current.get()
            if publish is None:
                return await append(events)
            if publish.context is not None:
                events = [_joined(event, publish.context) for event in events]
            stored = _Stored(events, time_ns())
            publish.appends.append(stored)
            try:
                return await append(events)
            except BaseException as error:
                stored.error = type(error).__name__
                raise
            finally:
                stored.end_ns = time_ns()

        return traced

    def _record_publish(self, publish: _Publish, path: str, status: int, start_ns: int) -> None:
        events = [event for append in publish.appends if not append.error for event in append.events]
        attributes: Attributes = {"http.request.method": "POST", "url.path": path, **about(events)}
        attributes["messaging.operation.name"] = "publish"
        if status:
            attributes["http.response.status_code"] = status
        parent = None if publish.context is None else remote(publish.context)
        trace_id = 0
        if parent is None and len(events) == 1:
            parent, trace_id = self._spans.trace_of(events[0])
        span = self._spans.start("publish", parent, attributes, start_ns=start_ns, ids=(trace_id, 0))
        if status >= 500 or not status:
            fail(span, str(status or "cancelled"))
        for append in publish.appends:
            for event in append.events:
                self._record_append(event, append, span.get_span_context())
        span.end()

    def _record_append(self, event: NewEvent, append: _Stored, publish: SpanContext) -> None:
        parent, trace_id = self._spans.trace_of(event)
        _, span_id = ids_of_event(event.event_id)
        links = [Link(publish)]
        if publish.trace_id == (trace_id if parent is None else parent.trace_id):
            parent, links = publish, []
        attributes = {**about([event]), "eventmill.registrations": len(event.lanes)}
        ids = (trace_id, 0 if append.error else span_id)
        span = self._spans.start("append", parent, attributes, start_ns=append.start_ns, ids=ids, links=links)
        if append.error:
            fail(span, append.error)
        span.end(append.end_ns)


def _joined(event: NewEvent, context: TraceContext) -> NewEvent:
    if event.origin.delivery_format != "cloud_events_v1":
        return event
    return msgspec.structs.replace(event, body=with_context(event.body, context))
