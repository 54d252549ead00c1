"""W3C trace context: the trace that a request or an event belongs to, and the ids that follow from an event's own.

"Trace Context" (W3C, version 00) for the headers; the "Distributed Tracing" extension of CloudEvents for an event's
attributes of the same names. What is not well-formed counts as absent. Must not: make up a trace id by chance.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any

import msgspec

_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_TRACESTATE = re.compile(r"[\x20-\x7e]{1,512}")


class TraceContext(msgspec.Struct, frozen=True):
    """Both as they came."""

    traceparent: str
    tracestate: str = ""

    @property
    def ids(self) -> tuple[int, int, int]:
        """Of the trace and of the parent span; flags."""
        _, trace, span, flags = self.traceparent.split("-")
        return int(trace, 16), int(span, 16), int(flags, 16)

    @property
    def headers(self) -> list[tuple[str, str]]:
        state = [("tracestate", self.tracestate)] if self.tracestate else []
        return [("traceparent", self.traceparent), *state]


class _Members(msgspec.Struct):
    traceparent: Any = None
    tracestate: Any = None


_decode = msgspec.json.Decoder(_Members).decode


def context_of_headers(headers: Mapping[bytes, bytes]) -> TraceContext | None:
    found = [headers.get(name, b"").strip(b" \t").decode("latin-1") for name in (b"traceparent", b"tracestate")]
    return _checked(*found)


def context_of_event(stored: bytes) -> TraceContext | None:
    """Of an event as it is stored, without its closing brace. One in the envelope `adobe_io` has none."""
    if b'"traceparent"' not in stored:
        return None
    members = _decode(stored + b"}")
    return _checked(members.traceparent, members.tracestate)


def with_context(stored: bytes, context: TraceContext) -> bytes:
    """The stored event with the attributes that tell its trace; as it is if it has either of them, well-formed or not.

    "Middleware between the source and the sink" may add them, so that the sink learns of the starting trace."""
    members = _decode(stored + b"}")
    if members.traceparent is not None or members.tracestate is not None:
        return stored
    return stored + b"".join(
        b',"%b":%b' % (name.encode(), msgspec.json.encode(value)) for name, value in context.headers
    )


def shared_context(stored: Iterable[bytes]) -> TraceContext | None:
    """The one that all these events have."""
    contexts = {context_of_event(each) for each in stored}
    return contexts.pop() if len(contexts) == 1 else None


def ids_of_event(event_id: bytes) -> tuple[int, int]:
    """The trace of an event that brings none along, and the span of its append: whoever has the event knows them.

    A digest, as a sampler looks for chance in the lower half, where a UUID has fixed bits."""
    digest = blake2b(event_id, digest_size=24).digest()
    return int.from_bytes(digest[:16], "big"), int.from_bytes(digest[16:], "big")


def _checked(traceparent: Any, tracestate: Any) -> TraceContext | None:
    if not isinstance(traceparent, str) or _TRACEPARENT.fullmatch(traceparent) is None:
        return None
    well_formed = isinstance(tracestate, str) and _TRACESTATE.fullmatch(tracestate) is not None
    return TraceContext(traceparent, tracestate if well_formed else "")
