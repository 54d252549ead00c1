"""`eventmill.flow.journal` on a real store: pages, links, positions that last, and every refusal of a journal read."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest

from eventmill.errors import GatewayError, Reason
from eventmill.flow.journal import Journal, JournalAnswer, JournalRequest
from eventmill.model import Registration
from tests.http.publisher import CLIENT_ID, CODE, PROVIDER_ID, World, tenant

pytestmark = pytest.mark.anyio

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
RELS = ["events", "next", "count", "latest", "page", "seek", "validate"]


class Reader:
    """A client of one registration's journal."""

    def __init__(self, world: World, registration: Registration) -> None:
        self.journal = Journal(world.store, world.clock, world.config)
        self.registration = registration
        self.tail = f"organizations/1001/integrations/4001/{registration.registration_id}"

    def request(self, query: str, **options: bool) -> JournalRequest:
        return JournalRequest(self.registration, "4001", parse_qsl(query, keep_blank_values=True), **options)

    async def read(self, query: str = "", **options: bool) -> JournalAnswer:
        return await self.journal.read(self.request(query, **options))

    async def validate(self, query: str) -> JournalAnswer:
        return await self.journal.validate(self.request(query))

    async def count(self, query: str = "") -> JournalAnswer:
        return await self.journal.count(self.request(query))

    async def follow(self, answer: JournalAnswer, more: str = "") -> JournalAnswer:
        """Read the answer's `next` link, as official clients do."""
        return await self.read(urlsplit(links(answer)["next"]).query + more)


def links(answer: JournalAnswer) -> dict[str, str]:
    """Targets by rel, in order; each link has a header line of its own."""
    found = {}
    for name, value in answer.headers:
        if name == b"link":
            target, rel = re.fullmatch(r'<([^>]*)>; rel="([a-z]+)"', value.decode()).groups()  # type: ignore[union-attr]
            found[rel] = target
    return found


def header(answer: JournalAnswer, name: str) -> str | None:
    return next((value.decode() for key, value in answer.headers if key.decode() == name), None)


def page(answer: JournalAnswer) -> dict[str, Any]:
    assert answer.status == 200 and answer.body is not None
    members: dict[str, Any] = json.loads(answer.body)
    return members


def ids(answer: JournalAnswer) -> list[str]:
    """The publishers' ids of the events of a page."""
    return [entry["event"]["id"] for entry in page(answer)["events"]]


async def refusal(asked: Awaitable[JournalAnswer]) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        await asked
    return caught.value


async def test_empty_journal(tmp_path: Path) -> None:
    """204 with all links, Retry-After, and a next position that works although there never was an event."""
    async with tenant(tmp_path) as world:
        reader = Reader(world, await world.add_registration())

        answer = await reader.read()

        assert (answer.status, answer.body, list(links(answer))) == (204, None, RELS)
        assert (header(answer, "retry-after"), header(answer, "cache-control")) == ("10", "no-store")
        assert (await reader.follow(answer)).status == 204
        await world.publish(id="first")
        assert ids(await reader.follow(answer)) == ["first"]


async def test_page_byte_by_byte(tmp_path: Path) -> None:
    """Position and event of each entry, all recipient fields, `_page`, and the headers of a 200."""
    async with tenant(tmp_path) as world:
        reader = Reader(world, await world.add_registration())
        source = f"urn:uuid:{PROVIDER_ID}"
        body = f'{{"specversion":"1.0","id":"1","source":"{source}","type":"{CODE}","time":"x","data":[ 1.0 ]}}'
        await world.post(body.encode())

        answer = await reader.read()

        event_id = page(answer)["events"][0]["event"]["eventid"]
        position = page(answer)["_page"]["last"]
        assert (answer.body or b"").decode() == (
            f'{{"events":[{{"position":"{position}","event":{body[:-1]},"eventid":"{event_id}","event_id":"{event_id}",'
            f'"recipient_client_id":"{CLIENT_ID}","recipientclientid":"{CLIENT_ID}"}}}}],'
            f'"_page":{{"last":"{position}","count":1}}}}'
        )
        assert re.fullmatch(r"1\.\d+\.0\.\d{8}\.1", position)
        assert answer.headers[:2] == (
            (b"content-type", b"application/vnd.adobecloud.events+json;charset=UTF-8"),
            (b"cache-control", b"no-store"),
        )
        assert list(links(answer)) == RELS
        assert header(answer, "retry-after") is None


