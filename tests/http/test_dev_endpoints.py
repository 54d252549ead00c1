"""/_dev: the clock's answers and limits, the reset, and that only this machine may use them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from eventmill.core.envelope import format_time
from tests.http.world import WORKSPACE, World, running

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path, dev=True) as each:
        yield each


async def test_clock_answers(world: World) -> None:
    """Three members, without a token: business time, seconds ahead of the machine, and the rate."""
    body = (await world.call("GET", "/_dev/clock", headers={})).json()

    assert list(body) == ["now", "offset_seconds", "rate"]
    assert body["now"] == format_time(world.parts.clock.now_ms())
    assert (body["rate"], isinstance(body["offset_seconds"], float)) == (0, True)


async def test_advance_and_rate(world: World) -> None:
    """POST does one of the two and answers the new state."""
    before_ms = world.parts.clock.now_ms()
    advanced = await world.call("POST", "/_dev/clock", {"advance_seconds": 90.5}, headers={})
    rated = await world.call("POST", "/_dev/clock", {"rate": 60}, headers={})

    assert (world.dev.advanced, world.dev.rates) == ([90.5], [60])
    assert (advanced.status, advanced.json()["now"]) == (200, format_time(before_ms + 90_500))
    assert (rated.status, rated.json()["rate"]) == (200, 60)


@pytest.mark.parametrize(
    ("body", "reason", "message"),
    [
        ({"advance_seconds": -1}, "clock_backwards", "advance_seconds: business time never runs backwards, but -1 was"),
        ({"rate": -0.5}, "clock_backwards", "rate: business time never runs backwards, but -0.5 was"),
        ({"advance_seconds": 10**12}, "invalid_body", "advance_seconds: must be at most 316224000"),
        ({"rate": 10**7}, "invalid_body", "rate: must be at most 1000000, but is 10000000"),
        (b'{"advance_seconds": 1e999}', "invalid_body", "advance_seconds: must be at most 316224000, but is inf"),
        ({"advance_seconds": "60"}, "invalid_body", "advance_seconds: expected int | float | null, got str"),
        ({"advance_seconds": True}, "invalid_body", "advance_seconds: expected int | float | null, got bool"),
        ({}, "invalid_body", "the body: give either advance_seconds or rate"),
        ({"advance_seconds": 1, "rate": 1}, "invalid_body", "the body: give either advance_seconds or rate"),
        (b"", "invalid_json", "the body is empty"),
        ([], "invalid_body", "the body must be a JSON object"),
    ],
)
async def test_clock_refusals(world: World, body: Any, reason: str, message: str) -> None:
    """400 with the member's name, and the clock stands where it stood."""
    answer = await world.call("POST", "/_dev/clock", body, headers={})

    assert (answer.status, answer.json()["reason"]) == (400, reason)
    assert answer.json()["message"].startswith(message)
    assert (world.dev.advanced, world.dev.rates) == ([], [])


async def test_reset_empties_and_keeps_tenants(world: World) -> None:
    """204; providers, registrations and journals are gone when it is answered, credentials still work."""
    topic = await world.topic()
    await world.register(topic, delivery_type="journal")
    assert await world.publish(topic) == 200

    answer = await world.call("POST", "/_dev/reset", headers={})

    assert (answer.status, answer.body, world.dev.resets) == (204, b"", 1)
    for path, name in (("/events/1001/providers", "providers"), (f"{WORKSPACE}/registrations", "registrations")):
        assert (await world.call("GET", path)).json()["_embedded"][name] == []
    assert await world.publish(topic) == 404
    await world.register(await world.topic())


@pytest.mark.parametrize(("method", "path"), [("GET", "/_dev/clock"), ("POST", "/_dev/clock"), ("POST", "/_dev/reset")])
@pytest.mark.parametrize("peer", [("192.0.2.7", 1), ("2001:db8::1", 1), ("::ffff:10.0.0.1", 1), ("", 1), None])
async def test_other_machines_are_refused(world: World, method: str, path: str, peer: Any) -> None:
    """403, and nothing happens."""
    answer = await world.call(method, path, {"advance_seconds": 1}, headers={}, peer=peer)

    assert (answer.status, answer.json()["reason"]) == (403, "loopback_only")
    assert (world.dev.advanced, world.dev.resets) == ([], 0)


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
async def test_this_machine_in_every_spelling(world: World, peer: str) -> None:
    """Loopback addresses of both families."""
    assert (await world.call("GET", "/_dev/clock", headers={}, peer=(peer, 1))).status == 200


async def test_outside_dev_mode_there_is_no_such_path(tmp_path: Path) -> None:
    """404 like any unknown path."""
    async with running(tmp_path) as world:
        for method, path in (("GET", "/_dev/clock"), ("POST", "/_dev/reset")):
            assert (await world.call(method, path, headers={})).status == 404


async def test_pages_of_other_sites_are_refused(world: World) -> None:
    """A browser on this machine that shows somebody's page can neither reset the gateway nor move its clock."""
    headers = {"origin": "https://evil.example"}
    reset = await world.call("POST", "/_dev/reset", headers=headers)
    moved = await world.call("POST", "/_dev/clock", {"advance_seconds": 1}, headers=headers)

    assert (reset.status, reset.json()["reason"]) == (403, "loopback_only")
    assert (moved.status, world.dev.advanced) == (403, [])


async def test_its_own_pages_may_be_opened_by_either_name(world: World) -> None:
    """The console at `localhost` is the same as the one at `127.0.0.1`; a page on another port is not."""
    for name in ("localhost", "127.0.0.1", "[::1]"):
        own = {"origin": f"http://{name}:{world.parts.config.port}"}
        assert (await world.call("DELETE", "/_dev/mailbox", headers=own)).status == 204
        other = {"origin": f"http://{name}:1"}
        assert (await world.call("DELETE", "/_dev/mailbox", headers=other)).status == 403
