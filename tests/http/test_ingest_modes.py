"""Raw, binary and batch publishing on a real store: answers, journals byte by byte, refusals that leave nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from eventmill.model import Lane
from eventmill.store.log import StoredEvent
from tests.http.publisher import CODE, ORG, OTHER_ORG, PROVIDER_ID, Answer, World, event_bytes, tenant

pytestmark = pytest.mark.anyio

BATCH = {"content-type": "application/cloudevents-batch+json"}
RAW: dict[str, str | None] = {
    "content-type": "application/json",
    "x-adobe-event-provider-id": PROVIDER_ID,
    "x-adobe-event-code": CODE,
}
BINARY: dict[str, str | None] = {
    "content-type": "application/json",
    "ce-specversion": "1.0",
    "ce-id": "order-771",
    "ce-source": f"urn:uuid:{PROVIDER_ID}",
    "ce-type": CODE,
}
OPENING = f'{{"specversion":"1.0","id":"order-771","source":"urn:uuid:{PROVIDER_ID}","type":"{CODE}"'.encode()


async def send(world: World, body: bytes, headers: dict[str, str | None]) -> Answer:
    answer = await world.post(body, headers)
    assert answer is not None
    return answer


async def send_batch(world: World, *events: Any, **headers: str) -> Answer:
    """Events are bytes, or anything JSON has."""
    items = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in events]
    return await send(world, b"[" + b",".join(items) + b"]", {**BATCH, **headers})


async def journal_of(world: World, lane: Lane) -> list[StoredEvent]:
    return await world.store.fetch(0, (await world.store.journal_page(lane, 0, 100, 1 << 30)).seqs)


async def only_event(world: World, lane: Lane) -> StoredEvent:
    [event] = await journal_of(world, lane)
    return event


async def check_nothing_left(world: World) -> None:
    assert (await world.stored_events(), world.store.stored_bytes(ORG)) == (0, 0)


def check_refusal(answer: Answer, status: int, reason: str, message: str) -> None:
    assert (answer.status, answer.error["reason"]) == (status, reason)
    assert answer.error["message"].startswith(message)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-length"] == str(len(answer.body))
    assert "x-request-id" in answer.headers and "retry-after" not in answer.headers


def tail(event: StoredEvent, time: str = "") -> bytes:
    """What every stored event ends with."""
    event_id = UUID(bytes=event.event_id)
    assert event_id.version == 7
    added = f',"time":"{time}"' if time else ""
    return f'{added},"eventid":"{event_id}","event_id":"{event_id}"'.encode()


# --- Raw mode ---


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=UTF-8", None])
async def test_raw_event(tmp_path: Path, content_type: str | None) -> None:
    """`OK`, and the event around the body, byte by byte; its time is that of its arrival."""
    async with tenant(tmp_path) as world:
        registration = await world.add_registration()
        headers = {**RAW, "content-type": content_type, "x-event-id": "order-771"}

        answer = await send(world, b' {"data_event_id": "7", "n":1.50}\n', headers)

        assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"OK", "text/plain")
        event = await only_event(world, registration.id)
        time = json.loads(event.body + b"}")["time"]
        data = b',"datacontenttype":"application/json","data":{"data_event_id": "7", "n":1.50}'
        assert event.body == OPENING + data + tail(event, time)
        assert time.endswith("Z")
        assert (event.origin.provider_id, event.origin.event_code) == (PROVIDER_ID, CODE)


@pytest.mark.parametrize("body", [b"{}", b"[1]", b'"text"', b"7", b"null", b"true", b'{"specversion":"1.0"}'])
async def test_raw_body_is_any_json(tmp_path: Path, body: bytes) -> None:
    """All of it is data, even what looks like a CloudEvent; without an id each event gets a new UUID."""
    async with tenant(tmp_path) as world:
        registration = await world.add_registration()
        for empty in ({}, {"x-event-id": ""}):
            assert (await send(world, body, {**RAW, **empty})).status == 200

        first, second = (json.loads(event.body + b"}") for event in await journal_of(world, registration.id))
        assert first["data"] == second["data"] == json.loads(body)
        assert UUID(first["id"]).version == 4 and first["id"] not in {second["id"], first["eventid"]}


async def test_raw_event_of_an_adobe_io_provider(tmp_path: Path) -> None:
    """The envelope holds the body."""
    async with tenant(tmp_path) as world:
        await world.add_provider("adobe-io-provider", form="adobe_io")
        registration = await world.add_registration("adobe-io-provider")

        await send(world, b'{"n":1.50}', {**RAW, "x-adobe-event-provider-id": "adobe-io-provider"})

        assert (await only_event(world, registration.id)).body.endswith(b'"event":{"n":1.50}')


async def test_raw_event_with_phidata(tmp_path: Path) -> None:
    """Marked, when it has an id by which it can be traced; an empty marker, as the Java SDK sends it, is none."""
    async with tenant(tmp_path) as world:
        registration = await world.add_registration()
        for marker, event_id in (("true", "1"), ("", ""), ("false", "")):
            headers = {**RAW, "x-event-phidata": marker, "x-event-id": event_id}
            assert (await send(world, b"1", headers)).status == 200
        refused = await send(world, b"1", {**RAW, "x-event-phidata": "true"})

        check_refusal(refused, 400, "invalid_event", "x-event-id: must name a raw event that is marked")
        stored = [json.loads(event.body + b"}") for event in await journal_of(world, registration.id)]
        assert [event.get("phidata") for event in stored] == [True, None, None]


@pytest.mark.parametrize(
    ("changes", "body", "status", "reason", "message"),
    [
        ({"x-adobe-event-code": None}, b"1", 400, "invalid_event", "x-adobe-event-code: is required beside x-ad"),
        ({"x-adobe-event-code": ""}, b"{}", 400, "invalid_event", "x-adobe-event-code: is required beside x-adobe-ev"),
        ({"x-adobe-event-code": None}, event_bytes(specversion=...), 400, "invalid_event", "x-adobe-event-code: is "),
        ({"x-adobe-event-provider-id": None}, event_bytes(specversion=...), 400, "invalid_event", "x-adobe-event-prov"),
        ({"x-adobe-event-provider-id": "a b"}, b"1", 400, "invalid_event", "x-adobe-event-provider-id: must hold only"),
        ({"x-adobe-event-provider-id": "nobody"}, b"1", 404, "not_found", "source: 'urn:uuid:nobody' names no prov"),
        ({"x-adobe-event-provider-id": "foreign"}, b"1", 403, "wrong_organization", "source: provider foreign belong"),
        ({"x-event-id": "a\x01b"}, b"1", 400, "invalid_event", "x-event-id: must not hold control characters"),
        ({"x-adobe-event-code": "a\nb"}, b"1", 400, "invalid_event", "x-adobe-event-code: must not hold control"),
        ({}, b"", 400, "invalid_json", "the body is not valid JSON: "),
        ({}, b'{"n":', 400, "invalid_json", "the body is not valid JSON: "),
        ({}, b'1,"acme":"smuggled"', 400, "invalid_json", "the body is not valid JSON: "),
        ({}, b'"\xff"', 400, "invalid_json", "the body is not UTF-8: byte 1"),
        ({}, b"[" * 500_000, 400, "invalid_json", "the body nests arrays and objects deeper than 511 levels"),
        ({"content-type": "text/plain"}, b"1", 415, "unsupported_media_type", "content-type: must be application/clo"),
        ({"content-encoding": "gzip"}, b"1", 415, "unsupported_media_type", "content-encoding: must be absent, but is"),
        ({"x-event-id": "x" * (1 << 20)}, b"1", 413, "too_large", "the body and the headers of the event together are"),
    ],
)
async def test_refused_raw_events(
    tmp_path: Path, changes: dict[str, str | None], body: bytes, status: int, reason: str, message: str
) -> None:
    """A 4xx that names the header or the body; nothing stays behind."""
    async with tenant(tmp_path) as world:
        await world.add_registration()
        await world.add_provider("foreign", org=OTHER_ORG)
        await world.add_registration("foreign")
        answer = await send(world, body, {**RAW, **changes})
        check_refusal(answer, status, reason, message)
        await check_nothing_left(world)


async def test_structured_event_beside_half_the_raw_headers(tmp_path: Path) -> None:
    """Plain JSON that says `specversion` is a CloudEvent when the headers do not say all that raw mode needs."""
    async with tenant(tmp_path) as world:
        registration = await world.add_registration()

        assert (await send(world, event_bytes(), {**RAW, "x-adobe-event-code": None})).status == 200

        assert json.loads((await only_event(world, registration.id)).body + b"}")["data"] == {"sku": "A1"}


# --- Binary mode ---


async def test_binary_event(tmp_path: Path) -> None:
    """`OK`, attributes decoded, the body in place byte by byte."""
    async with tenant(tmp_path) as world:
        registration = await world.add_registration()
        headers = {**BINARY, "ce-time": "2026-03-01T10:00:00Z", "ce-acmetenant": "eu%20west", "ce-eventid": "forged"}

        answer = await send(world, b'{"sku": "A1", "n":1.50}', headers)

        assert (answer.status, answer.body) == (200, b"OK")
        event = await only_event(world, registration.id)
        rest = b',"datacontenttype":"application/json","time":"2026-03-01T10:00:00Z","acmetenant":"eu west"'
        assert event.body == OPENING + rest + b',"data":{"sku": "A1", "n":1.50}' + tail(event)


async def test_binary_event_that_is_not_json(tmp_path: Path) -> None:
    """It arrives as `data_base64` under its content type; marked by `x-event-phidata` like any other."""
    async with tenant(tmp_path) as world:
        registration = await world.add_registration()

        assert (
            await send(world, b"\x00\xffpng", {**BINARY, "content-type": "image/png", "x-event-phidata": "true"})
        ).status == 200

        stored = json.loads((await only_event(world, registration.id)).body + b"}")
        assert (stored["datacontenttype"], stored["data_base64"]) == ("image/png", "AP9wbmc=")
        assert stored["phidata"] is True and "data" not in stored


@pytest.mark.parametrize(
    ("changes", "body", "status", "reason", "message"),
    [
        ({"ce-id": None}, b"1", 400, "invalid_event", "ce-id: must be a non-empty string, but is missing"),
        ({"ce-specversion": "0.3"}, b"1", 400, "invalid_event", "ce-specversion: must be the string"),
        ({"ce-source": "urn:uuid:nobody"}, b"1", 404, "not_found", "source: 'urn:uuid:nobody' names no provider"),
        ({"ce-subject": "%0d%0aset-cookie:x"}, b"1", 400, "invalid_event", "ce-subject: must not hold control chara"),
        ({"ce-subject": "100%"}, b"1", 400, "invalid_event", "ce-subject: has a % that two hexadecimal digits"),
        ({"ce-acme-x": "1"}, b"1", 400, "invalid_event", "ce-acme-x: attribute names may hold only"),
        ({"content-type": None}, b"text", 400, "invalid_json", "the body, sent without content-type, is not valid"),
        ({"content-type": "x"}, b"1", 400, "invalid_event", "content-type: must be a media type (RFC 2045)"),
        ({"content-type": "application/cloudevents+xml"}, b"1", 415, "unsupported_media_type", "content-type: must"),
        ({"content-encoding": "gzip"}, b"1", 415, "unsupported_media_type", "content-encoding: must be absent"),
        ({"ce-subject": "x" * 900}, b"1" * 150, 413, "too_large", "the body and the headers of the event together"),
        ({}, b"1" * 1001, 413, "too_large", "the event is larger than 1000 bytes"),
    ],
)
async def test_refused_binary_events(
    tmp_path: Path, changes: dict[str, str | None], body: bytes, status: int, reason: str, message: str
) -> None:
    """A 4xx that names the header; nothing stays behind."""
    async with tenant(tmp_path, event_bytes_max=1000) as world:
        await world.add_registration()
        check_refusal(await send(world, body, {**BINARY, **changes}), status, reason, message)
        await check_nothing_left(world)


async def test_content_type_tells_the_mode_first(tmp_path: Path) -> None:
    """A structured event stays one beside headers of the other modes; binary goes before raw."""
    async with tenant(tmp_path) as world:
        registration = await world.add_registration()
        misleading = {**RAW, **BINARY, "ce-id": "header", "x-event-id": "raw"}

        await send(world, event_bytes(id="body"), {**misleading, "content-type": "application/cloudevents+json"})
        await send(world, event_bytes(id="body"), misleading)

        stored = [json.loads(event.body + b"}") for event in await journal_of(world, registration.id)]
        assert [event["id"] for event in stored] == ["body", "header"]
        assert stored[1]["data"]["id"] == "body"


@pytest.mark.parametrize("headers", [RAW, BINARY])
async def test_nobody_subscribed_to_one(tmp_path: Path, headers: dict[str, str | None]) -> None:
    """204, as in structured mode."""
    async with tenant(tmp_path) as world:
        answer = await send(world, b"1", headers)
        assert (answer.status, answer.body, list(answer.headers)) == (204, b"", ["x-request-id"])
        await check_nothing_left(world)


# --- Batch mode ---


async def test_batch(tmp_path: Path) -> None:
    """A summary in the order of the batch, events of different providers beside each other, each as it came."""
    async with tenant(tmp_path) as world:
        await world.add_provider("second", form="adobe_io")
        first, second = await world.add_registration(), await world.add_registration("second")
        events = [
            event_bytes(id="a"),
            event_bytes(id="b", type="com.acme.unknown"),
            event_bytes(id="c", source="urn:uuid:second", data={"n": 1.5}),
        ]

        answer = await send_batch(world, *events, **{"content-type": BATCH["content-type"] + "; charset=UTF-8"})

        [kept], [other] = await journal_of(world, first.id), await journal_of(world, second.id)
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
        assert answer.headers["content-length"] == str(len(answer.body))
        assert json.loads(answer.body) == {
            "accepted": 3,
            "stored": 2,
            "results": [
                {"id": "a", "stored": True, "eventid": str(UUID(bytes=kept.event_id))},
                {"id": "b", "stored": False},
                {"id": "c", "stored": True, "eventid": str(UUID(bytes=other.event_id))},
            ],
        }
        assert kept.body == events[0][:-1] + tail(kept)
        assert other.body.endswith(b'"event":{"n": 1.5}')
        assert await world.stored_events() == 2


@pytest.mark.parametrize("events", [[], [event_bytes(type="com.acme.unknown")] * 2])
async def test_batch_that_nobody_wants(tmp_path: Path, events: list[bytes]) -> None:
    """The summary says that nothing was stored; an empty batch is valid, too (JSON Event Format, section 4)."""
    async with tenant(tmp_path) as world:
        await world.add_registration()

        answer = await send_batch(world, *events)

        summary = json.loads(answer.body)
        assert (answer.status, summary["accepted"], summary["stored"]) == (200, len(events), 0)
        assert summary["results"] == [{"id": "order-771", "stored": False}] * len(events)
        await check_nothing_left(world)


async def test_batch_of_the_deepest_events(tmp_path: Path) -> None:
    """One level more than an event may have is the array's."""
    async with tenant(tmp_path) as world:
        await world.add_registration()
        nested = b"[" * 511 + b"]" * 511
        deepest = event_bytes(data=1).replace(b'"data": 1', b'"data":' + nested)

        assert (await send_batch(world, deepest)).status == 200
        answer = await send_batch(world, deepest.replace(nested, b"[" + nested + b"]"))

        message = (
            "nothing was stored: 1 of 1 events refused; event 0: the event nests arrays and objects deeper than 512"
        )
        check_refusal(answer, 400, "invalid_batch", message)
        assert await world.stored_events() == 1


