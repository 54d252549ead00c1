"""Debug traces over the wire: both addresses give the same array."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from eventmill.core.envelope import format_time
from eventmill.flow.traces import TraceDetail
from eventmill.flow.upkeep import Upkeep
from eventmill.model import Lane
from eventmill.send.timings import Timings
from eventmill.store.work import TraceRecord
from tests.http.world import BASE, CLIENT, World, running

pytestmark = pytest.mark.anyio


DAY_MS = 86_400_000


def probe(delivery_id: str, started_ms: int, status: int, **members: Any) -> TraceRecord:
    detail = TraceDetail(
        delivery_id=delivery_id,
        event_code="challenge",
        client_id=CLIENT,
        url="https://erp.example/hook",
        method="GET",
        request_headers=(("user-agent", "Adobe/1.0"),),
        request_body="",
        batch=False,
        status=status,
        response_headers=(("Content-Type", "text/plain"), ("x-a", "1"), ("X-A", "2")),
        response_body=b"no",
        duration_ms=22,
        started_ms=started_ms,
        insights=(("Adobe IO Events", "Challenge Probe"),),
        **members,
    )
    return TraceRecord(ok=status == 200, ts_ms=started_ms + 22, positions=(), detail=detail.encode())


def addresses(registration: dict[str, str]) -> list[str]:
    id = registration["registration_id"]
    return [
        f"/events/organizations/1001/integrations/4001/tracing/{id}",
        f"/traces/1001/2001/3001/registration/{id}",
    ]


async def made_with_traces(world: World, *traces: TraceRecord) -> dict[str, str]:
    topic = await world.topic()
    world.hooks.traces = traces
    return await world.register(topic)


async def test_traces_of_a_challenge(tmp_path: Path) -> None:
    """Newest first, in the contract's shape, under both addresses; `rel:trace` names the second."""
    async with running(tmp_path) as world:
        now_ms = world.parts.clock.now_ms()
        older, newer = probe("d-1", now_ms - 2000, 500), probe("d-2", now_ms - 1000, 200)
        registration = await made_with_traces(world, older, newer)

        answers = [await world.call("GET", address) for address in addresses(registration)]

        assert [(each.status, each.header("content-type")) for each in answers] == [(200, "application/json")] * 2
        assert answers[0].body == answers[1].body
        assert registration["_links"]["rel:trace"]["href"] == BASE + addresses(registration)[1]  # type: ignore[index]
        newest, oldest = answers[0].json()
        assert oldest == {
            "event": "challenge",
            "id": "d-1",
            "date": format_time(now_ms - 1978),
            "clientId": CLIENT,
            "registrationId": registration["registration_id"],
            "trace": {
                "tracingRequest": {
                    "requestUrl": "https://erp.example/hook",
                    "requestMethod": "GET",
                    "contentType": "",
                    "requestBody": "",
                    "requestHeaders": {"user-agent": ["Adobe/1.0"]},
                },
                "tracingResponse": {
                    "responseBody": "no",
                    "responseCode": 500,
                    "responseTime": 22,
                    "responseHeaders": {"content-type": ["text/plain"], "x-a": ["1", "2"]},
                },
                "ts": now_ms - 1978,
                "deliveryTime": now_ms - 2000,
                "insightsInfo": [{"providerName": "Adobe IO Events", "eventCode": "Challenge Probe", "eventIds": []}],
            },
        }
        assert (newest["id"], newest["trace"]["tracingResponse"]["responseCode"]) == ("d-2", 200)


async def test_refused_creation_leaves_no_traces(tmp_path: Path) -> None:
    """Traces are stored with a registration, never without."""
    async with running(tmp_path, strict_challenge=True) as world:
        now_ms = world.parts.clock.now_ms()
        registration = await made_with_traces(world, probe("d-1", now_ms - 1000, 200))
        world.hooks.passes = False
        world.hooks.traces = (probe("d-2", now_ms, 500),)
        form = {**registration, "name": "Second"}
        refused = await world.call("POST", "/events/1001/2001/3001/registrations", form)

        assert refused.status == 400
        for address in addresses(registration):
            assert [each["id"] for each in (await world.call("GET", address)).json()] == ["d-1"]


async def test_no_attempts_and_unknown_registrations(tmp_path: Path) -> None:
    """An empty array before the first attempt; 404 for what does not exist."""
    async with running(tmp_path) as world:
        registration = await made_with_traces(world)

        for address in addresses(registration):
            assert (await world.call("GET", address)).json() == []
            unknown = await world.call("GET", address + "x")
            assert (unknown.status, unknown.json()["reason"]) == (404, "not_found")


async def test_both_addresses_answer_head_and_options(tmp_path: Path) -> None:
    """HEAD tells what GET would answer, without its body; OPTIONS which methods there are."""
    async with running(tmp_path) as world:
        registration = await made_with_traces(world, probe("d-1", world.parts.clock.now_ms(), 200))

        for address in addresses(registration):
            got, head = await world.call("GET", address), await world.call("HEAD", address)
            options = await world.call("OPTIONS", address)

            assert (head.status, head.body) == (200, b"")
            assert head.header("content-length") == str(len(got.body))
            assert (options.status, options.header("allow")) == (204, "GET, HEAD, OPTIONS")


async def test_timings_stand_beside_what_the_contract_has(tmp_path: Path) -> None:
    """What was measured and nothing else; traces without timings have no such member."""
    async with running(tmp_path) as world:
        now_ms = world.parts.clock.now_ms()
        fresh = Timings(21.5, 0.5, 1.25, 3.0, 12.3456)
        registration = await made_with_traces(
            world,
            probe("d-1", now_ms - 3000, 200),
            probe("d-2", now_ms - 2000, 200, timings=fresh),
            probe("d-3", now_ms - 1000, 200, timings=Timings(9.0, first_byte_ms=8.0, reused=True)),
        )

        traces = (await world.call("GET", addresses(registration)[0])).json()

        assert [each["trace"].get("timings") for each in traces] == [
            {"firstByte": 8.0, "total": 9.0, "reused": True},
            {"dns": 0.5, "connect": 1.25, "tls": 3.0, "firstByte": 12.346, "total": 21.5, "reused": False},
            None,
        ]


async def test_traces_go_after_seven_days_of_business_time(tmp_path: Path) -> None:
    """A trace of seven days ago is shown no more, and the next upkeep deletes it; younger ones stay."""
    async with running(tmp_path, dev=True) as world:
        dev = world.parts.dev
        assert dev is not None
        start_ms = world.parts.clock.now_ms()
        registration = await made_with_traces(world, probe("d-1", start_ms, 200), probe("d-2", start_ms + DAY_MS, 500))
        lane = Lane(int(registration["id"]))

        dev.clock.advance(7 * DAY_MS + 22)  # it ended 22 ms after it began
        assert await shown(world, registration) == ["d-2", "d-1"]
        dev.clock.advance(1)
        assert await shown(world, registration) == ["d-2"]
        assert len(await world.store.traces(lane)) == 2
        await Upkeep(world.store, world.parts.clock, world.parts.config).step()
        assert len(await world.store.traces(lane)) == 1


async def shown(world: World, registration: dict[str, str]) -> list[str]:
    answers = [await world.call("GET", address) for address in addresses(registration)]
    assert answers[0].body == answers[1].body
    return [each["id"] for each in answers[0].json()]
