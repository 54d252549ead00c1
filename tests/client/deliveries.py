"""Deliveries signed by keys of our own, and a place that serves the public ones."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from eventmill.core.signing import DeliverySigner, generate_pair, public_key_path
from eventmill.testing import Receiver, answering, receiving, response

KEY_IDS = ("11111111-0000-4000-8000-000000000001", "22222222-0000-4000-8000-000000000002")


@cache
def pairs() -> tuple[tuple[str, str], tuple[str, str]]:
    return generate_pair(), generate_pair()


def public_pem(path: str) -> bytes | None:
    """What is served at a path; None: nothing."""
    found = {public_key_path(id): pem for id, (_, pem) in zip(KEY_IDS, pairs(), strict=True)}.get(path)
    return None if found is None else found.encode()


@dataclass(frozen=True)
class Signed:
    body: bytes
    headers: dict[str, str] = field(repr=False)


def signed(body: Any, **headers: str) -> Signed:
    """As a gateway would send it. `body`: bytes as they are, anything else as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    (first, _), (second, _) = pairs()
    signer = DeliverySigner(((KEY_IDS[0], first), (KEY_IDS[1], second)))
    own = {"content-type": "application/cloudevents+json", "content-length": str(len(raw))}
    return Signed(raw, {**own, **dict(signer.headers(raw, b"s3cret")), **headers})


def delivered(event_id: str = "e1", client_id: str = "c1") -> dict[str, Any]:
    return {"id": "order-1", "eventid": event_id, "recipient_client_id": client_id, "data": {"sku": "A1"}}


@asynccontextmanager
async def serving_keys() -> AsyncIterator[Receiver]:
    """The public keys over HTTP; `requests` has who asked for what."""

    def answer(request: Any) -> bytes:
        pem = public_pem(request.path)
        return response(b"no such key", "404 Not Found") if pem is None else response(pem)

    async with receiving(answering(answer)) as host:
        yield host


def base_url(host: Receiver) -> str:
    return f"http://{host.host}:{host.port}"
