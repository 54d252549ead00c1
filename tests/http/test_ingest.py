"""`eventmill.flow.ingest` on a real store: every answer of the ingress, and that a refusal leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from eventmill.model import Lane
from eventmill.store.log import StoredEvent
from tests.http.publisher import (
    CLIENT_ID,
    CODE,
    IMS_ORG,
    ORG,
    OTHER_ORG,
    PROVIDER_ID,
    Answer,
    World,
    event_bytes,
    tenant,
)

pytestmark = pytest.mark.anyio

RETRYABLE = {429, 503}


async def journal_of(world: World, lane: Lane) -> list[StoredEvent]:
    return await world.store.fetch(0, (await world.store.journal_page(lane, 0, 100, 1 << 30)).seqs)


def check_refusal(answer: Answer | None, status: int, reason: str, message: str) -> None:
    """An error answer in full: status, JSON body, headers, and a Retry-After only where a retry may help."""
    assert answer is not None
    assert (answer.status, answer.error["reason"]) == (status, reason)
    assert answer.error["message"].startswith(message)
    assert answer.error.keys() == {"reason", "message"} | ({"error_code"} if status in {401, 403} else set())
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-length"] == str(len(answer.body))
    assert len(answer.headers["x-request-id"]) == 32 and answer.headers["x-request-id"].isalnum()
    assert ("retry-after" in answer.headers) == (status in RETRYABLE)


async def test_accepted_event(tmp_path: Path) -> None:
    """200 with exactly `OK`, and the event is in the journal of every subscriber, once in the log."""
    async with tenant(tmp_path) as world:
        first, second = await world.add_registration(), await world.add_registration()

        answer = await world.publish()

        assert (answer.status, answer.body) == (200, b"OK")
        assert answer.headers.keys() == {"content-type", "content-length", "x-request-id"}
        assert (answer.headers["content-type"], answer.headers["content-length"]) == ("text/plain", "2")
        assert len(answer.headers["x-request-id"]) == 32 and answer.headers["x-request-id"].isalnum()
        assert await world.stored_events() == 1
        assert await journal_of(world, first.id) == await journal_of(world, second.id) != []


async def test_what_is_stored(tmp_path: Path) -> None:
    """The publisher's bytes, then a new UUIDv7 in both spellings; the origin names provider and publisher."""
    async with tenant(tmp_path) as world:
        registration = await world.add_registration()
        body = b'{"specversion" : "1.0","id":"1","source":"urn:uuid:%b","type":"%b","time":"x","data":{"n":1.50e0}}\n'

        await world.post(body % (PROVIDER_ID.encode(), CODE.encode()))

        event = (await journal_of(world, registration.id))[0]
        event_id = UUID(bytes=event.event_id)
        published = (body % (PROVIDER_ID.encode(), CODE.encode()))[:-2]
        assert event_id.version == 7
        assert event.body == published + f',"eventid":"{event_id}","event_id":"{event_id}"'.encode()
        assert event.origin.provider_name == f"3rd_party_custom_events_{IMS_ORG}_IDP01"
        assert (event.origin.provider_id, event.origin.event_code) == (PROVIDER_ID, CODE)
        assert (event.origin.org, event.origin.client_id) == (ORG, CLIENT_ID)
        assert (event.origin.provider_label, event.origin.delivery_format) == ("Warehouse", "cloud_events_v1")


async def test_missing_version_and_time_are_added(tmp_path: Path) -> None:
    """The official SDK's end-to-end test publishes without `specversion` and wants OK."""
    async with tenant(tmp_path) as world:
        registration = await world.add_registration()

        answer = await world.publish(specversion=..., time=...)

        stored = json.loads((await journal_of(world, registration.id))[0].body + b"}")
        assert (answer.status, stored["specversion"]) == (200, "1.0")
        assert stored["time"].endswith("Z") and len(stored["time"]) == len("2026-03-01T10:00:01.123Z")


@pytest.mark.parametrize(("marker", "stored"), [("true", True), ("TRUE", True), ("false", None), ("", None)])
async def test_phi_marker(tmp_path: Path, marker: str, stored: bool | None) -> None:
    """`x-event-phidata: true` becomes an attribute; false and the empty header of the Java client do not."""
    async with tenant(tmp_path) as world:
        registration = await world.add_registration()

        await world.publish({"x-event-phidata": marker}, phidata="forged")

        assert json.loads((await journal_of(world, registration.id))[0].body + b"}").get("phidata") is stored