async def test_batch_with_phidata(tmp_path: Path) -> None:
    """The marker of the request marks all its events."""
    async with tenant(tmp_path) as world:
        registration = await world.add_registration()

        await send_batch(world, event_bytes(id="a"), event_bytes(id="b"), **{"x-event-phidata": "true"})

        stored = [json.loads(event.body + b"}") for event in await journal_of(world, registration.id)]
        assert [event["phidata"] for event in stored] == [True, True]


async def test_refused_events_of_a_batch(tmp_path: Path) -> None:
    """400, each told by its place with what it would be told alone; the good ones are not stored either."""
    async with tenant(tmp_path) as world:
        await world.add_registration()

        answer = await send_batch(
            world, event_bytes(), event_bytes(id=""), [event_bytes().decode()], b'{"id":"\xff"}', 7
        )

        message = "nothing was stored: 4 of 5 events refused; event 1: id: must be a non-empty string"
        check_refusal(answer, 400, "invalid_batch", message)
        errors = json.loads(answer.body)["errors"]
        assert [(error["index"], error["reason"]) for error in errors] == [
            (1, "invalid_event"),
            (2, "invalid_event"),
            (3, "invalid_json"),
            (4, "invalid_event"),
        ]
        assert errors[0]["message"] == 'id: must be a non-empty string, but is ""'
        assert errors[2]["message"] == "the event is not UTF-8: byte 7"
        await check_nothing_left(world)


