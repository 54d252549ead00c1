"""Webhooks for WSGI, ASGI, Flask and FastAPI, with the real packages: one list of requests, the same answers."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import pytest

from eventmill.client import AsyncVerifier, Deduplicator, Delivery, Verifier
from eventmill.client.adapters import asgi_webhook, fastapi_webhook, flask_webhook, wsgi_webhook
from eventmill.client.webhook import BODY_BYTES_MAX
from tests.client.deliveries import base_url, delivered, serving_keys, signed

pytestmark = pytest.mark.anyio


class Answered(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


Ask = Callable[[str, str, bytes, Mapping[str, str]], Awaitable[Answered]]


class Application:
    """Takes deliveries: `taken` has their events; `fails` has the next ones refused by the handler."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.retry_counts: list[int] = []
        self.content_types: set[str] = set()
        self.fails = 0

    def handle(self, delivery: Delivery) -> None:
        if self.fails:
            self.fails -= 1
            raise RuntimeError("the database is away")
        self.taken += [event["eventid"] for event in delivery.events]
        self.retry_counts.append(delivery.retry_count)
        self.content_types.add(delivery.headers["content-type"])

    async def handle_async(self, delivery: Delivery) -> None:
        self.handle(delivery)


async def ask_wsgi(application: Any, method: str, query: str, body: bytes, headers: Mapping[str, str]) -> Answered:
    """As a WSGI server would; what is raised is its 500."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "QUERY_STRING": query,
        "PATH_INFO": "/hook",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "CONTENT_TYPE": headers.get("content-type", ""),
        "CONTENT_LENGTH": headers.get("content-length", str(len(body))),
        **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()},
    }
    if "transfer-encoding" in headers:  # a server that ends a chunked body says so, another one leaves it unread
        del environ["CONTENT_LENGTH"]
        if headers["transfer-encoding"] == "chunked":
            environ["wsgi.input_terminated"] = True
    started: list[Any] = []

    def call() -> bytes:
        parts = application(environ, lambda status, fields, *_: started.append((status, fields)))
        found = b"".join(parts)
        if hasattr(parts, "close"):
            parts.close()
        return found

    try:
        content = await asyncio.to_thread(call)
    except RuntimeError:
        return Answered(500, {}, b"")
    status, fields = started[0]
    return Answered(int(status.split()[0]), {name.lower(): value for name, value in fields}, content)


async def ask_asgi(application: Any, method: str, query: str, body: bytes, headers: Mapping[str, str]) -> Answered:
    """As an ASGI server would, with a body in two parts; what is raised is its 500."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": "/hook",
        "raw_path": b"/hook",
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1234),
    }
    parts = [
        {"type": "http.request", "body": body[:7], "more_body": True},
        {"type": "http.request", "body": body[7:], "more_body": False},
    ]
    sent: list[Any] = []

    async def receive() -> Any:
        return parts.pop(0) if parts else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    try:
        await application(scope, receive, send)
    except RuntimeError:
        return Answered(500, {}, b"")
    fields = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Answered(sent[0]["status"], fields, b"".join(message.get("body", b"") for message in sent[1:]))


def make_ask(kind: str, application: Application, verifier: Any, deduplicator: Deduplicator | None) -> Ask:
    if kind == "wsgi":
        made = wsgi_webhook(verifier, application.handle, deduplicator)
        return lambda *request: ask_wsgi(made, *request)
    if kind == "asgi":
        mounted = asgi_webhook(verifier, application.handle_async, deduplicator)
        return lambda *request: ask_asgi(mounted, *request)
    if kind == "flask":
        from flask import Flask

        app = Flask("subscriber")
        app.add_url_rule(
            "/hook", view_func=flask_webhook(verifier, application.handle, deduplicator), methods=["GET", "POST"]
        )
        return lambda *request: ask_wsgi(app, *request)
    from fastapi import FastAPI

    api = FastAPI()
    api.include_router(fastapi_webhook("/hook", verifier, application.handle_async, deduplicator))
    return lambda *request: ask_asgi(api, *request)