async def test_links(tmp_path: Path) -> None:
    """Relative targets in the order of the real service, `next` on the fast path, templates with literal braces."""
    async with tenant(tmp_path) as world:
        reader = Reader(world, await world.add_registration())
        await world.publish()

        answer = await reader.read("limit=7")

        last, tail = page(answer)["_page"]["last"], reader.tail
        assert links(answer) == {
            "events": f"/events/{tail}",
            "next": f"/events-fast/{tail}?since={last}&limit=7",
            "count": f"/count/{tail}?since={last}",
            "latest": f"/events/{tail}?latest=true",
            "page": f"/events/{tail}?since={{position}}&limit={{count}}",
            "seek": f"/events/{tail}?seek={{duration}}&limit={{count}}",
            "validate": f"/events-validate/{tail}?since={last}",
        }
        assert links(await reader.read()) == {**links(answer), "next": f"/events-fast/{tail}?since={last}"}


@pytest.mark.parametrize("base_url", ["https://gw.example:8443", "https://gw.example/mill/"])
async def test_absolute_links(tmp_path: Path, base_url: str) -> None:
    """Only when asked for; the path of the public base URL is part of relative links too."""
    async with tenant(tmp_path, base_url=base_url) as world:
        reader = Reader(world, await world.add_registration())
        root = urlsplit(base_url).path.rstrip("/")

        relative, absolute = links(await reader.read()), links(await reader.read(links_absolute=True))

        assert relative["events"] == f"{root}/events/{reader.tail}"
        assert absolute["events"] == f"{base_url.rstrip('/')}/events/{reader.tail}"
        assert absolute == {rel: base_url.removesuffix("/").removesuffix(root) + to for rel, to in relative.items()}


async def test_pages_follow_each_other(tmp_path: Path) -> None:
    """By `next`, every event comes once and in order, exactly `limit` at a time, and nothing of other journals."""
    async with tenant(tmp_path) as world:
        reader = Reader(world, await world.add_registration())
        await world.add_provider("other-provider")
        await world.add_registration("other-provider")
        for number in range(23):
            await world.publish(id=str(number))
            await world.publish(id="x", source="urn:uuid:other-provider")

        pages = [await reader.read("limit=5")]
        while pages[-1].status == 200:
            pages.append(await reader.follow(pages[-1]))

        assert [len(ids(answer)) for answer in pages[:-1]] == [5, 5, 5, 5, 3]
        assert [number for answer in pages[:-1] for number in ids(answer)] == [str(number) for number in range(23)]
        assert links(pages[-1])["next"] == links(pages[-2])["next"]


async def test_page_made_ahead(tmp_path: Path) -> None:
    """The page after a full one, made while the first is read, is what a read at that moment would give."""
    async with tenant(tmp_path) as world:
        registration = await world.add_registration()
        reader, other = Reader(world, registration), Reader(world, registration)
        for number in range(5):
            await world.publish(id=str(number))

        first = await reader.read("limit=2")
        second = await reader.follow(first)  # made ahead; and the third, of one event so far
        await world.publish(id="5")
        third = await reader.follow(second)

        assert [ids(answer) for answer in (first, second, third)] == [["0", "1"], ["2", "3"], ["4", "5"]]
        assert (await other.follow(first), await other.follow(second)) == (second, third)


async def test_number_of_events_without_and_beyond_limits(tmp_path: Path) -> None:
    """A default page size, and a largest one that is applied without a word."""
    async with tenant(tmp_path, journal_page_events=3, journal_page_events_max=5) as world:
        reader = Reader(world, await world.add_registration())
        for _ in range(8):
            await world.publish()

        assert len(ids(await reader.read())) == 3
        assert len(ids(await reader.read("limit=1000000000000"))) == 5
        assert len(ids(await reader.read("limit=4"))) == 4


