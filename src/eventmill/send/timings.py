"""Where the time of one exchange went: name lookup, connecting, the TLS handshake, waiting for the first byte.

On the hot path of delivery: a few readings of the clock and one struct per exchange. Judges nothing.
"""

from __future__ import annotations

import time
from contextvars import ContextVar

import msgspec

now_s = time.monotonic
"""The loop's own time is read once a turn, in whole milliseconds: too coarse for what happens within one."""


class Timings(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """In milliseconds, one after the other; None: not come to, or not needed. Of an exchange without an answer the last
    one is the one in which it ended. What `total_ms` has beyond their sum is the gateway's own and the reading of the
    answer's body."""

    total_ms: float
    dns_ms: float | None = None
    """Name lookup; next to nothing for an address, and for a name that was looked up moments ago."""
    connect_ms: float | None = None
    """TCP; through an egress proxy, until the proxy has made the tunnel."""
    tls_ms: float | None = None
    first_byte_ms: float | None = None
    """From the request's sending to the first byte of the answer."""
    reused: bool = False
    """The connection was open already, so that it cost nothing."""


class Marks:
    """When the steps of an exchange ended, by `now_s`; 0: not yet."""

    __slots__ = ("answered_s", "connected_s", "dialled_s", "is_tls", "resolved_s", "secured_s", "sent_s", "started_s")

    def __init__(self) -> None:
        self.started_s = now_s()
        self.dialled_s = 0.0
        """When a new connection was begun."""
        self.resolved_s = 0.0
        self.connected_s = 0.0
        self.is_tls = False
        self.secured_s = 0.0
        self.sent_s = 0.0
        """When a connection was there and the request went out."""
        self.answered_s = 0.0
        """When the first byte of the answer came."""

    def timings(self) -> Timings:
        """Now that the exchange has ended."""
        ended_s = now_s()
        dns_ms = connect_ms = tls_ms = first_byte_ms = None
        if self.dialled_s:
            dns_ms = ((self.resolved_s or ended_s) - self.dialled_s) * 1000
            if self.resolved_s:
                connect_ms = ((self.connected_s or ended_s) - self.resolved_s) * 1000
            if self.connected_s and self.is_tls:
                tls_ms = ((self.secured_s or ended_s) - self.connected_s) * 1000
        if self.sent_s:
            first_byte_ms = ((self.answered_s or ended_s) - self.sent_s) * 1000
        reused = bool(self.sent_s) and not self.dialled_s
        return Timings((ended_s - self.started_s) * 1000, dns_ms, connect_ms, tls_ms, first_byte_ms, reused)


current_marks: ContextVar[Marks] = ContextVar("current_marks")
"""Of the exchange that a connector dials for: its calls lead through aiohttp, which passes nothing on."""