async def test_unknown_providers_in_a_batch(tmp_path: Path) -> None:
    """As refused events, on the newest picture: a provider made meanwhile is known."""
    async with tenant(tmp_path) as world:
        await world.add_registration()
        await world.add_provider("new-provider", seen=False)
        batch = [event_bytes(id="a"), event_bytes(source="urn:uuid:new-provider"), event_bytes(source="urn:uuid:none")]

        answer = await send_batch(world, *batch)

        check_refusal(answer, 400, "invalid_batch", "nothing was stored: 1 of 3 events refused; event 2: source: 'urn")
        assert json.loads(answer.body)["errors"] == [
            {
                "index": 2,
                "reason": "not_found",
                "message": "source: 'urn:uuid:none' names no provider; it must be urn:uuid:<provider id>",
            }
        ]
        await check_nothing_left(world)
        assert (await send_batch(world, *batch[:2])).status == 200


async def test_unknown_code_in_a_strict_catalog(tmp_path: Path) -> None:
    """Refuses the batch that holds it."""
    async with tenant(tmp_path, strict_catalog=True) as world:
        await world.add_registration()
        answer = await send_batch(world, event_bytes(), event_bytes(type="com.acme.unknown"))
        check_refusal(answer, 400, "invalid_batch", "nothing was stored: 1 of 2 events refused; event 1: type: 'com")
        await check_nothing_left(world)


