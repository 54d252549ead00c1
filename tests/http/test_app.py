"""The application around the handlers: request ids, unknown paths and methods, limits, faults, open endpoints."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from eventmill import __version__
from eventmill.errors import StoreUnavailable
from eventmill.web.app import build_app
from eventmill.web.openapi import build_document
from eventmill.web.routes import build_router, served_groups
from eventmill.web.routing import Router
from tests.http.client import call
from tests.http.world import BASE, DELIVERY_KEY, TOKEN_KEY, WORKSPACE, World, key_pair, running

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """No test changes it."""
    async with running(tmp_path_factory.mktemp("app")) as each:
        yield each


async def test_every_reply_has_a_request_id(world: World) -> None:
    """32 alphanumerics, new for each, on successes, refusals, publishes and open endpoints alike."""
    answers = [
        await world.call("GET", "/"),
        await world.call("GET", "/events/1001/providers"),
        await world.call("GET", "/events/9/providers"),
        await world.call("GET", "/events/1001/providers", headers={}),
        await world.call("GET", "/nothing"),
        await world.call("PATCH", f"{WORKSPACE}/providers"),
        await world.call("POST", "/", b"{"),
        await world.call("OPTIONS", "/events/organizations/1/integrations/2/3"),
    ]
    ids = [answer.header("x-request-id") or "" for answer in answers]

    assert all(re.fullmatch(r"[0-9a-zA-Z]{32}", id) for id in ids)
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/nothing", "'/nothing'"),
        ("/events", "'/events'"),
        ("/events/1001", "'/events/1001'"),
        ("/events//providers", "'/events//providers'"),
        ("/events/1001/2001/3001", "'/events/1001/2001/3001'"),
        ("/events/%F0%9F%92%A5/x", "'/events/\\U0001f4a5/x'"),
        ("/" + "x" * 100, "'/" + "x" * 63 + "...'"),
        ("/openapi.yaml", "'/openapi.yaml'"),
        ("/_dev/clock", "'/_dev/clock'"),
    ],
)
async def test_unknown_paths(world: World, path: str, shown: str) -> None:
    """404 as JSON, without a token, the path shown safely and short."""
    answer = await world.call("GET", path, headers={})

    assert (answer.status, answer.header("content-type")) == (404, "application/json")
    assert answer.json() == {"reason": "not_found", "message": f"there is nothing at {shown}"}


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", f"{WORKSPACE}/providers/x", "DELETE, OPTIONS, PATCH, PUT"),
        ("POST", f"{WORKSPACE}/providers/x/eventmetadata/y", "DELETE, OPTIONS, PATCH, PUT"),
        ("POST", f"{WORKSPACE}/registrations/x", "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"),
        ("PUT", f"{WORKSPACE}/registrations", "GET, HEAD, OPTIONS, POST"),
        ("DELETE", "/events/1001/providers", "GET, HEAD, OPTIONS"),
        ("PUT", "/", "GET, HEAD, OPTIONS, POST"),
        ("GET", "/ingress", "OPTIONS, POST"),
        ("GET", "/ims/token/v3", "OPTIONS, POST"),
        ("POST", "/healthz", "GET, HEAD, OPTIONS"),
    ],
)
async def test_other_methods(world: World, method: str, path: str, allow: str) -> None:
    """405 as JSON, with the methods that there are."""
    answer = await world.call(method, path)

    assert (answer.status, answer.header("content-type"), answer.header("allow")) == (405, "application/json", allow)
    message = f"'{method}' is not allowed here; allowed: {allow}"
    assert answer.json() == {"reason": "method_not_allowed", "message": message}


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/events/1001/providers", "GET, HEAD, OPTIONS"),
        (f"{WORKSPACE}/registrations/x", "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"),
        ("/", "GET, HEAD, OPTIONS, POST"),
    ],
)
async def test_options_names_the_methods(world: World, path: str, allow: str) -> None:
    """204 with `allow` and without a body, for every path that there is; no token is needed to ask."""
    answer = await world.call("OPTIONS", path, headers={})

    assert (answer.status, answer.header("allow"), answer.body) == (204, allow, b"")
    assert (await world.call("OPTIONS", "/nothing", headers={})).status == 404


async def test_trailing_slash_and_encoded_segments(world: World) -> None:
    """One trailing slash is ignored; encoded letters are the same path; an encoded slash stays in its segment."""
    for path in ("/events/1001/providers/", "/%65vents/1001/providers", "/events/100%31/providers"):
        assert (await world.call("GET", path)).status == 200
    answer = await world.call("GET", "/events/providers/x%2Feventmetadata")
    assert answer.json()["message"] == "provider 'x/eventmetadata' does not exist"


async def test_head_is_get_without_the_body(world: World) -> None:
    """Same status and headers, no bytes."""
    got, head = [await world.call(method, "/events/1001/providers") for method in ("GET", "HEAD")]

    assert (head.status, head.body) == (200, b"")
    assert head.header("content-length") == got.header("content-length") == str(len(got.body))


async def test_every_get_route_answers_head(tmp_path: Path) -> None:
    """With the status and the headers of GET, and no body, whatever the route."""
    async with running(tmp_path) as world:
        registration = await world.register(await world.topic(sample_event_template=None))
        await world.publish({**registration["events_of_interest"][0]})
        named = {
            "org": "1001",
            "project": "2001",
            "workspace": "3001",
            "credential": "4001",
            "registration": registration["registration_id"],
            "provider": registration["events_of_interest"][0]["provider_id"],
            "code": "com.acme.low",
        }
        statuses = []
        for pattern, methods in build_document(served_groups(dev_mode=False), BASE)["paths"].items():
            if "get" in methods:
                path = re.sub(r"\{(\w+)\}", lambda match: named.get(match[1], "none"), pattern)
                got, head = [await world.call(each, path) for each in ("GET", "HEAD")]
                statuses.append(got.status)
                assert (head.status, head.body) == (got.status, b""), path
                assert {name for name, _ in head.headers} == {name for name, _ in got.headers}, path

        assert statuses.count(200) > 12
        assert max(statuses) < 500


async def test_reserved_segments_do_not_shadow_each_other(world: World) -> None:
    """`providers`, `organizations` and `providermetadata` are paths of their own, and no organisation's."""
    seen = {}
    for path in (
        "/events/providers/registrations",
        "/events/organizations/registrations",
        "/events/providermetadata/providers",
        "/events/organizations/1001/integrations/registrations",
        "/events/providers/2001/3001/registrations",
    ):
        seen[path] = (await world.call("GET", path)).json()["message"]

    assert seen == {
        "/events/providers/registrations": "provider 'registrations' does not exist",
        "/events/organizations/registrations": "organization 'organizations' does not exist",
        "/events/providermetadata/providers": "organization 'providermetadata' does not exist",
        "/events/organizations/1001/integrations/registrations": "organization 'organizations' does not exist",
        "/events/providers/2001/3001/registrations": "organization 'providers' does not exist",
    }