async def test_adobe_io_provider_stores_the_envelope(tmp_path: Path) -> None:
    """The provider's format decides, not the registration."""
    async with tenant(tmp_path) as world:
        await world.add_provider("adobe-io-provider", form="adobe_io")
        registration = await world.add_registration("adobe-io-provider")

        await world.publish(source="urn:uuid:adobe-io-provider", data={"header": {}, "body": 1})

        event = (await journal_of(world, registration.id))[0]
        assert json.loads(event.body + b"}").keys() == {"event_id", "eventid", "event"}
        assert event.body.endswith(b'"event":{"header": {}, "body": 1}')


@pytest.mark.parametrize(
    "content_type",
    [
        "application/cloudevents+json",
        "application/cloudevents+json; charset=UTF-8",
        "Application/CloudEvents+JSON;x=y",
        "application/json",
        "application/json; charset=utf-8",
    ],
)
async def test_content_types_of_structured_mode(tmp_path: Path, content_type: str) -> None:
    """With parameters and in any case; plain JSON when the body says that it is a CloudEvent."""
    async with tenant(tmp_path) as world:
        await world.add_registration()

        assert (await world.publish({"content-type": content_type})).status == 200


@pytest.mark.parametrize("content_type", ["text/plain", "", None, "application/xml", "application/cloudevents+xml"])
async def test_other_content_types(tmp_path: Path, content_type: str | None) -> None:
    """415 that names those which are taken."""
    async with tenant(tmp_path) as world:
        await world.add_registration()

        answer = await world.publish({"content-type": content_type})

        message = "content-type: must be application/cloudevents+json, application/cloudevents-batch+json, or "
        check_refusal(answer, 415, "unsupported_media_type", message)
        assert await world.stored_events() == 0


@pytest.mark.parametrize(
    ("body", "reason", "message"),
    [
        (event_bytes(specversion=...), "invalid_event", "specversion: is required with content type application/json"),
        (b'{"sku":"A1"}', "invalid_event", "specversion: is required with content type application/json; send"),
        (b'{"data":{"specversion":"1.0"}}', "invalid_event", "source: must be a non-empty string, but is missing"),
        (b"[1]", "invalid_event", "the body must be a JSON object"),
        (b"{", "invalid_json", "the body is not valid JSON"),
    ],
)
async def test_plain_json_must_declare_itself(tmp_path: Path, body: bytes, reason: str, message: str) -> None:
    """`application/json` without `specversion` and without the headers of raw mode could be anything."""
    async with tenant(tmp_path) as world:
        await world.add_registration()

        answer = await world.post(body, {"content-type": "application/json"})

        assert answer is not None
        check_refusal(answer, 400, reason, message)
        assert await world.stored_events() == 0


@pytest.mark.parametrize(
    "content_type", ["application/cloudevents+json", "application/cloudevents+json; charset=UTF-8"]
)
async def test_compressed_body(tmp_path: Path, content_type: str) -> None:
    """415, not a body that is no JSON; `identity` says that it is not compressed."""
    async with tenant(tmp_path) as world:
        await world.add_registration()
        headers = {"content-type": content_type}

        answer = await world.post(b"\x1f\x8b", {**headers, "content-encoding": "gzip"})

        assert answer is not None
        check_refusal(answer, 415, "unsupported_media_type", "content-encoding: must be absent, but is 'gzip'")
        assert (await world.publish({**headers, "content-encoding": "identity"})).status == 200


