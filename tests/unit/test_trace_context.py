"""W3C trace context, in headers and in events."""

from __future__ import annotations

import pytest

from eventmill.core.trace_context import (
    TraceContext,
    context_of_event,
    context_of_headers,
    ids_of_event,
    shared_context,
    with_context,
)

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"
EVENT = b'{"id":"1","source":"urn:uuid:p","type":"t","data":{"n":1}'


def carrying(members: bytes) -> bytes:
    return EVENT + b"," + members


def test_headers_are_read() -> None:
    """Both, and the ids in the first."""
    context = context_of_headers({b"traceparent": PARENT.encode(), b"tracestate": b"acme=1,other=2"})
    assert context == TraceContext(PARENT, "acme=1,other=2")
    assert context.ids == (int(TRACE, 16), int(SPAN, 16), 1)
    assert context.headers == [("traceparent", PARENT), ("tracestate", "acme=1,other=2")]


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "00",
        PARENT.upper(),
        f"ff-{TRACE}-{SPAN}-01",
        f"01-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"{PARENT}-extra",
        f"{PARENT}\n",
        f"00-{TRACE}-{SPAN}-1",
        "\xff" * 55,
    ],
)
def test_malformed_contexts_count_as_absent(traceparent: str) -> None:
    """In headers and in events; nothing is raised, as no publish may fail for its trace."""
    assert context_of_headers({b"traceparent": traceparent.encode("latin-1")}) is None
    text = traceparent.replace("\n", "\\n").encode()
    assert context_of_event(carrying(b'"traceparent":"%b"' % text)) is None


@pytest.mark.parametrize("tracestate", [b"", b"a" * 513, b"a=\xff", b"a=1\r\nx: y"])
def test_a_malformed_tracestate_is_left_out(tracestate: bytes) -> None:
    """It could become a header of its own otherwise. The trace is kept."""
    assert context_of_headers({b"traceparent": PARENT.encode(), b"tracestate": tracestate}) == TraceContext(PARENT)


@pytest.mark.parametrize(
    ("members", "found"),
    [
        (b'"traceparent":"%b"' % PARENT.encode(), TraceContext(PARENT)),
        (b'"traceparent":"%b","tracestate":"a=1"' % PARENT.encode(), TraceContext(PARENT, "a=1")),
        (b'"traceparent":1', None),
        (b'"traceparent":true,"tracestate":"a=1"', None),
        (b'"more":{"traceparent":"%b"}' % PARENT.encode(), None),
    ],
)
def test_events_are_read(members: bytes, found: TraceContext | None) -> None:
    """Attributes of the event only: what its data holds by that name is the publisher's own."""
    assert context_of_event(carrying(members)) == found


def test_an_envelope_has_none() -> None:
    """In the format `adobe_io` there are no attributes, whatever the data are called."""
    assert context_of_event(b'{"event_id":"1","eventid":"1","event":{"traceparent":"%b"}' % PARENT.encode()) is None


def test_a_context_is_added_behind_what_was_published() -> None:
    """The published bytes are a prefix of what is stored, and the context is read from it again."""
    context = TraceContext(PARENT, 'a="1"')
    stored = with_context(EVENT, context)
    assert stored.startswith(EVENT)
    assert context_of_event(stored) == context


@pytest.mark.parametrize(
    "members", [b'"traceparent":"mine"', b'"tracestate":"a=1"', b'"trace\\u0070arent":"mine"', b'"traceparent":0']
)
def test_what_the_publisher_says_stays(members: bytes) -> None:
    """No attribute is given twice, however its name is written."""
    assert with_context(carrying(members), TraceContext(PARENT, "a=1")) == carrying(members)


def test_a_batch_shares_a_context_or_has_none() -> None:
    """Events of several traces, or of none, tell no trace together."""
    one, other = (carrying(b'"traceparent":"00-%b-%b-01"' % (TRACE.encode(), span * 16)) for span in (b"a", b"b"))
    assert shared_context([one, one]) == context_of_event(one)
    assert shared_context([one, other]) is None
    assert shared_context([one, EVENT]) is None
    assert shared_context([EVENT]) is None


def test_ids_follow_from_the_event() -> None:
    """The same everywhere, other ones for other events, and with chance in the lower half, which samplers look at."""
    events = [bytes([1, 2, 3, 4, 5, 6, 0x70, 8, 0x80, *([0] * 5), n >> 8, n & 255]) for n in range(1000)]
    assert ids_of_event(events[0]) == ids_of_event(bytes(events[0]))
    traces = [ids_of_event(event)[0] for event in events]
    assert len(set(traces)) == 1000
    assert 400 < sum(trace & (1 << 64) - 1 < 1 << 63 for trace in traces) < 600