async def test_size_of_a_page(tmp_path: Path) -> None:
    """As many events as fit the bytes, not one fewer; a single larger one still comes, alone."""
    async with tenant(tmp_path, journal_page_bytes_max=5000) as world:
        reader = Reader(world, await world.add_registration())
        for size in (700, 800, 900, 1000, 1100, 9000, 10):
            await world.publish(data="x" * size)

        pages = [await reader.read()]
        while pages[-1].status == 200:
            pages.append(await reader.follow(pages[-1]))

        sizes = [[len(entry["event"]["data"]) for entry in page(answer)["events"]] for answer in pages[:-1]]
        assert sizes == [[700, 800, 900], [1000, 1100], [9000], [10]]
        assert all(len(answer.body or b"") <= 5000 for answer in (pages[0], pages[1], pages[3]))
        assert (
            len(pages[0].body or b"") + len(json.dumps(page(pages[1])["events"][0], separators=(",", ":"))) + 1 > 5000
        )


async def test_since_is_exclusive_and_lasts(tmp_path: Path) -> None:
    """The same position gives the same events again, and at the end it is given back for later."""
    async with tenant(tmp_path) as world:
        reader = Reader(world, await world.add_registration())
        for number in range(3):
            await world.publish(id=str(number))
        positions = [entry["position"] for entry in page(await reader.read())["events"]]

        for _ in range(2):
            assert ids(await reader.read(f"since={positions[0]}")) == ["1", "2"]
        end = await reader.read(f"since={positions[2]}")
        assert (end.status, header(end, "retry-after")) == (204, "10")
        assert f"?since={positions[2]}" in links(end)["next"]
        await world.publish(id="3")
        assert ids(await reader.follow(end)) == ["3"]


async def test_caching(tmp_path: Path) -> None:
    """What follows a position never changes; the oldest, the latest and what seek finds do."""
    async with tenant(tmp_path) as world:
        reader = Reader(world, await world.add_registration())
        start = urlsplit(links(await reader.read())["next"]).query
        await world.publish()

        assert header(await reader.read(start), "cache-control") == "private, max-age=604800"
        for query in ("", "seek=-PT1H", "latest=true", "limit=1"):
            assert header(await reader.read(query), "cache-control") == "no-store"
        assert header(await reader.validate(start), "cache-control") == "no-store"


async def test_latest(tmp_path: Path) -> None:
    """Nothing that is there already, everything that comes after the request; polling with `latest` goes on."""
    async with tenant(tmp_path) as world:
        reader = Reader(world, await world.add_registration())
        await world.publish(id="before")

        answer = await reader.read("latest=true&limit=2")
        assert (answer.status, list(links(answer)), header(answer, "retry-after")) == (204, RELS, "10")
        for number in range(3):
            await world.publish(id=str(number))

        polled = await reader.follow(answer, "&latest=true")
        assert ids(polled) == ["0", "1"]
        assert ids(await reader.follow(polled, "&latest=true&limit=1")) == ["2"]


async def test_seek(tmp_path: Path) -> None:
    """From that time on; all there is when it lies before everything; a good next link when nothing came since."""
    async with tenant(tmp_path) as world:
        reader = Reader(world, await world.add_registration())
        for name in ("old", "older than an hour"):
            await world.publish(id=name)
        world.clock.advance(2 * HOUR_MS)
        await world.publish(id="new")
        world.clock.advance(HOUR_MS)

        assert ids(await reader.read("seek=-PT2H")) == ["new"]
        assert ids(await reader.read("seek=-P7D&limit=2")) == ["old", "older than an hour"]
        assert ids(await reader.read("seek=-P999999999Y")) == ["old", "older than an hour", "new"]
        nothing = await reader.read("seek=-PT30M&limit=5")
        assert (nothing.status, "seek" in links(nothing)["next"]) == (204, False)
        await world.publish(id="newest")
        assert ids(await reader.follow(nothing)) == ["newest"]


async def test_adobe_io_events_are_bare(tmp_path: Path) -> None:
    """In the journal the entry is the provider's own JSON; other formats may stand beside it."""
    async with tenant(tmp_path) as world:
        await world.add_provider("adobe-io-provider", form="adobe_io")
        reader = Reader(world, await world.add_registration("adobe-io-provider", PROVIDER_ID))
        for source in ("adobe-io-provider", PROVIDER_ID, "adobe-io-provider"):
            await world.publish(source=f"urn:uuid:{source}", data={"body": "b", "header": {}})

        bare, cloud_event, also_bare = (entry["event"] for entry in page(await reader.read())["events"])

        assert bare == also_bare == {"body": "b", "header": {}}
        assert (cloud_event["data"], cloud_event["recipient_client_id"]) == (bare, CLIENT_ID)