async def test_batch_with_an_event_of_another_organization(tmp_path: Path) -> None:
    """403 for the whole, whatever else is wrong with it; so for a caller of no organisation who mixes two."""
    async with tenant(tmp_path) as world:
        await world.add_provider("foreign", org=OTHER_ORG)
        await world.add_registration()
        await world.add_registration("foreign")
        foreign = event_bytes(source="urn:uuid:foreign")

        for headers, message in (
            ({}, "source: provider foreign belongs to another organization"),
            ({"x-ims-org-id": "", "x-api-key": "unknown-key"}, "source: its provider belongs to another organization"),
        ):
            batch = [event_bytes(), event_bytes(source="urn:uuid:none"), foreign]
            answer = await send_batch(world, *batch, **headers)
            check_refusal(
                answer, 403, "wrong_organization", f"nothing was stored: 2 of 3 events refused; event 2: {message}"
            )
            assert answer.error["error_code"] == "403004"
            assert [error["index"] for error in json.loads(answer.body)["errors"]] == [1, 2]
        await check_nothing_left(world)


@pytest.mark.parametrize(
    ("body", "status", "reason", "message"),
    [
        (b"", 400, "invalid_json", "the batch is not valid JSON: "),
        (b"[" + event_bytes(), 400, "invalid_json", "the batch is not valid JSON: "),
        (event_bytes(), 400, "invalid_batch", "the batch must be a JSON array of CloudEvents: "),
        (b"[" * 2000, 400, "invalid_json", "the batch nests arrays and objects deeper than 512 levels"),
        (b"[1,2,3,4]", 413, "too_large", "the batch holds 4 events; at most 3 are taken"),
        (b"[" + b" " * 5000 + b"]", 413, "too_large", "the batch is larger than 5000 bytes"),
        (
            b"[" + event_bytes(data="x" * 1000) + b"]",
            400,
            "invalid_batch",
            "nothing was stored: 1 of 1 events refused;",
        ),
    ],
)
async def test_what_is_no_batch(tmp_path: Path, body: bytes, status: int, reason: str, message: str) -> None:
    """Neither are too many events, or a body or an event that is too large."""
    settings = {"publish_batch_events_max": 3, "publish_batch_bytes_max": 5000, "event_bytes_max": 1000}
    async with tenant(tmp_path, **settings) as world:
        await world.add_registration()
        for announced in (str(len(body)), None):
            check_refusal(await send(world, body, {**BATCH, "content-length": announced}), status, reason, message)
        await check_nothing_left(world)


