"""Calls an ASGI application in process, as a server would: lower-case headers, raw path, body in chunks.

Whatever it answers must be what the OpenAPI document says.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from eventmill.web.http import ASGIApp
from tests.http.described import deviations


@dataclass(frozen=True)
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        """The only header of that name, or None."""
        found = [value for key, value in self.headers if key == name]
        assert len(found) <= 1, f"{name} is sent {len(found)} times"
        return found[0] if found else None


async def call(
    app: ASGIApp,
    method: str,
    target: str,
    *,
    headers: Mapping[str, str],
    body: bytes = b"",
    chunks: list[bytes] | None = None,
    peer: tuple[str, int] | None = ("127.0.0.1", 50000),
) -> Answer:
    """One request; `target` is path and query as on the request line. `chunks` replaces `body` and its length."""
    path, _, query = target.partition("?")
    sent = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    if chunks is None:
        chunks = [body]
        sent.append((b"content-length", str(len(body)).encode()))
    incoming = [
        {"type": "http.request", "body": chunk, "more_body": at + 1 < len(chunks)} for at, chunk in enumerate(chunks)
    ]
    outgoing: list[Any] = []

    async def receive() -> Any:
        if not incoming:
            await asyncio.Event().wait()  # the client stays
        return incoming.pop(0)

    async def send(message: Any) -> None:
        outgoing.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": sent,
        "client": peer,
    }
    await app(scope, receive, send)
    assert [message["type"] for message in outgoing] == ["http.response.start", "http.response.body"]
    got = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in outgoing[0]["headers"]]
    answer = Answer(outgoing[0]["status"], got, outgoing[1]["body"])
    wrong = list(deviations(method, path, answer.status, got, answer.body))
    assert not wrong, f"{method} {target}: {wrong}"
    return answer