# --- Bodies ---


async def test_body_limit(tmp_path: Path) -> None:
    """413 for an announced length before anything is read, and for chunks that add up; exactly the limit passes."""
    async with running(tmp_path, request_bytes_max=100) as world:
        path = f"{WORKSPACE}/providers"
        fits = b'{"label":"Fits"}'.ljust(100)
        large = b'{"label":"Large"}'.ljust(101)
        announced = await world.call("POST", path, b"", headers={**world.auth(), "content-length": "101"}, chunks=[b""])
        summed = await world.call("POST", path, chunks=[large[:60], large[60:]])
        passed = await world.call("POST", path, chunks=[fits[:60], b"", fits[60:]])

        for answer in (announced, summed):
            assert (answer.status, answer.json()["reason"]) == (413, "too_large")
            assert answer.json()["message"] == "the request body is larger than 100 bytes"
        assert passed.status == 201
        assert len(await world.store.scan("provider")) == 1


@pytest.mark.parametrize(
    ("chunks", "more", "read"),
    [(9, {}, 9), (1000, {}, 18), (1000, {"expect": "100-continue", "content-length": "9" * 5000}, 0)],
    ids=["to its end", "within limits", "not asked for"],
)
async def test_rest_of_a_large_body(world: World, chunks: int, more: dict[str, str], read: int) -> None:
    """A client that is still sending sees the 413, so the rest is read; but not without end, nor if it waits to be
    asked for the body."""
    asked = 0
    statuses: list[int] = []

    async def receive() -> Any:
        nonlocal asked
        asked += 1
        return {"type": "http.request", "body": bytes(1024 * 1024), "more_body": asked < chunks}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    headers = [(name.encode(), value.encode()) for name, value in (world.auth() | more).items()]
    scope = {"type": "http", "method": "POST", "path": f"{WORKSPACE}/providers", "headers": headers}
    await world.app(scope, receive, send)

    assert (statuses, asked) == ([413], read)