INVALID_BODIES: list[tuple[str, bytes, str, str]] = [
    ("not JSON", b"{", "invalid_json", "the body is not valid JSON: "),
    ("empty", b"", "invalid_json", "the body is not valid JSON: "),
    ("not UTF-8", b'{"id":"\xff"}', "invalid_json", "the body is not UTF-8: byte 7"),
    ("too deep", b'{"data":' + b"[" * 9000 + b"]" * 9000 + b"}", "invalid_json", "the body nests arrays and objects"),
    ("not an object", b"[]", "invalid_event", "the body must be a JSON object"),
    ("member twice", b'{"id":"1","id":"2"}', "invalid_event", "id: must not be given more than once"),
    ("id missing", event_bytes(id=...), "invalid_event", "id: must be a non-empty string, but is missing"),
    ("id no string", event_bytes(id=7), "invalid_event", "id: must be a non-empty string, but is 7"),
    ("id empty", event_bytes(id=""), "invalid_event", 'id: must be a non-empty string, but is ""'),
    ("source missing", event_bytes(source=...), "invalid_event", "source: must be a non-empty string"),
    ("source no string", event_bytes(source=True), "invalid_event", "source: must be a non-empty string"),
    ("source empty", event_bytes(source=""), "invalid_event", "source: must be a non-empty string"),
    ("source no URI", event_bytes(source="a b"), "invalid_event", "source: must be a URI-reference (RFC 3986)"),
    ("type missing", event_bytes(type=...), "invalid_event", "type: must be a non-empty string"),
    ("type no string", event_bytes(type=[]), "invalid_event", "type: must be a string"),
    ("type empty", event_bytes(type=""), "invalid_event", "type: must be a non-empty string"),
    ("specversion 0.3", event_bytes(specversion="0.3"), "invalid_event", 'specversion: must be the string "1.0"'),
    ("specversion number", event_bytes(specversion=1.0), "invalid_event", 'specversion: must be the string "1.0"'),
    (
        "content type no string",
        event_bytes(datacontenttype=1),
        "invalid_event",
        "datacontenttype: must be a media type",
    ),
    (
        "content type no media",
        event_bytes(datacontenttype="x"),
        "invalid_event",
        "datacontenttype: must be a media type",
    ),
    (
        "content type not JSON",
        event_bytes(datacontenttype="text/plain"),
        "invalid_event",
        "datacontenttype: must be application/json or end in +json",
    ),
    ("subject empty", event_bytes(subject=""), "invalid_event", "subject: must be a non-empty string"),
    ("subject no string", event_bytes(subject=1), "invalid_event", "subject: must be a non-empty string"),
    ("data twice", event_bytes(data_base64="YQ=="), "invalid_event", "data_base64: must not stand beside data"),
    ("no base64", event_bytes(data=..., data_base64="a"), "invalid_event", "data_base64: must be a base64 string"),
    (
        "name",
        event_bytes(acmeTenant="x"),
        "invalid_event",
        '"acmeTenant": attribute names may hold only a-z, 0-9 and _',
    ),
    ("object", event_bytes(acme={}), "invalid_event", "acme: must be a string, number, boolean or null"),
    ("array", event_bytes(acme=[]), "invalid_event", "acme: must be a string, number, boolean or null"),
]


@pytest.mark.parametrize(
    ("body", "reason", "message"), [case[1:] for case in INVALID_BODIES], ids=[c[0] for c in INVALID_BODIES]
)
async def test_invalid_bodies(tmp_path: Path, body: bytes, reason: str, message: str) -> None:
    """Every check of the publishing contract answers 400, names the member, and stores nothing."""
    async with tenant(tmp_path) as world:
        registration = await world.add_registration()

        check_refusal(await world.post(body), 400, reason, message)

        assert (await world.stored_events(), await journal_of(world, registration.id)) == (0, [])
        assert world.store.stored_bytes(ORG) == 0


STRICT_ONLY: list[tuple[dict[str, Any], str]] = [
    ({"specversion": ...}, 'specversion: must be the string "1.0", but is missing'),
    ({"dataschema": "V1.0"}, "dataschema: must be an absolute URI"),
    ({"time": "1732021086000"}, "time: must be an RFC 3339 timestamp"),
    ({"acme_tenant": "eu"}, '"acme_tenant": attribute names may hold only a-z and 0-9'),
]