async def test_page_over_several_days(tmp_path: Path) -> None:
    """The day in a position is the event's own."""
    async with tenant(tmp_path) as world:
        reader = Reader(world, await world.add_registration())
        for number in range(3):
            await world.publish(id=str(number))
            world.clock.advance(DAY_MS)

        answer = await reader.read()

        assert ids(answer) == ["0", "1", "2"]
        days = [entry["position"].split(".")[3] for entry in page(answer)["events"]]
        assert sorted(set(days)) == days
        assert page(answer)["_page"]["last"] == page(answer)["events"][-1]["position"]


async def test_legacy_fields_off(tmp_path: Path) -> None:
    """Only the new spellings."""
    async with tenant(tmp_path, legacy_fields=False) as world:
        reader = Reader(world, await world.add_registration())
        await world.publish()

        event = page(await reader.read())["events"][0]["event"]

        assert {"eventid", "recipientclientid"} <= event.keys()
        assert {"event_id", "recipient_client_id"}.isdisjoint(event)


async def drop_older_than_a_day(world: World) -> None:
    world.clock.advance(3 * DAY_MS)
    await world.publish(id="kept")
    assert await world.store.expire(world.clock.now_ms() - DAY_MS) > 0


async def test_expired_position(tmp_path: Path) -> None:
    """410 in plain text with the links to start over; 400 from validate; JSON for who asks for it."""
    async with tenant(tmp_path) as world:
        reader = Reader(world, await world.add_registration())
        await world.publish()
        await world.publish()
        position = page(await reader.read())["events"][0]["position"]
        await drop_older_than_a_day(world)

        text = await reader.read(f"since={position}")
        as_json = await reader.read(f"since={position}", wants_json=True)
        counted = await reader.count(f"since={position}")
        refused = await refusal(reader.validate(f"since={position}"))

        message = f"Events at position {position} have expired."
        assert (text.status, text.body) == (410, message.encode())
        assert header(text, "content-type") == "text/plain;charset=UTF-8"
        assert links(text) == {"events": f"/events/{reader.tail}", "latest": f"/events/{reader.tail}?latest=true"}
        assert (as_json.status, header(as_json, "content-type")) == (410, "application/json")
        assert json.loads(as_json.body or b"") == {"reason": "position_expired", "message": message}
        assert counted.status == 410
        assert (refused.reason, refused.message) == (Reason.INVALID_POSITION, message)
        assert ids(await reader.read()) == ["kept"]


async def test_idle_reader_has_lost_nothing(tmp_path: Path) -> None:
    """A position stays good while nothing after it was dropped for this registration, however old it is."""
    async with tenant(tmp_path) as world:
        await world.add_provider("busy-provider")
        await world.add_registration("busy-provider")
        reader = Reader(world, await world.add_registration())
        empty = await reader.read()
        await world.publish(id="seen")
        seen = await reader.read()
        await world.publish(source="urn:uuid:busy-provider")
        await drop_older_than_a_day(world)

        assert ids(await reader.follow(seen)) == ["kept"]
        assert (await reader.follow(empty)).status == 410


async def test_positions_before_a_reset_are_expired(tmp_path: Path) -> None:
    """Emptying the store raises the generation."""
    async with tenant(tmp_path) as world:
        reader = Reader(world, await world.add_registration())
        await world.publish()
        before = await reader.read()
        await world.store.reset()
        await world.catalogue.load()
        await world.add_provider()
        again = Reader(world, await world.add_registration())

        answer = await again.follow(before)

        assert answer.status == 410
        assert (await refusal(again.validate(urlsplit(links(before)["next"]).query))).reason is Reason.INVALID_POSITION


