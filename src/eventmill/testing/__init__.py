"""For tests: gateways of their own, and webhooks on loopback that behave as told, well or in every bad way.

    async with receiving(resetting()) as hook:
        ...  # let whatever is tested deliver to hook.url

`receiver` listens, `behaviours` has what it can do, `certificates` makes good and bad ones; `hook` is the same for
tests without an event loop, and `gateway` starts gateways as processes. Needs nothing of the gateway's code and judges
nothing; see `docs/testing.md`. The pytest fixtures are in `eventmill.pytest_plugin`.
"""

from __future__ import annotations

from eventmill.testing.behaviours import (
    answering,
    answering_once,
    closing,
    closing_when_idle,
    dripping,
    flooding,
    half_closing,
    never_answering,
    never_reading,
    resetting,
    response,
)
from eventmill.testing.certificates import Authority, KeyPair, server_context
from eventmill.testing.gateway import Clock, Gateway, GatewayFailed, is_success, status
from eventmill.testing.hook import Hook, events_of
from eventmill.testing.receiver import (
    Behaviour,
    Connection,
    Received,
    Receiver,
    never_accepting,
    receiving,
    refusing_handshake,
    unused_port,
)
from eventmill.testing.recording import Recording, record

__all__ = [
    "Authority",
    "Behaviour",
    "Clock",
    "Connection",
    "Gateway",
    "GatewayFailed",
    "Hook",
    "KeyPair",
    "Received",
    "Receiver",
    "Recording",
    "answering",
    "answering_once",
    "closing",
    "closing_when_idle",
    "dripping",
    "events_of",
    "flooding",
    "half_closing",
    "is_success",
    "never_accepting",
    "never_answering",
    "never_reading",
    "receiving",
    "record",
    "refusing_handshake",
    "resetting",
    "response",
    "server_context",
    "status",
    "unused_port",
]