@pytest.mark.parametrize(("changes", "message"), STRICT_ONLY)
async def test_strict_mode(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    """What CloudEvents forbids and real publishers send: refused with `strict_events`, else accepted."""
    async with tenant(tmp_path / "strict", strict_events=True) as world:
        await world.add_registration()
        check_refusal(await world.publish(**changes), 400, "invalid_event", message)
        assert await world.stored_events() == 0
    async with tenant(tmp_path / "lenient") as world:
        await world.add_registration()
        assert (await world.publish(**changes)).status == 200


@pytest.mark.parametrize("member", ["eventid", "event_id", "recipientclientid", "recipient_client_id", "phidata"])
async def test_publishers_recipient_fields_are_no_error(tmp_path: Path, member: str) -> None:
    """They are replaced by the gateway's own."""
    async with tenant(tmp_path) as world:
        registration = await world.add_registration()

        forged: dict[str, Any] = {member: "forged"}
        assert (await world.publish(**forged)).status == 200
        assert b"forged" not in (await journal_of(world, registration.id))[0].body


async def test_nobody_subscribed(tmp_path: Path) -> None:
    """204 without a body, for a known code without registration and for an unknown code; nothing is stored."""
    async with tenant(tmp_path) as world:
        for answer in (await world.publish(), await world.publish(type="com.acme.unknown")):
            assert (answer.status, answer.body, list(answer.headers)) == (204, b"", ["x-request-id"])
        assert await world.stored_events() == 0


@pytest.mark.parametrize("source", ["urn:uuid:00000000-0000-4000-8000-000000000000", "https://acme.example/x", "x"])
async def test_unknown_provider(tmp_path: Path, source: str) -> None:
    """404 for a provider that does not exist and for a source that names none; 400 with `strict_catalog`."""
    async with tenant(tmp_path / "a") as world:
        check_refusal(await world.publish(source=source), 404, "not_found", f"source: '{source}' names no provider")
        assert await world.stored_events() == 0
    async with tenant(tmp_path / "b", strict_catalog=True) as world:
        check_refusal(await world.publish(source=source), 400, "invalid_event", f"source: '{source}' names no provider")


async def test_unknown_code_in_a_strict_catalog(tmp_path: Path) -> None:
    """400 naming the member; a known code without registration stays 204."""
    async with tenant(tmp_path, strict_catalog=True) as world:
        message = "type: 'com.acme.unknown' is no event code of provider"
        check_refusal(await world.publish(type="com.acme.unknown"), 400, "invalid_event", message)
        assert (await world.publish()).status == 204


async def test_provider_of_another_organization(tmp_path: Path) -> None:
    """403, whether or not anybody subscribes; a caller without organisation (lenient mode) may publish."""
    async with tenant(tmp_path) as world:
        await world.add_provider("foreign", org=OTHER_ORG)

        answer = await world.publish(source="urn:uuid:foreign")

        check_refusal(answer, 403, "wrong_organization", "source: provider foreign belongs to another organization")
        assert await world.stored_events() == 0
        nobody = {"x-ims-org-id": None, "x-api-key": "unknown-key"}
        assert (await world.publish(nobody, source="urn:uuid:foreign")).status == 204


@pytest.mark.parametrize(
    ("headers", "status", "reason"),
    [
        ({"authorization": None}, 401, "missing_token"),
        ({"authorization": "Basic abc"}, 401, "missing_token"),
        ({"x-api-key": None}, 403, "missing_api_key"),
        ({"x-ims-org-id": "NOBODY@AdobeOrg"}, 403, "wrong_organization"),
    ],
)
async def test_callers_that_may_not_publish(
    tmp_path: Path, headers: dict[str, str | None], status: int, reason: str
) -> None:
    """401 and 403 come before anything else is looked at, with the codes of the table of errors."""
    async with tenant(tmp_path) as world:
        await world.add_registration()

        check_refusal(await world.post(b"nonsense", headers), status, reason, "")


async def test_announced_size(tmp_path: Path) -> None:
    """413 from the content length alone, before the body is read."""
    async with tenant(tmp_path, event_bytes_max=1000) as world:
        await world.add_registration()

        for length in ("1001", "9" * 30):
            answer = await world.post([], {"content-length": length})
            check_refusal(answer, 413, "too_large", "the event is larger than 1000 bytes")


async def test_actual_size(tmp_path: Path) -> None:
    """413 once more bytes came than allowed, without reading the rest; exactly the limit passes."""
    async with tenant(tmp_path, event_bytes_max=1000) as world:
        await world.add_registration()
        whole = event_bytes().ljust(1000)
        chunks: list[Any] = [{"type": "http.request", "body": b"x" * 600, "more_body": True} for _ in range(2)]

        check_refusal(await world.post(chunks, {"content-length": None}), 413, "too_large", "the event is larger")
        check_refusal(await world.post(whole + b" ", {"content-length": None}), 413, "too_large", "the event is larger")
        assert await world.stored_events() == 0
        accepted = await world.post(whole)
        assert accepted is not None and accepted.status == 200


async def test_body_in_pieces(tmp_path: Path) -> None:
    """However the server cuts a body, it is one event."""
    async with tenant(tmp_path) as world:
        await world.add_registration()
        body = event_bytes()
        pieces: list[Any] = [
            {"type": "http.request", "body": body[at : at + 50], "more_body": True} for at in range(0, 250, 50)
        ]

        answer = await world.post([*pieces, {"type": "http.request", "body": body[250:], "more_body": False}])

        assert answer is not None and answer.status == 200


@pytest.mark.parametrize("before", [0, 1])
async def test_client_that_goes_away(tmp_path: Path, before: int) -> None:
    """An incomplete body is no event, even when what came of it is one; nobody is there to be answered."""
    async with tenant(tmp_path) as world:
        await world.add_registration()
        came: list[Any] = [{"type": "http.request", "body": event_bytes(), "more_body": True}] * before

        assert await world.post([*came, {"type": "http.disconnect"}]) is None
        assert await world.stored_events() == 0


@pytest.mark.on_files
async def test_throttle(tmp_path: Path) -> None:
    """So many requests at once per api key, refilled over 5 s; refused ones cost nothing; each key has its own."""
    async with tenant(tmp_path, publish_requests_per_5s=5) as world:
        await world.add_registration()
        statuses = [(await world.publish()).status for _ in range(5)]
        refused = await world.publish()
        other = await world.publish({"x-api-key": "another-key"})
        world.clock.machine_now_s += 1.0

        assert statuses == [200] * 5
        check_refusal(refused, 429, "throttled", "more than 5 requests in 5 s with this api key")
        assert refused.headers["retry-after"] == "1"
        assert other.status == 200
        assert [(await world.publish()).status for _ in range(2)] == [200, 429]


async def test_stored_bytes_quota(tmp_path: Path) -> None:
    """Over the organisation's quota 429 with Retry-After; what nobody would store does not count."""
    async with tenant(tmp_path, stored_bytes_per_org=500) as world:
        await world.add_registration()
        statuses = [(await world.publish()).status for _ in range(2)]
        refused = await world.publish()

        assert statuses == [200, 200]
        check_refusal(refused, 429, "storage_quota_reached", "the organization stores its 500 bytes of events")
        assert (await world.publish(type="com.acme.unknown")).status == 204
        assert await world.stored_events() == 2


@pytest.mark.on_files
async def test_disk_reserve(tmp_path: Path) -> None:
    """503 with Retry-After while the store refuses; the same answer again and again."""
    async with tenant(tmp_path, disk_reserve_bytes=1 << 60) as world:
        await world.add_registration()
        for _ in range(3):
            answer = await world.publish()
            check_refusal(answer, 503, "disk_reserve_reached", "the disk has reached its reserve")
            assert answer.headers["retry-after"] == "5"


async def test_shutting_down(tmp_path: Path) -> None:
    """503 with Retry-After, and the connection closes so that the client comes back to another process."""
    async with tenant(tmp_path) as world:
        await world.add_registration()
        world.ingest.stop()

        answer = await world.publish()

        check_refusal(answer, 503, "shutting_down", "the gateway is shutting down")
        assert answer.headers["connection"] == "close"
        assert await world.stored_events() == 0


async def test_new_registration_is_obeyed_at_once(tmp_path: Path) -> None:
    """Though the picture in memory is old: when nobody seemed to subscribe, and when others did."""
    async with tenant(tmp_path) as world:
        first = await world.add_registration(seen=False)
        assert (await world.publish()).status == 200

        second = await world.add_registration(seen=False)
        assert (await world.publish()).status == 200

        assert (len(await journal_of(world, first.id)), len(await journal_of(world, second.id))) == (2, 1)
        assert await world.stored_events() == 2


async def test_deleted_registration_is_obeyed_at_once(tmp_path: Path) -> None:
    """The append with the old picture is refused by the store; matched again, nobody wants the event."""
    async with tenant(tmp_path) as world:
        registration = await world.add_registration()
        assert (await world.publish()).status == 200
        await world.delete_registration(registration)

        assert (await world.publish()).status == 204
        assert await world.stored_events() == 1


async def test_new_provider_is_known_at_once(tmp_path: Path) -> None:
    """404 is not answered from an old picture."""
    async with tenant(tmp_path) as world:
        await world.add_provider("new-provider", seen=False)

        assert (await world.publish(source="urn:uuid:new-provider")).status == 204
