"""Named cursors: compare-and-set, where they stand, leases with fences, limits, and their end with the registration."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from eventmill.clock import VirtualClock
from eventmill.model import OrgId
from tests.http.client import Answer
from tests.http.world import BASE, OTHER_CLIENT, WORKSPACE, World, running

pytestmark = pytest.mark.anyio

DAY_S, DAY_MS = 86_400, 86_400_000


class Reader:
    """A client of one registration's cursors."""

    def __init__(self, world: World, topic: dict[str, Any], registration: dict[str, Any]) -> None:
        self.world = world
        self.topic = topic
        self.registration = registration
        self.path = registration["_links"]["rel:events"]["href"].removeprefix(BASE)

    async def call(self, method: str, at: str = "", body: Any = None, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.world.call(method, f"{self.path}/cursors{at}", body, headers={**self.world.auth(), **named})

    async def put(self, position: str, name: str = "erp", **options: Any) -> Answer:
        fence = {"fence": options.pop("fence")} if "fence" in options else {}
        return await self.call("PUT", f"/{name}", {"position": position, **fence}, **options)

    async def get(self, name: str = "erp") -> dict[str, Any]:
        answer = await self.call("GET", f"/{name}")
        assert answer.status == 200, answer.body
        body: dict[str, Any] = answer.json()
        return body

    async def lease(self, **form: Any) -> Answer:
        return await self.call("POST", "/erp/lease", {"ttl_seconds": 30, **form})

    async def publish(self, count: int) -> list[str]:
        """The positions of that many new events."""
        for number in range(count):
            await self.world.publish(self.topic, str(number))
        page = (await self.world.call("GET", f"{self.path}?limit=1000")).json()
        return [each["position"] for each in page["events"]][-count:]

    def advance(self, ms: int) -> None:
        assert isinstance(self.world.parts.clock, VirtualClock)
        self.world.parts.clock.advance(ms)


@asynccontextmanager
async def reader(directory: Path, **settings: Any) -> AsyncIterator[Reader]:
    async with running(directory, **settings) as world:
        topic = await world.topic()
        yield Reader(world, topic, await world.register(topic, delivery_type="journal"))


def reason(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json()["reason"]


async def test_create_move_read_delete(tmp_path: Path) -> None:
    """201, then 200; what was written is read back and listed by name; 404 after its deletion."""
    async with reader(tmp_path) as client:
        first, second = await client.publish(2)
        created, moved = await client.put(first), await client.put(second)
        await client.put(first, "audit")

        assert (created.status, moved.status) == (201, 200)
        assert created.header("etag") != moved.header("etag")
        assert (await client.call("GET", "/erp")).header("etag") == moved.header("etag")
        listed = (await client.call("GET")).json()["cursors"]
        assert [(each["name"], each["position"]) for each in listed] == [("audit", first), ("erp", second)]
        assert listed[1] == await client.get() == moved.json()
        assert (await client.call("DELETE", "/erp")).status == 204
        assert [(await client.call(method, "/erp")).status for method in ("GET", "DELETE")] == [404, 404]


async def test_where_a_cursor_stands(tmp_path: Path) -> None:
    """Lag in events and seconds, and how long until something after it expires; nothing can at the end."""
    async with reader(tmp_path) as client:
        start = (await client.publish(1))[0]
        client.advance(DAY_MS)
        positions = await client.publish(3)
        client.advance(60_000)
        await client.put(start)
        behind = await client.get()
        await client.put(positions[-1])
        at_end = await client.get()

        assert (behind["lag_events"], behind["lag_seconds"], behind["expires_in_seconds"]) == (3, 60, 7 * DAY_S - 60)
        assert (at_end["lag_events"], at_end["lag_seconds"], at_end["expires_in_seconds"]) == (0, 0, None)


async def test_cursor_of_expired_events(tmp_path: Path) -> None:
    """It is kept and says so; what it counts are the events that are left. It can be moved to a good position only."""
    async with reader(tmp_path) as client:
        old = (await client.publish(2))[0]
        await client.put(old)
        client.advance(9 * DAY_MS)
        new = await client.publish(2)
        assert await client.world.store.expire(client.world.parts.clock.now_ms() - 7 * DAY_MS) > 0

        assert {"lag_events": 2, "expires_in_seconds": 0}.items() <= (await client.get()).items()
        assert reason(await client.put(old)) == (410, "position_expired")
        assert (await client.put(new[0])).status == 200


async def test_compare_and_set(tmp_path: Path) -> None:
    """`If-Match` and `If-None-Match` decide; a cursor that was deleted and made again is another one."""
    async with reader(tmp_path) as client:
        position = (await client.publish(1))[0]
        assert reason(await client.put(position, if_match='"x-1"')) == (412, "precondition_failed")
        assert reason(await client.put(position, if_match="*")) == (412, "precondition_failed")
        tag = (await client.put(position, if_none_match="*")).header("etag") or ""
        assert reason(await client.put(position, if_none_match="*")) == (412, "precondition_failed")
        moved = await client.put(position, if_match=f'"other", {tag}')
        assert moved.status == 200
        assert reason(await client.put(position, if_match=tag)) == (412, "precondition_failed")
        assert reason(await client.put(position, if_match="bare")) == (412, "precondition_failed")
        assert reason(await client.call("DELETE", "/erp", if_match=tag)) == (412, "precondition_failed")
        assert (await client.call("DELETE", "/erp", if_match=moved.header("etag") or "")).status == 204
        await client.put(position)
        assert reason(await client.put(position, if_match=tag)) == (412, "precondition_failed")


async def test_racing_writes(tmp_path: Path) -> None:
    """Of many that compare with the same tag, one wins; without one all are written; of many that create, one does."""
    async with reader(tmp_path) as client:
        positions = await client.publish(8)
        created = await asyncio.gather(*(client.put(each, if_none_match="*") for each in positions))
        tag = (await client.call("GET", "/erp")).header("etag") or ""
        swapped = await asyncio.gather(*(client.put(each, if_match=tag) for each in positions))
        blind = await asyncio.gather(*(client.put(each) for each in positions))

        assert sorted(each.status for each in created) == [201] + [412] * 7
        assert sorted(each.status for each in swapped) == [200] + [412] * 7
        assert [each.status for each in blind] == [200] * 8


@pytest.mark.parametrize(
    ("name", "body", "expected"),
    [
        ("erp", {"position": "rabbit"}, (400, "invalid_position")),
        ("erp", {"position": "1.1.0.20260301.99"}, (400, "invalid_position")),
        ("erp", {}, (400, "invalid_body")),
        ("erp", {"position": 1}, (400, "invalid_body")),
        ("erp", {"position": "1.1.0.20260301.0", "fence": 0}, (400, "invalid_body")),
        ("erp", {"position": "1.1.0.20260301.0", "fence": 1}, (409, "lease_lost")),
        ("e%20p", {"position": "1.1.0.20260301.0"}, (400, "invalid_parameter")),
        ("e" * 65, {"position": "1.1.0.20260301.0"}, (400, "invalid_parameter")),
    ],
)
async def test_refusals(tmp_path: Path, name: str, body: Any, expected: tuple[int, str]) -> None:
    """Names, members and positions that cannot be."""
    async with reader(tmp_path) as client:
        shard = await client.world.store.shard(OrgId("1001"))
        if isinstance(position := body.get("position"), str):
            body = {**body, "position": position.replace("1.1.0.", f"1.1.{shard}.")}
        assert reason(await client.call("PUT", f"/{name}", body)) == expected


async def test_number_of_cursors(tmp_path: Path) -> None:
    """Limited per registration; deleting one makes room."""
    async with reader(tmp_path, cursors_per_registration=2) as client:
        position = (await client.publish(1))[0]
        assert [(await client.put(position, name)).status for name in "ab"] == [201, 201]
        assert reason(await client.put(position, "c")) == (409, "quota_reached")
        assert (await client.put(position, "a")).status == 200
        await client.call("DELETE", "/a")
        assert (await client.put(position, "c")).status == 201


async def test_lease_fences(tmp_path: Path) -> None:
    """Only the holder moves the cursor; another gets the lease when it ran out, and from then on the first has lost it,
    however late its request comes."""
    async with reader(tmp_path) as client:
        first, second = await client.publish(2)
        await client.put(first)
        leased = (await client.lease(holder="a", ttl_seconds=3600)).json()["lease"]
        fence = leased["fence"]
        assert leased["holder"] == "a"
        assert 3590 < leased["expires_in_seconds"] <= 3600

        assert reason(await client.put(second)) == (409, "lease_lost")
        assert reason(await client.put(second, fence=fence + 1)) == (409, "lease_lost")
        assert (await client.put(second, fence=fence)).status == 200
        refused = await client.lease(holder="b")
        assert (reason(refused), refused.header("retry-after")) == ((409, "lease_held"), "3600")
        assert (await client.lease(fence=fence, ttl_seconds=0)).json()["lease"]["expires_in_seconds"] == 0
        assert (await client.put(first, fence=fence)).status == 200, "nobody took it yet"
        assert (await client.lease(holder="b")).json()["lease"]["fence"] == fence + 1
        assert reason(await client.put(second, fence=fence)) == (409, "lease_lost")
        assert reason(await client.lease(fence=fence)) == (409, "lease_lost")
        assert (await client.lease(fence=fence + 1)).status == 200
        assert (await client.lease(holder="b")).json()["lease"]["fence"] == fence + 2, (
            "a restarted holder fences its former self"
        )
        assert (await client.call("DELETE", "/erp")).status == 204
        assert reason(await client.put(second, fence=fence + 2)) == (409, "lease_lost")


async def test_fences_outlive_their_cursor(tmp_path: Path) -> None:
    """A cursor that was deleted and made again has higher ones: who held the former cannot move the new one."""
    async with reader(tmp_path) as client:
        first, second = await client.publish(2)
        await client.put(first)
        former = (await client.lease(holder="a")).json()["lease"]["fence"]
        await client.call("DELETE", "/erp")
        await client.put(first)
        assert (await client.lease(holder="b")).json()["lease"]["fence"] > former
        assert reason(await client.put(second, fence=former)) == (409, "lease_lost")


@pytest.mark.parametrize(
    ("if_match", "status"),
    [
        ("{tag}", 200),
        ('"x", {tag}', 200),
        (' "" ,\t{tag}', 200),
        ("*", 200),
        ("W/{tag}", 412),
        ('"x"', 412),
        ("{tag}x", 412),
        ("{tag} *", 412),
        ("{bare}", 412),
        ("*, {tag}", 412),
        ('"', 412),
    ],
)
async def test_conditions(tmp_path: Path, if_match: str, status: int) -> None:
    """One of several tags, or `*`; a weak tag matches nothing (RFC 9110), what is no list of tags writes nothing."""
    async with reader(tmp_path) as client:
        position = (await client.publish(1))[0]
        tag = (await client.put(position)).header("etag") or ""
        given = if_match.format(tag=tag, bare=tag.strip('"'))
        assert (await client.put(position, if_match=given)).status == status
        assert (await client.call("DELETE", "/erp", if_match='"x"')).status == 412


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"ttl_seconds": 30}, (400, "invalid_body")),
        ({"holder": "a", "ttl_seconds": 0}, (400, "invalid_body")),
        ({"holder": "a", "ttl_seconds": 3601}, (400, "invalid_body")),
        ({"holder": "", "ttl_seconds": 30}, (400, "invalid_body")),
        ({"holder": "a"}, (400, "invalid_body")),
    ],
)
async def test_lease_refusals(tmp_path: Path, form: Any, expected: tuple[int, str]) -> None:
    """A holder or a fence, and a time within the limit."""
    async with reader(tmp_path) as client:
        await client.put((await client.publish(1))[0])
        assert reason(await client.call("POST", "/erp/lease", form)) == expected


