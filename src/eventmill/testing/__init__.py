"""For tests: webhooks on loopback that behave as told, well or in every bad way an HTTP client can meet.

    async with receiving(resetting()) as hook:
        ...  # let whatever is tested deliver to hook.url

`receiver` listens, `behaviours` has what it can do, `certificates` makes good and bad ones. Needs nothing of the
gateway and judges nothing; see `docs/testing.md`.
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

__all__ = [
    "Authority",
    "Behaviour",
    "Connection",
    "KeyPair",
    "Received",
    "Receiver",
    "answering",
    "answering_once",
    "closing",
    "closing_when_idle",
    "dripping",
    "flooding",
    "half_closing",
    "never_accepting",
    "never_answering",
    "never_reading",
    "receiving",
    "refusing_handshake",
    "resetting",
    "response",
    "server_context",
    "unused_port",
]