@pytest.mark.parametrize("kind", ["wsgi", "asgi", "flask", "fastapi"])
async def test_a_webhook_behaves_as_the_service_expects(kind: str) -> None:
    """Challenge, genuine and forged deliveries, a handler that fails, a retry, a duplicate, too much."""
    application, deduplicator = Application(), Deduplicator()
    async with serving_keys() as host:
        url = base_url(host)
        verifier = Verifier("c1", url) if kind in ("wsgi", "flask") else AsyncVerifier("c1", url)
        ask = make_ask(kind, application, verifier, deduplicator)

        challenged = await ask("GET", "challenge=8e6b2c1a-1111", b"", {})
        assert (challenged.status, challenged.body) == (200, b"8e6b2c1a-1111")
        assert challenged.headers["content-type"].startswith("text/plain")
        assert challenged.headers["x-content-type-options"] == "nosniff"
        assert (await ask("GET", "", b"", {})).status == 400
        assert (await ask("DELETE", "", b"", {})).status == 405

        one = signed([delivered("e1"), delivered("e2")])
        application.fails = 1
        assert (await ask("POST", "", one.body, one.headers)).status == 500
        again = signed([delivered("e1"), delivered("e2")], **{"x-adobe-retry-count": "1"})
        assert (await ask("POST", "", again.body, again.headers)).status == 200
        assert (await ask("POST", "", again.body, again.headers)).status == 200
        assert (application.taken, application.retry_counts) == (["e1", "e2"], [1])

        forged = await ask("POST", "", one.body.replace(b"A1", b"A2"), one.headers)
        assert (forged.status, b'"failed": "signature"' in forged.body) == (401, True)
        lost = {**one.headers, **{f"x-adobe-public-key{n}-path": "/prod/keys/pub-key-0.pem" for n in (1, 2)}}
        assert (await ask("POST", "", one.body, lost)).status == 503
        other = signed(delivered("e3"))
        chunked = {name: value for name, value in other.headers.items() if name != "content-length"}
        assert (await ask("POST", "", other.body, {**chunked, "transfer-encoding": "chunked"})).status == 200
        large = bytes(BODY_BYTES_MAX + 1)
        assert (await ask("POST", "", large, {"content-length": str(len(large))})).status == 413
        assert (await ask("POST", "", large, {"transfer-encoding": "chunked"})).status == 413
        if kind in ("wsgi", "flask"):
            assert (await ask("POST", "", other.body, {**chunked, "transfer-encoding": "unread"})).status == 411
        assert (application.taken, application.content_types) == (
            ["e1", "e2", "e3"],
            {"application/cloudevents+json"},
        )


async def test_an_attempt_while_the_one_before_is_handled_is_put_off() -> None:
    """The first handler outlives the service's patience and fails then: the second attempt must not have been told that
    the event was taken."""
    first, go = asyncio.Event(), asyncio.Event()
    taken: list[str] = []

    async def handle(delivery: Delivery) -> None:
        if not first.is_set():
            first.set()
            await go.wait()
            raise RuntimeError("the database is away")
        taken.extend(each["eventid"] for each in delivery.events)

    async with serving_keys() as host:
        made = asgi_webhook(AsyncVerifier("c1", base_url(host)), handle, Deduplicator())
        one = signed([delivered("e1"), delivered("e1"), delivered("e2")])

        async def attempt() -> int:
            return (await ask_asgi(made, "POST", "", one.body, one.headers)).status

        slow = asyncio.create_task(attempt())
        await first.wait()
        assert await attempt() == 503
        go.set()
        assert await slow == 500
        assert [await attempt(), await attempt()] == [200, 200]
    assert taken == ["e1", "e2"]


def test_frameworks_are_imported_when_they_are_needed() -> None:
    """Importing the adapters needs neither Flask nor FastAPI; the blocking client needs no aiohttp."""
    look = (
        "import sys, eventmill.client.adapters, eventmill.client;"
        "print([name for name in ('flask', 'fastapi', 'starlette', 'aiohttp') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, timeout=30)
    assert done.stdout == "[]\n", done.stderr


def test_a_deduplicator_is_bounded_and_forgets_failures() -> None:
    """The oldest ids go first; what failed is new again."""
    seen = Deduplicator(size_max=2)
    assert [seen.add(each) for each in ("a", "b", "a", "c", "b")] == [True, True, False, True, True]
    with pytest.raises(RuntimeError), seen.once("d") as is_new:
        raise RuntimeError(is_new)
    with seen.once("d") as is_new:
        assert is_new
    with seen.once("d") as is_new:
        assert not is_new