async def test_one_of_many_gets_the_lease(tmp_path: Path) -> None:
    """Readers that ask at once."""
    async with reader(tmp_path) as client:
        await client.put((await client.publish(1))[0])
        answers = await asyncio.gather(*(client.lease(holder=str(number)) for number in range(8)))
        assert sorted(each.status for each in answers) == [200] + [409] * 7
        assert (await client.call("POST", "/none/lease", {"holder": "a", "ttl_seconds": 1})).status == 404


async def test_gone_with_the_registration(tmp_path: Path) -> None:
    """Deleting the registration deletes its cursors; those of others stay."""
    async with reader(tmp_path) as client:
        world = client.world
        position = (await client.publish(1))[0]
        other = Reader(world, client.topic, await world.register(client.topic, delivery_type="journal", name="Other"))
        await client.put(position)
        await other.put((await other.publish(1))[0])
        assert (
            await world.call("DELETE", f"{WORKSPACE}/registrations/{client.registration['registration_id']}")
        ).status == 204

        assert (await client.call("GET", "/erp")).status == 404
        assert len(await world.store.scan("cursor")) == 1
        assert (await other.get())["name"] == "erp"


async def test_who_may(tmp_path: Path) -> None:
    """The registration's own api key, as for the journal; and moving a cursor changes nothing that publishing needs."""
    async with reader(tmp_path) as client:
        world = client.world
        position = (await client.publish(1))[0]
        epoch = await world.epoch()
        await client.put(position)
        await client.lease(holder="a")
        answer = await world.call("GET", f"{client.path}/cursors/erp", headers=world.auth(client_id=OTHER_CLIENT))
        assert reason(answer) == (403, "wrong_api_key")
        assert await world.epoch() == epoch
