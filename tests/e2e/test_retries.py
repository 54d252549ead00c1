"""The retry schedule, its ends and its survivals, with 24 hours passing in one call of the virtual clock."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator

import pytest

from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import Gateway
from tests.e2e.harness.hook import Hook, Received, Reply, always
from tests.e2e.harness.http_client import Answer, Client
from tests.e2e.harness.tenant import Tenant, event_bytes

pytestmark = pytest.mark.anyio

MINUTE_S = 60
DAY_S = 24 * 60 * MINUTE_S
GRID_MINUTES = [1, 3, 7, *range(15, 24 * 60 + 1, 15)]
"""Minutes after the first attempt at which the retries are due."""
LATE_MS = 10_000
"""How far behind its due time a retry may start on a busy machine; the closest due times are a minute apart."""


@pytest.fixture(scope="module")
def shared(start_shared_gateway: StartGateway) -> Gateway:
    return start_shared_gateway(
        "--dev", variables={"EVENTMILL_WEBHOOK_BATCH_FLUSH_MS": "100", "EVENTMILL_REGISTRATIONS_PER_CLIENT": "0"}
    )


@pytest.fixture(scope="module")
def shared_env(shared: Gateway) -> dict[str, str]:
    return shared.env()


@pytest.fixture
async def tenant(shared: Gateway, shared_env: dict[str, str]) -> AsyncIterator[Tenant]:
    """On an emptied gateway: no retry of another test is left."""
    async with Client(shared.port) as client:
        assert (await client.call("POST", "/_dev/reset")).status == 204
        yield Tenant(client, shared_env)


async def move_clock(client: Client, **change: float) -> Answer:
    return await client.call("POST", "/_dev/clock", {"content-type": "application/json"}, change)


async def advance(tenant: Tenant, seconds: float) -> None:
    """Move business time; every attempt due on the way has ended afterwards."""
    answer = await move_clock(tenant.client, advance_seconds=seconds)
    assert answer.status == 200, answer.body


async def offset_s(client: Client) -> float:
    answer = await client.call("GET", "/_dev/clock")
    return float(answer.json()["offset_seconds"])


def retry_counts(posts: list[Received]) -> list[str | None]:
    return [post.headers.get("x-adobe-retry-count") for post in posts]


async def test_whole_schedule_in_one_advance(tenant: Tenant) -> None:
    """A failing event is attempted first plus 99 times within 24 h, each time due, numbered, and then never again."""
    async with Hook(always(503)) as hook:
        topic = await tenant.topic()
        registration = await tenant.register(topic, url=f"{hook.url}/hook")
        await tenant.publish(topic)
        await hook.until_posts(1)

        await advance(tenant, DAY_S + MINUTE_S)
        posts = list(hook.posts)

        assert len(GRID_MINUTES) == 99
        assert retry_counts(posts) == [None, *(str(number) for number in range(1, 100))]
        assert {post.headers["x-adobe-event-id"] for post in posts} == {json.loads(posts[0].body)["eventid"]}
        assert len({post.headers["x-adobe-delivery-id"] for post in posts}) == 100
        assert len({post.headers["x-request-id"] for post in posts}) == 100
        assert {post.body for post in posts} == {posts[0].body}

        traces = [trace["trace"] for trace in await tenant.delivery_traces(registration)]
        assert {trace["tracingResponse"]["responseCode"] for trace in traces} == {503}
        times_ms = sorted(trace["deliveryTime"] for trace in traces)
        late_ms = [
            time_ms - times_ms[0] - minutes * MINUTE_S * 1000
            for time_ms, minutes in zip(times_ms[1:], GRID_MINUTES, strict=True)
        ]
        assert min(late_ms) >= 0 and max(late_ms) < LATE_MS, late_ms

        await advance(tenant, 2 * DAY_S)
        assert len(hook.posts) == 100


async def test_which_answers_are_retried(tenant: Tenant) -> None:
    """429 and 5xx but 505 are retried; 3xx, other 4xx and 505 are final, and no redirect is followed."""
    final = (301, 302, 307, 308, 400, 401, 403, 404, 408, 410, 422, 505)
    retried = (429, 500, 501, 502, 503, 504)

    async def answer(request: Received) -> Reply:
        if "x-adobe-retry-count" in request.headers:
            return Reply(200)
        return Reply(int(request.path.removeprefix("/")), (("location", "/elsewhere"),))

    async with Hook(answer) as hook:
        topic = await tenant.topic()
        for status in final + retried:
            await tenant.register(topic, url=f"{hook.url}/{status}")
        await tenant.publish(topic)
        await advance(tenant, DAY_S + MINUTE_S)

        for status in final:
            assert retry_counts(hook.posts_at(f"/{status}")) == [None], status
        for status in retried:
            assert retry_counts(hook.posts_at(f"/{status}")) == [None, "1"], status
        assert len(hook.posts) == len(final) + 2 * len(retried)
        assert hook.posts_at("/elsewhere") == []


async def test_refused_connection_is_retried(tenant: Tenant) -> None:
    """An endpoint that is down gets the event when it is back; the failed attempt is traced as 602."""
    async with Hook() as hook:
        topic = await tenant.topic()
        registration = await tenant.register(topic, url=f"{hook.url}/hook")
    event_id = await tenant.publish(topic)
    await advance(tenant, 0)
    [trace] = await tenant.delivery_traces(registration)
    assert trace["trace"]["tracingResponse"]["responseCode"] == 602

    async with Hook(port=hook.port) as back:
        await advance(tenant, MINUTE_S + 1)
        [post] = back.posts
        assert retry_counts([post]) == ["1"]
        assert json.loads(post.body)["id"] == event_id


async def test_batch_keeps_its_members(tenant: Tenant) -> None:
    """A batch is retried as it was; events published meanwhile make batches of their own."""
    async with Hook(always(503)) as hook:
        topic = await tenant.topic()
        await tenant.register(topic, url=f"{hook.url}/hook", delivery_type="webhook_batch")
        early = await asyncio.gather(*(tenant.publish(topic) for _ in range(5)))
        await advance(tenant, 0)
        first_batches = {post.headers["x-adobe-event-id"] for post in hook.posts}
        late = await asyncio.gather(*(tenant.publish(topic) for _ in range(3)))
        await advance(tenant, 46 * MINUTE_S)

        units: dict[str, list[Received]] = defaultdict(list)
        for post in hook.posts:
            units[post.headers["x-adobe-event-id"]].append(post)
        assert first_batches < set(units)
        members = []
        for event_ids, posts in units.items():
            assert retry_counts(posts) == [None, "1", "2", "3", "4", "5", "6"]
            assert {post.body for post in posts} == {posts[0].body}
            events = json.loads(posts[0].body)
            assert ",".join(event["eventid"] for event in events) == event_ids
            members += [event["id"] for event in events]
        assert sorted(members) == sorted([*early, *late])


async def test_retry_outlives_its_deleted_registration(tenant: Tenant) -> None:
    """A scheduled retry of a deleted registration is still made, signed, until it succeeds."""
    async with Hook(always(503)) as hook:
        topic = await tenant.topic()
        registration = await tenant.register(topic, url=f"{hook.url}/hook")
        await tenant.publish(topic)
        await advance(tenant, 0)
        await tenant.delete(registration)
        await advance(tenant, MINUTE_S + 1)
        hook.answer = always(200)
        await advance(tenant, DAY_S)

        assert retry_counts(hook.posts) == [None, "1", "2"]
        assert len({post.headers["x-adobe-signature"] for post in hook.posts}) == 1
        assert (await tenant.call("GET", registration.link("self"))).status == 404


async def test_deleted_registration_gets_nothing_new(tenant: Tenant) -> None:
    """An event that succeeded before the delete is not sent again, and later ones find no registration."""
    async with Hook() as hook:
        topic = await tenant.topic()
        registration = await tenant.register(topic, url=f"{hook.url}/hook")
        await tenant.publish(topic)
        await advance(tenant, 0)
        await tenant.delete(registration)
        answer = await tenant.post_event(event_bytes(topic, "too-late", b"{}"))
        await advance(tenant, DAY_S)

        assert (answer.status, answer.body) == (204, b"")
        assert len(hook.posts) == 1


async def test_retry_of_a_disabled_registration(tenant: Tenant) -> None:
    """Disabling stops new events, not the retries that are already scheduled; enabling brings nothing back."""
    async with Hook(always(503)) as hook:
        topic = await tenant.topic()
        registration = await tenant.register(topic, url=f"{hook.url}/hook")
        before = await tenant.publish(topic)
        await advance(tenant, 0)
        await tenant.update(registration, enabled=False)
        meanwhile = await tenant.publish(topic)
        hook.answer = always(200)
        await advance(tenant, DAY_S)
        enabled = await tenant.update(registration, enabled=True)
        after = await tenant.publish(topic)
        await advance(tenant, DAY_S)

        assert enabled.body["webhook_status"] == "verified"
        assert [json.loads(post.body)["id"] for post in hook.posts] == [before, before, after]
        assert await tenant.journal_ids(registration) == [before, meanwhile, after]


async def test_retry_goes_to_the_current_url(tenant: Tenant) -> None:
    """While the registration exists, a retry obeys its newest URL."""
    async with Hook(always(503)) as old, Hook() as new:
        topic = await tenant.topic()
        registration = await tenant.register(topic, url=f"{old.url}/hook")
        await tenant.publish(topic)
        await advance(tenant, 0)
        await tenant.update(registration, webhook_url=f"{new.url}/hook")
        await advance(tenant, DAY_S)

        assert retry_counts(old.posts) == [None]
        assert retry_counts(new.posts) == ["1"]


async def test_retries_and_clock_survive_restarts(shared: Gateway, tenant: Tenant) -> None:
    """After a kill and after an orderly stop the schedule goes on, at the moved time, with the right count."""
    async with Hook(always(503)) as hook:
        topic = await tenant.topic()
        registration = await tenant.register(topic, url=f"{hook.url}/hook")
        event_id = await tenant.publish(topic)
        await advance(tenant, 0)
        before_s = await offset_s(tenant.client)

        await asyncio.to_thread(shared.kill)
        await asyncio.to_thread(shared.start)
        await advance(tenant, MINUTE_S + 1)
        assert await asyncio.to_thread(shared.stop) == 0
        await asyncio.to_thread(shared.start)
        moved_s = await offset_s(tenant.client)
        await advance(tenant, 2 * MINUTE_S)

        assert retry_counts(hook.posts) == [None, "1", "2"]
        assert MINUTE_S <= moved_s - before_s < 2 * MINUTE_S
        assert await tenant.journal_ids(registration) == [event_id]


async def test_clock_answers_and_refusals(tenant: Tenant) -> None:
    """GET and POST show now, offset and rate; a step back, both members or none answer 400 and move nothing."""
    client = tenant.client
    before = (await client.call("GET", "/_dev/clock")).json()
    assert set(before) == {"now", "offset_seconds", "rate"}
    assert before["rate"] == 1

    back = await move_clock(client, advance_seconds=-1)
    assert (back.status, back.json()["reason"]) == (400, "clock_backwards")
    assert "-1" in back.json()["message"]
    for change in ({}, {"advance_seconds": 1, "rate": 2}):
        refused = await move_clock(client, **change)
        assert (refused.status, refused.json()["reason"]) == (400, "invalid_body")
    assert before["offset_seconds"] == pytest.approx(await offset_s(client), abs=1)

    moved = (await move_clock(client, advance_seconds=90)).json()
    assert moved["offset_seconds"] == pytest.approx(before["offset_seconds"] + 90, abs=1)
    assert moved["now"] > before["now"]


async def test_rate_makes_retries_due_by_themselves(start_gateway: StartGateway) -> None:
    """With `--clock-rate 600` a minute passes in 100 ms and the retry comes without an advance; POST sets the rate."""
    gateway = await asyncio.to_thread(start_gateway, "--dev", "--clock-rate", "600")
    env = await asyncio.to_thread(gateway.env)
    async with Client(gateway.port) as client, Hook(always(503)) as hook:
        tenant = Tenant(client, env)
        assert (await client.call("GET", "/_dev/clock")).json()["rate"] == 600
        topic = await tenant.topic()
        await tenant.register(topic, url=f"{hook.url}/hook")
        await tenant.publish(topic)
        await hook.until_posts(3)
        assert retry_counts(hook.posts)[:3] == [None, "1", "2"]
        assert (await move_clock(client, rate=1)).json()["rate"] == 1


async def test_reset_keeps_the_tenant(shared: Gateway, tenant: Tenant, shared_env: dict[str, str]) -> None:
    """Journals, registrations, providers, retries and traces go; tenants, credentials, the built-in
    catalogue and the clock stay."""
    async with Hook(always(503)) as hook:
        topic = await tenant.topic("com.acme.before", label="Warehouse of the reset")
        registration = await tenant.register(topic, url=f"{hook.url}/hook")
        await tenant.publish(topic)
        await advance(tenant, 0)
        [entry] = await tenant.journal(registration)
        before_s = await offset_s(tenant.client)

        assert (await tenant.client.call("POST", "/_dev/reset")).status == 204
        await advance(tenant, DAY_S)

        assert len(hook.posts) == 1
        for link in ("self", "rel:events", "rel:trace"):
            assert (await tenant.call("GET", registration.link(link))).status == 404, link
        listed = await tenant.call("GET", f"{tenant.workspace}/registrations")
        assert listed.json()["_embedded"]["registrations"] == []
        providers = await tenant.call("GET", f"/events/{shared_env['consumer_org_id']}/providers")
        assert {each["publisher"] for each in providers.json()["_embedded"]["providers"]} == {"Adobe"}
        assert (await tenant.post_event(event_bytes(topic, "too-late", b"{}"))).status == 404
        kept = ("client_id", "client_secret", "ims_org_id", "credential_id")
        env_after = await asyncio.to_thread(shared.env)
        assert {name: env_after[name] for name in kept} == {name: shared_env[name] for name in kept}
        assert await offset_s(tenant.client) >= before_s + DAY_S

        topic = await tenant.topic("com.acme.after", label="Warehouse of the reset")
        journal = await tenant.register(topic)
        await tenant.publish(topic)
        assert len(await tenant.journal(journal)) == 1
        old = await tenant.call("GET", f"{journal.link('rel:events')}?since={entry['position']}")
        assert old.status == 410, old
        assert (await tenant.client.call("POST", "/_dev/reset")).status == 204, "again, over events for journals alone"