async def test_batch_may_be_larger_than_an_event(tmp_path: Path) -> None:
    """The limit of an event holds for each of its events."""
    async with tenant(tmp_path, event_bytes_max=1000) as world:
        await world.add_registration()
        assert (await send_batch(world, *[event_bytes(data="x" * 700)] * 3)).status == 200
        assert await world.stored_events() == 3


async def test_throttle_counts_a_batch_once(tmp_path: Path) -> None:
    """However many events it holds."""
    async with tenant(tmp_path, publish_requests_per_5s=2) as world:
        await world.add_registration()
        statuses = [(await send_batch(world, *[event_bytes()] * 4)).status for _ in range(3)]
        assert statuses == [200, 200, 429]
        assert await world.stored_events() == 8


async def test_stored_bytes_quota(tmp_path: Path) -> None:
    """429 with Retry-After for the whole batch, once the quota is reached."""
    async with tenant(tmp_path, stored_bytes_per_org=500) as world:
        await world.add_registration()
        assert (await send_batch(world, *[event_bytes()] * 3)).status == 200

        refused = await send_batch(world, event_bytes(type="com.acme.unknown"), event_bytes())

        assert (refused.status, refused.error["reason"]) == (429, "storage_quota_reached")
        assert refused.headers["retry-after"] == "60"
        assert await world.stored_events() == 3


async def test_batch_obeys_registrations_at_once(tmp_path: Path) -> None:
    """Though the picture in memory is old: matched again as a whole, when one was made and when one was deleted."""
    async with tenant(tmp_path) as world:
        first = await world.add_registration(seen=False)
        assert json.loads((await send_batch(world, event_bytes())).body)["stored"] == 1

        second = await world.add_registration(seen=False)
        assert json.loads((await send_batch(world, event_bytes(), event_bytes())).body)["stored"] == 2
        assert (len(await journal_of(world, first.id)), len(await journal_of(world, second.id))) == (3, 2)

        await world.delete_registration(first)
        await world.delete_registration(second)
        assert json.loads((await send_batch(world, event_bytes())).body)["stored"] == 0
        assert await world.stored_events() == 3
