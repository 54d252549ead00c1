"""Debug traces over the wire: both addresses give the same array."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventmill.flow.traces import TraceDetail
from eventmill.store.work import TraceRecord
from tests.http.world import BASE, CLIENT, World, running

pytestmark = pytest.mark.anyio


def probe(delivery_id: str, started_ms: int, status: int) -> TraceRecord:
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
        older, newer = probe("d-1", 1_772_359_201_101, 500), probe("d-2", 1_772_359_202_101, 200)
        registration = await made_with_traces(world, older, newer)

        answers = [await world.call("GET", address) for address in addresses(registration)]

        assert [(each.status, each.header("content-type")) for each in answers] == [(200, "application/json")] * 2
        assert answers[0].body == answers[1].body
        assert registration["_links"]["rel:trace"]["href"] == BASE + addresses(registration)[1]  # type: ignore[index]
        newest, oldest = answers[0].json()
        assert oldest == {
            "event": "challenge",
            "id": "d-1",
            "date": "2026-03-01T10:00:01.123Z",
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
                "ts": 1_772_359_201_123,
                "deliveryTime": 1_772_359_201_101,
                "insightsInfo": [{"providerName": "Adobe IO Events", "eventCode": "Challenge Probe", "eventIds": []}],
            },
        }
        assert (newest["id"], newest["trace"]["tracingResponse"]["responseCode"]) == ("d-2", 200)


async def test_refused_creation_leaves_no_traces(tmp_path: Path) -> None:
    """Traces are stored with a registration, never without."""
    async with running(tmp_path, strict_challenge=True) as world:
        registration = await made_with_traces(world, probe("d-1", 1000, 200))
        world.hooks.passes = False
        world.hooks.traces = (probe("d-2", 2000, 500),)
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