async def test_client_that_leaves_gets_no_reply(world: World) -> None:
    """A connection that closes before the body is complete changes nothing and is no fault."""
    sent: list[Any] = []
    messages = [
        {"type": "http.request", "body": b'{"label":', "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(name.encode(), value.encode()) for name, value in world.auth().items()]
    path = f"{WORKSPACE}/providers"
    epoch = await world.epoch()
    with capture_logs() as lines:
        await world.app({"type": "http", "method": "POST", "path": path, "headers": headers}, receive, send)

    assert (sent, lines) == ([], [])
    assert await world.epoch() == epoch


async def test_websockets_are_closed(world: World) -> None:
    """Nothing speaks that protocol here."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await world.app({"type": "websocket", "path": "/"}, send, send)  # type: ignore[arg-type]

    assert [message["type"] for message in sent] == ["websocket.close"]


# --- Faults ---


@pytest.mark.parametrize("target", ["/readyz", "/"])
async def test_fault_is_500_with_an_id_that_the_log_knows(world: World, target: str) -> None:
    """Whatever breaks, the caller gets JSON without details, and the log the exception under the same id."""

    def broken(*_: Any) -> Any:
        raise RuntimeError("secret detail")

    app = build_app(msgspec.structs.replace(world.parts, unready=broken, ingest=broken))
    with capture_logs() as lines:
        answer = await call(app, "GET" if target == "/readyz" else "POST", target, headers={})

    id = answer.header("x-request-id")
    assert (answer.status, answer.header("content-type")) == (500, "application/json")
    message = f"the gateway failed; its log tells more under {id}"
    assert answer.json() == {"reason": "internal_error", "message": message}
    [line] = lines
    assert (line["event"], line["request_id"], line["path"], line["exc_info"]) == (
        "request_failed",
        id,
        f"'{target}'",
        True,
    )


# --- Open endpoints ---


async def test_index_and_health(world: World) -> None:
    """What this is, and that it lives, without a token."""
    index = await world.call("GET", "/", headers={})
    health = await world.call("GET", "/healthz", headers={})

    assert (index.status, index.json()["name"], index.json()["version"]) == (200, "eventmill", __version__)
    assert index.json()["_links"]["self"] == {"href": f"{BASE}/"}
    assert (health.status, health.json()) == (200, {"status": "ok"})


async def test_readiness_follows_the_store(world: World) -> None:
    """503 with the cause while the store takes no events."""
    ready = await world.call("GET", "/readyz", headers={})
    refusing = build_app(msgspec.structs.replace(world.parts, unready=lambda: str(StoreUnavailable("disk is full"))))

    unready = await call(refusing, "GET", "/readyz", headers={})

    assert (ready.status, ready.json()) == (200, {"status": "ready"})
    refusal = {"status": "not ready", "reason": "store_unavailable", "message": "disk is full"}
    assert (unready.status, unready.json()) == (503, refusal)


async def test_public_keys(world: World) -> None:
    """Pure PEM with `\\n` line ends for delivery keys; token keys and anything else are 404."""
    answer = await world.call("GET", f"/prod/keys/pub-key-{DELIVERY_KEY}.pem", headers={})

    assert (answer.status, answer.header("content-type")) == (200, "application/x-pem-file")
    assert answer.body.decode() == key_pair()[1]
    assert b"\r" not in answer.body
    assert answer.body.startswith(b"-----BEGIN PUBLIC KEY-----\n")
    assert answer.body.endswith(b"\n-----END PUBLIC KEY-----\n")
    for name in (f"pub-key-{TOKEN_KEY}.pem", f"pub-key-{DELIVERY_KEY}", "pub-key-.pem", "..%2Fx"):
        missing = await world.call("GET", f"/prod/keys/{name}", headers={})
        assert (missing.status, missing.json()["reason"]) == (404, "not_found")


# --- The router ---


def test_router_refuses_two_routes_for_one_path() -> None:
    """A route that could never be reached is a mistake found at start."""
    router: Router[int] = Router()
    router.add("GET", "/a/{b}", 1)

    with pytest.raises(ValueError, match=r"two routes for GET /a/\{c\}"):
        router.add("GET", "/a/{c}", 2)


def test_router_prefers_literals_and_steps_back() -> None:
    """Literals before parameters, back to the parameter when the literal leads nowhere, never one empty or with NUL."""
    router: Router[str] = Router()
    for pattern in ("/a/b/c", "/a/{x}/d", "/{y}/b/{z}"):
        router.add("GET", pattern, pattern)

    def find(path: str) -> Any:
        found = router.find(path.split("/")[1:])
        return None if found is None else (found[0]["GET"], found[1])

    assert find("/a/b/c") == ("/a/b/c", {})
    assert find("/a/b/d") == ("/a/{x}/d", {"x": "b"})
    assert find("/a/b/e") == ("/{y}/b/{z}", {"y": "a", "z": "e"})
    assert find("/a/b") is None
    assert find("/a/x\0/d") is None
    assert find("/a//d") is None
    assert find("/q/b/c/d") is None


def test_dev_routes_exist_in_dev_mode_only() -> None:
    """Outside it the paths are unknown."""
    for dev_mode in (True, False):
        found = build_router(dev_mode=dev_mode).find(["_dev", "clock"])
        assert (found is not None) == dev_mode