@pytest.mark.parametrize("ask", [Reader.read, Reader.validate, Reader.count])
@pytest.mark.parametrize(
    ("query", "reason", "message"),
    [
        ("since=rabbit:1.rabbit:2", Reason.INVALID_POSITION, "'rabbit:1.rabbit:2' is not a journal position"),
        ("since=", Reason.INVALID_POSITION, "'' is not a journal position"),
        ("since=1.1.7.20260301.1", Reason.INVALID_POSITION, "1.1.7.20260301.1 is not a position of this journal"),
        ("since=1.999.0.20260301.1", Reason.INVALID_POSITION, "1.999.0.20260301.1 is not a position of this journal"),
        ("since=1.1.0.20260301.99", Reason.INVALID_POSITION, "1.1.0.20260301.99 lies beyond the end of this journal"),
        ("since=a&since=b", Reason.INVALID_PARAMETER, "since: is given twice with different values"),
        ("since=a&seek=-PT1H", Reason.INVALID_PARAMETER, "seek: cannot be used together with since"),
        ("seek=-PT1H&latest=true", Reason.INVALID_PARAMETER, "seek: cannot be used together with latest=true"),
        ("seek=PT1H", Reason.INVALID_PARAMETER, "seek: must be a negative ISO 8601 duration such as -PT2H"),
        ("seek=yesterday", Reason.INVALID_PARAMETER, "seek: must be a negative ISO 8601 duration such as -PT2H"),
        ("seek=-PT0S", Reason.INVALID_PARAMETER, "seek: must be a negative ISO 8601 duration such as -PT2H"),
        ("limit=0", Reason.INVALID_PARAMETER, "limit: must be a positive integer, but is '0'"),
        ("limit=-1", Reason.INVALID_PARAMETER, "limit: must be a positive integer, but is '-1'"),
        ("limit=ten", Reason.INVALID_PARAMETER, "limit: must be a positive integer, but is 'ten'"),
        ("latest=maybe", Reason.INVALID_PARAMETER, "latest: must be true or false, but is 'maybe'"),
    ],
)
async def test_refusals(
    tmp_path: Path,
    ask: Callable[[Reader, str], Awaitable[JournalAnswer]],
    query: str,
    reason: Reason,
    message: str,
) -> None:
    """400 with a message that names the parameter, from every way to ask."""
    async with tenant(tmp_path) as world:
        reader = Reader(world, await world.add_registration())
        await world.publish()

        error = await refusal(ask(reader, query))

        assert (error.reason, error.reason.status) == (reason, 400)
        assert error.message.startswith(message)


async def test_validate(tmp_path: Path) -> None:
    """200 with what follows the position, possibly nothing, and links; `since` is required."""
    async with tenant(tmp_path) as world:
        reader = Reader(world, await world.add_registration())
        start = urlsplit(links(await reader.read())["next"]).query
        nothing = await reader.validate(start)
        for number in range(3):
            await world.publish(id=str(number))

        some = await reader.validate(start + "&limit=2")

        position = start.removeprefix("since=")
        assert page(nothing) == {"events": [], "_page": {"last": position, "count": 0}}
        assert links(nothing)["next"] == f"/events-fast/{reader.tail}?since={position}"
        assert ids(some) == ["0", "1"]
        assert links(some)["next"] == f"/events-fast/{reader.tail}?since={page(some)['_page']['last']}&limit=2"
        assert header(some, "content-type") == "application/vnd.adobecloud.events+json;charset=UTF-8"
        assert (await refusal(reader.validate("limit=1"))).message == "since: is required here"


async def test_count(tmp_path: Path) -> None:
    """Events after the position, from the oldest without one, up to a limit."""
    async with tenant(tmp_path, journal_count_max=4) as world:
        reader = Reader(world, await world.add_registration())
        for _ in range(3):
            await world.publish()
        first = page(await reader.read("limit=1"))["_page"]["last"]

        bodies = [(await reader.count(query)).body for query in ("", f"since={first}", "latest=true", "seek=-PT1H")]
        for _ in range(3):
            await world.publish()

        assert bodies == [b'{"count":3}', b'{"count":2}', b'{"count":0}', b'{"count":3}']
        capped = await reader.count()
        assert (capped.status, capped.body) == (200, b'{"count":4}')
        assert (header(capped, "content-type"), header(capped, "cache-control")) == ("application/json", "no-store")


async def test_client_id_with_odd_characters(tmp_path: Path) -> None:
    """The page is JSON whatever a registration's client id holds."""
    async with tenant(tmp_path) as world:
        odd = msgspec.structs.replace(await world.add_registration(), client_id='50%d"\\')
        await world.publish()

        event = page(await Reader(world, odd).read())["events"][0]["event"]

        assert event["recipientclientid"] == '50%d"\\'
