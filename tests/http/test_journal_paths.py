"""The journal over HTTP: every path family, the links that are emitted, cross-origin headers, and who may read."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from eventmill.errors import StoreUnavailable
from tests.http.client import Answer
from tests.http.world import BASE, FOREIGN_IMS_ORG, IMS_ORG, OTHER_CLIENT, World, running

pytestmark = pytest.mark.anyio

EVENTS_TYPE = "application/vnd.adobecloud.events+json;charset=UTF-8"
CORS = {
    "access-control-allow-origin": "*",
    "access-control-allow-credentials": "true",
    "access-control-allow-methods": "GET, POST, PUT, DELETE, OPTIONS, PATCH",
    "access-control-allow-headers": "X-Requested-With, Origin, Content-Type, Accept, Accept-Language, Authorization, "
    "x-api-key, x-ims-org-id, x-request-id, "
    "x-adobe-io-events-url-links, prefer, last-event-id, if-match, if-none-match",
    "access-control-expose-headers": "link, retry-after, x-request-id, preference-applied, etag",
    "access-control-max-age": "60",
}


@pytest.fixture(scope="module")
async def filled(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[World, str]]:
    """A gateway and the tail of the journal path of a registration with three events; nothing here changes it."""
    async with running(tmp_path_factory.mktemp("journal")) as world:
        topic = await world.topic()
        registration = await world.register(topic, delivery_type="journal")
        for number in range(3):
            assert await world.publish(topic, str(number)) == 200
        yield world, f"organizations/1001/integrations/4001/{registration['registration_id']}"


def links(answer: Answer) -> dict[str, str]:
    """One `Link` header for each link."""
    lines = [value for name, value in answer.headers if name == "link"]
    found = [re.fullmatch(r'<([^>]*)>; rel="(\w+)"', line) for line in lines]
    return {match[2]: match[1] for match in found if match is not None}


def ids(answer: Answer) -> list[str]:
    return [entry["event"]["id"] for entry in answer.json()["events"]]


@pytest.mark.parametrize("family", ["/events/", "/", "/events-fast/"])
async def test_reading_families(filled: tuple[World, str], family: str) -> None:
    """All three read the same journal; every link they emit is served."""
    world, tail = filled
    answer = await world.call("GET", f"{family}{tail}?limit=2")

    assert (answer.status, answer.header("content-type")) == (200, EVENTS_TYPE)
    assert ids(answer) == ["0", "1"]
    emitted = links(answer)
    assert list(emitted) == ["events", "next", "count", "latest", "page", "seek", "validate"]
    following = await world.call("GET", emitted["next"])
    assert ids(following) == ["2"]
    for rel in ("events", "count", "validate"):
        assert (await world.call("GET", emitted[rel])).status == 200
    assert (await world.call("GET", emitted["latest"])).status == 204
    position = emitted["next"].partition("since=")[2].partition("&")[0]
    page = emitted["page"].replace("{position}", position).replace("{count}", "1")
    assert ids(await world.call("GET", page)) == ["2"]
    seek = emitted["seek"].replace("{duration}", "-PT1H").replace("{count}", "1")
    assert ids(await world.call("GET", seek)) == ["0"]


@pytest.mark.parametrize("form", ["/events/{tail}/validate", "/{tail}/validate", "/events-validate/{tail}"])
async def test_validate_forms(filled: tuple[World, str], form: str) -> None:
    """Both forms answer 200 for a good position and 400 for a bad or missing one."""
    world, tail = filled
    last = (await world.call("GET", f"/events/{tail}")).json()["_page"]["last"]
    path = form.format(tail=tail)

    good = await world.call("GET", f"{path}?since={last}")
    bad = [await world.call("GET", f"{path}{query}") for query in ("?since=penguin:1", "")]

    assert (good.status, good.json()) == (200, {"events": [], "_page": {"last": last, "count": 0}})
    assert [each.status for each in bad] == [400, 400]


async def test_a_store_that_does_not_answer(filled: tuple[World, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """`validate` calls no position bad because of that: its client would forget a good one."""
    world, tail = filled
    last = (await world.call("GET", f"/events/{tail}")).json()["_page"]["last"]

    async def fail(*_: object) -> Any:
        raise StoreUnavailable("the database does not answer")

    monkeypatch.setattr(world.store, "bounds", fail)
    answers = [await world.call("GET", f"{path}/{tail}?since={last}") for path in ("/events-validate", "/events")]
    assert [each.status for each in answers] == [503, 503]


async def test_count(filled: tuple[World, str]) -> None:
    """How many events there are after a position, or in all."""
    world, tail = filled
    first = (await world.call("GET", f"/events/{tail}?limit=1")).json()["_page"]["last"]

    counted = [(await world.call("GET", f"/count/{tail}{query}")).json() for query in ("", f"?since={first}")]

    assert counted == [{"count": 3}, {"count": 2}]


async def test_absolute_links_on_demand(filled: tuple[World, str]) -> None:
    """Relative by default, because the Java client needs it; absolute with the header of the reference."""
    world, tail = filled
    absolute = {**world.auth(), "x-adobe-io-events-url-links": "true"}

    assert links(await world.call("GET", f"/events/{tail}"))["events"] == f"/events/{tail}"
    answer = await world.call("GET", f"/events/{tail}", headers=absolute)
    assert links(answer)["events"] == f"{BASE}/events/{tail}"


async def test_registration_id_named_tracing_or_validate_is_not_misread(filled: tuple[World, str]) -> None:
    """`tracing/{id}` wins over `{id}/validate`, and none of them shadows another."""
    world, _ = filled
    base = "/events/organizations/1001/integrations/4001"

    answers = [
        (await world.call("GET", f"{base}{path}")).json()["message"]
        for path in ("/tracing/validate", "/tracing", "/validate", "/x/validate")
    ]

    assert answers == [
        f"registration '{id}' does not exist in organization 1001" for id in ("validate", "tracing", "validate", "x")
    ]


@pytest.mark.parametrize("family", ["/events/", "/", "/events-fast/", "/events-validate/", "/count/"])
async def test_cross_origin_headers(filled: tuple[World, str], family: str) -> None:
    """On answers, on refusals, and on the preflight, which needs no token."""
    world, tail = filled
    preflight = await world.call("OPTIONS", family + tail, headers={"origin": "https://app.example"})
    answers = [
        preflight,
        await world.call("GET", family + tail),
        await world.call("GET", family + tail, headers={}),
        await world.call("GET", family + tail + "x"),
        await world.call("POST", family + tail),
    ]

    assert [each.status for each in answers[2:]] == [401, 404, 405]
    assert (preflight.status, preflight.body, preflight.header("allow")) == (204, b"", "GET, HEAD, OPTIONS")
    assert answers[4].header("allow") == "GET, HEAD, OPTIONS"
    for answer in answers:
        assert {name: answer.header(name) for name in CORS} == CORS


@pytest.mark.parametrize("family", ["/events/", "/", "/events-fast/", "/count/"])
@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain;charset=UTF-8"),
        ("*/*", "text/plain;charset=UTF-8"),
        ("application/vnd.adobecloud.events+json", "text/plain;charset=UTF-8"),
        ("application/json", "application/json"),
        ("application/json, text/plain, */*", "application/json"),
        ("text/plain, application/json;q=0.5", "text/plain;charset=UTF-8"),
    ],
)
async def test_expired_position(filled: tuple[World, str], family: str, accept: str, content_type: str) -> None:
    """410 with the way back, in text unless JSON is asked for by name; `validate` says 400."""
    world, tail = filled
    headers = {**world.auth(), **({"accept": accept} if accept else {})}
    gone = await world.call("GET", f"{family}{tail}?since=1.0.0.20260101.0", headers=headers)

    assert (gone.status, gone.header("content-type"), gone.header("cache-control")) == (410, content_type, "no-store")
    assert "Events at position 1.0.0.20260101.0 have expired." in gone.body.decode()
    assert links(gone) == {"events": f"/events/{tail}", "latest": f"/events/{tail}?latest=true"}
    assert (await world.call("GET", links(gone)["events"])).status == 200
    assert (await world.call("GET", f"/events-validate/{tail}?since=1.0.0.20260101.0")).status == 400


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("organizations/9/integrations/4001/{id}", "organization '9' does not exist"),
        ("organizations/1001/integrations/4001/none", "registration 'none' does not exist in organization 1001"),
        ("organizations/1001/integrations/none/{id}", "registration {id} does not exist in integration 'none'"),
        ("organizations/1001/integrations/4002/{id}", "registration {id} does not exist in integration '4002'"),
        ("organizations/1001/integrations/4009/{id}", "registration {id} does not exist in integration '4009'"),
    ],
)
async def test_unknown_triples(filled: tuple[World, str], path: str, message: str) -> None:
    """Organisation, credential and registration must belong together, else 404."""
    world, tail = filled
    id = tail.rsplit("/", 1)[1]
    for family in ("/events/", "/", "/events-fast/", "/events-validate/", "/count/"):
        answer = await world.call("GET", family + path.format(id=id))

        assert (answer.status, answer.json()["message"]) == (404, message.format(id=id))


async def test_who_may_read(filled: tuple[World, str]) -> None:
    """The registration's own api key and no other of its organisation, an organisation header that matches."""
    world, tail = filled
    auth = world.auth()
    seen: list[tuple[Any, ...]] = []
    for headers in (
        {**auth, "x-ims-org-id": IMS_ORG, "x-gw-ims-org-id": IMS_ORG},
        world.auth(client_id=OTHER_CLIENT),
        {**auth, "x-ims-org-id": FOREIGN_IMS_ORG},
        {"authorization": auth["authorization"]},
        world.foreign_auth(),
        {"x-api-key": auth["x-api-key"]},
    ):
        answer = await world.call("GET", f"/events/{tail}", headers=headers)
        seen.append((answer.status, None if answer.status == 200 else answer.json()["reason"]))

    assert seen == [
        (200, None),
        (403, "wrong_api_key"),
        (403, "wrong_organization"),
        (403, "missing_api_key"),
        (403, "wrong_organization"),
        (401, "missing_token"),
    ]


async def test_empty_journal_and_bad_parameters(tmp_path: Path) -> None:
    """204 with links and `retry-after: 10`; parameters that cannot be obeyed are 400 with a message."""
    async with running(tmp_path) as world:
        registration = await world.register(await world.topic(), delivery_type="journal")
        path = registration["_links"]["rel:events"]["href"].removeprefix(BASE)

        empty = await world.call("GET", path)
        bad = await world.call("GET", f"{path}?limit=0")

        assert (empty.status, empty.body, empty.header("retry-after")) == (204, b"", "10")
        assert "next" in links(empty)
        assert bad.status == 400
        assert "limit" in bad.json()["message"]
        assert not links(bad)
