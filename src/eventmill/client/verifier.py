"""Verifiers of deliveries that fetch and keep public keys: for blocking code, and for an event loop.

Keys are fetched about once a day, so no connection is kept, and there is nothing to close.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from eventmill.client.account import ADOBE_KEYS
from eventmill.client.blocking_transport import BlockingTransport
from eventmill.client.verification import KeyCache, Trust, Verification, verify


class Verifier:
    """For deliveries to one client id. May be shared by threads."""

    def __init__(self, client_id: str, keys_url: str = ADOBE_KEYS) -> None:
        """`keys_url`: the only place that public keys are fetched from; a gateway's `KEYS_URL`, or Adobe's."""
        self._trust = Trust(client_id, KeyCache(time.monotonic), keys_url)

    def verify(self, body: bytes, headers: Mapping[str, str]) -> Verification:
        """`body`: the bytes as they came, before any framework parsed them. `headers`: names in any case."""
        transport = BlockingTransport()
        try:
            return transport.run(verify(self._trust, body, headers))
        finally:
            transport.close()


class AsyncVerifier:
    """`Verifier` with `await`."""

    def __init__(self, client_id: str, keys_url: str = ADOBE_KEYS) -> None:
        self._trust = Trust(client_id, KeyCache(time.monotonic), keys_url)

    async def verify(self, body: bytes, headers: Mapping[str, str]) -> Verification:
        """`body`: the bytes as they came, before any framework parsed them. `headers`: names in any case."""
        from eventmill.client.async_transport import AsyncTransport

        transport = AsyncTransport()
        try:
            return await transport.run(verify(self._trust, body, headers))
        finally:
            await transport.close()
