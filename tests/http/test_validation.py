"""Asynchronous validation: a webhook that did not pass its challenge is offered a link, which is good for once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from eventmill.clock import VirtualClock
from eventmill.errors import GatewayError
from eventmill.flow.validation import Validations
from eventmill.model import Lane
from eventmill.store.control import ControlStore
from tests.http.client import Answer
from tests.http.world import CLIENT, WORKSPACE, World, registration_form, running

pytestmark = pytest.mark.anyio

REGISTRATIONS = f"{WORKSPACE}/registrations"
BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
WINDOW_S = 300


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Webhooks answer, but not with the value; they take the link."""
    async with running(tmp_path, dev=True, auth="strict") as each:
        each.hooks.passes, each.hooks.answers = False, True
        yield each


def link(world: World, registration: Any = None, secret: str = "") -> str:
    """Of the last offer, unless given otherwise."""
    _, registration_id, _, offered = world.hooks.offered[-1]
    registration_id = registration["registration_id"] if registration else registration_id
    return f"/csm/registrations/validate?id={registration_id}&challenge={secret or offered}"


async def visit(world: World, target: str, method: str = "GET", **headers: str) -> Answer:
    """As anybody may: without a token."""
    return await world.call(method, target, headers={name.replace("_", "-"): value for name, value in headers.items()})


async def state(world: World, registration: Any) -> tuple[str, bool]:
    answer = await world.call("GET", f"{REGISTRATIONS}/{registration['registration_id']}")
    body = answer.json()
    return body["webhook_status"], body["enabled"]


async def put(world: World, registration: Any, **members: Any) -> Answer:
    body = registration_form(registration["events_of_interest"][0], **members)
    return await world.call("PUT", f"{REGISTRATIONS}/{registration['registration_id']}", body)


async def gaps(world: World, registration: Any) -> list[tuple[int, int | None, str]]:
    found = await world.store.gaps(Lane(registration["id"]))
    return [(gap.from_seq, gap.to_seq, gap.cause) for gap in found]


def advance(world: World, seconds: float) -> None:
    assert isinstance(world.parts.clock, VirtualClock)
    world.parts.clock.advance(int(seconds * 1000))


# --- Waiting ---


async def test_webhook_that_answers_wrongly_is_offered_a_link(world: World) -> None:
    """Once, after the challenge, for this registration; meanwhile it is accepted and enabled, its journal fills, and
    nothing is pushed."""
    topic = await world.topic()
    registration = await world.register(topic)

    assert (registration["webhook_status"], registration["enabled"]) == ("accepted", True)
    [(url, registration_id, client_id, secret)] = world.hooks.offered
    assert (url, registration_id, client_id) == (registration["webhook_url"], registration["registration_id"], CLIENT)
    assert len(secret) == 36
    assert await world.publish(topic) == 200
    assert len(await world.journal(registration)) == 1
    assert await gaps(world, registration) == [(1, None, "accepted")]


async def test_answer_equals_what_is_read_later(world: World) -> None:
    """And neither tells how the registration could be validated."""
    registration = await world.register(await world.topic())
    read = await world.call("GET", f"{REGISTRATIONS}/{registration['registration_id']}")
    assert read.json() == registration
    assert b"validation" not in read.body


@pytest.mark.on_files
async def test_secret_is_not_stored(world: World, tmp_path: Path) -> None:
    """Nobody who reads the data directory can open the link."""
    await world.register(await world.topic())
    secret = world.hooks.offered[0][3].encode()
    await world.store.close()
    files = [file.read_bytes() for file in (tmp_path / "data").rglob("*") if file.is_file()]
    assert any(b'"secret_sha256"' in content for content in files)
    assert not any(secret in content for content in files)


async def test_no_offer_without_an_answer(world: World) -> None:
    """An endpoint that could not be reached has failed at once."""
    world.hooks.answers = False
    registration = await world.register(await world.topic())
    assert (registration["webhook_status"], registration["enabled"]) == ("verification_failed", False)
    assert world.hooks.offered == []


async def test_no_offer_to_a_webhook_that_passes(world: World) -> None:
    """Nor is one left over that could be opened."""
    world.hooks.passes = True
    registration = await world.register(await world.topic())
    assert registration["webhook_status"] == "verified"
    assert world.hooks.offered == []


async def test_refused_offer_fails_the_registration(world: World) -> None:
    """Disabled at once, its journal fills all the same; the link is void."""
    world.hooks.takes_offer = False
    topic = await world.topic()
    registration = await world.register(topic)
    assert (registration["webhook_status"], registration["enabled"]) == ("verification_failed", False)
    assert (await visit(world, link(world))).status == 410
    assert await world.publish(topic) == 200
    assert len(await world.journal(registration)) == 1


async def test_strict_challenge_and_the_offer(tmp_path: Path) -> None:
    """With `strict_challenge` a creation whose offer is refused is 400 and leaves nothing; a taken one waits."""
    async with running(tmp_path, strict_challenge=True) as world:
        world.hooks.passes, world.hooks.answers, world.hooks.takes_offer = False, True, False
        topic = await world.topic()
        refused = await world.call("POST", REGISTRATIONS, registration_form(topic))
        assert (refused.status, refused.json()["reason"]) == (400, "challenge_failed")
        assert (
            "status 500, not 200; the endpoint answered the validation URL with status 404" in refused.json()["message"]
        )
        assert (await world.call("GET", REGISTRATIONS)).json()["_embedded"]["registrations"] == []
        assert await world.publish(topic) == 204

        world.hooks.takes_offer = True
        assert (await world.register(topic))["webhook_status"] == "accepted"


# --- Opening the link ---


async def test_opened_link_verifies(world: World) -> None:
    """Without a token. New events are pushed from then on; those that came meanwhile are not."""
    topic = await world.topic()
    registration = await world.register(topic)
    await world.publish(topic)
    answer = await visit(world, link(world))

    assert (answer.status, answer.header("content-type")) == (200, "text/plain; charset=utf-8")
    assert registration["registration_id"].encode() in answer.body
    assert answer.header("cache-control") == "no-store"
    assert await state(world, registration) == ("verified", True)
    assert await gaps(world, registration) == [(1, 1, "accepted")]


async def test_link_is_good_for_once(world: World) -> None:
    """410 from then on, and nothing changes."""
    registration = await world.register(await world.topic())
    await visit(world, link(world))
    epoch = await world.epoch()
    again = await visit(world, link(world))
    assert (again.status, again.json()["reason"]) == (410, "validation_over")
    assert (await state(world, registration), await world.epoch()) == (("verified", True), epoch)


async def test_of_many_at_once_one_opens_it(world: World) -> None:
    """The document's version decides."""
    await world.register(await world.topic())
    answers = await asyncio.gather(*(visit(world, link(world)) for _ in range(5)))
    assert sorted(answer.status for answer in answers) == [200, 410, 410, 410, 410]


@pytest.mark.parametrize(
    "target",
    [
        "/csm/registrations/validate",
        "/csm/registrations/validate?id={id}",
        "/csm/registrations/validate?challenge={secret}",
        "/csm/registrations/validate?id={id}&challenge=",
        "/csm/registrations/validate?id={id}&challenge={id}",
        "/csm/registrations/validate?id={secret}&challenge={secret}",
        "/csm/registrations/validate?id={other}&challenge={secret}",
        "/csm/registrations/validate?id={id}&challenge=%C3%A9",
    ],
)
async def test_unknown_links(world: World, target: str) -> None:
    """404, and the registration still waits."""
    registration = await world.register(await world.topic())
    world.hooks.passes = True
    other = await world.register(await world.topic("Other"), name="other")
    names = {
        "id": registration["registration_id"],
        "secret": world.hooks.offered[0][3],
        "other": other["registration_id"],
    }
    answer = await visit(world, target.format(**names))
    assert (answer.status, answer.json()["reason"]) == (404, "not_found")
    assert await state(world, registration) == ("accepted", True)


async def test_pages_for_browsers(world: World) -> None:
    """HTML for whoever accepts it, of success and of failure; it loads nothing and tells nobody where it was."""
    await world.register(await world.topic())
    for status, word in ((200, b"Validated"), (410, b"opened before")):
        answer = await visit(world, link(world), **BROWSER)
        assert (answer.status, answer.header("content-type")) == (status, "text/html; charset=utf-8")
        assert word in answer.body
        assert answer.header("referrer-policy") == "no-referrer"
        assert "default-src 'none'" in (answer.header("content-security-policy") or "")
    missing = await visit(world, link(world, secret="<script>"), **BROWSER)
    assert missing.status == 404
    assert b"<script>" not in missing.body


async def test_looking_is_not_opening(world: World) -> None:
    """HEAD says what GET would, but validates nothing: scanners ask that way."""
    registration = await world.register(await world.topic())
    assert (await visit(world, link(world), "HEAD")).status == 200
    assert await state(world, registration) == ("accepted", True)
    assert (await visit(world, link(world))).status == 200
    assert (await visit(world, link(world), "HEAD")).status == 410
    assert (await visit(world, link(world, secret="x"), "HEAD")).status == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"sec_purpose": "prefetch;prerender"},
        {"purpose": "prefetch"},
        {"x_purpose": "preview"},
        {"x_moz": "prefetch"},
        {"user_agent": "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"},
        {"user_agent": "Mozilla/5.0 (Windows NT 6.1) SkypeUriPreview Preview/0.5"},
        {"user_agent": "WhatsApp/2.23"},
    ],
)
async def test_previews_do_not_open(world: World, headers: dict[str, str]) -> None:
    """A chat or browser that looks into the link before anybody clicked on it is refused, and the link stays good."""
    registration = await world.register(await world.topic())
    assert (await visit(world, link(world), **headers)).status == 403
    assert await state(world, registration) == ("accepted", True)
    assert (await visit(world, link(world), user_agent="curl/8.5.0")).status == 200


async def test_other_methods_are_refused(world: World) -> None:
    """A form that posts is not the documented way."""
    registration = await world.register(await world.topic())
    assert (await visit(world, link(world), "POST")).status == 405
    assert await state(world, registration) == ("accepted", True)


# --- Time ---


async def test_link_expires(world: World) -> None:
    """After five minutes it is 410 at once, and the next look fails the registration; its journal goes on."""
    topic = await world.topic()
    registration = await world.register(topic)
    advance(world, WINDOW_S - 30)
    assert await world.parts.validations.step() == 0
    advance(world, 31)
    answer = await visit(world, link(world))
    assert (answer.status, answer.json()["reason"]) == (410, "validation_over")
    assert await world.parts.validations.step() == 1

    assert await state(world, registration) == ("verification_failed", False)
    assert (await visit(world, link(world))).status == 410
    assert await world.publish(topic) == 200
    assert len(await world.journal(registration)) == 1
    assert await world.parts.validations.step() == 0


async def test_link_is_good_to_the_end(world: World) -> None:
    """Half a minute before its end it opens."""
    registration = await world.register(await world.topic())
    advance(world, WINDOW_S - 30)
    assert (await visit(world, link(world))).status == 200
    advance(world, 3600)
    assert await world.parts.validations.step() == 0
    assert await state(world, registration) == ("verified", True)


async def test_a_rate_does_not_hurry_people(world: World) -> None:
    """However fast business time runs, the link is good for five minutes of whoever has to open it; the next due time
    says so to a travelling clock."""
    await world.register(await world.topic())
    clock = world.parts.clock
    assert isinstance(clock, VirtualClock)
    clock.set_rate(1_000_000)
    clock.set_rate(0)
    due_ms = world.parts.validations.next_due_ms()
    assert due_ms is not None
    assert (WINDOW_S - 30) * 1000 < due_ms - clock.now_ms() <= WINDOW_S * 1000
    assert (await visit(world, link(world))).status == 200
    assert world.parts.validations.next_due_ms() is None


async def test_waiting_survives_a_restart(tmp_path: Path) -> None:
    """What waits goes on waiting; what waited long enough has failed once the gateway runs again."""
    settings: dict[str, Any] = {"dev": True, "auth": "strict"}
    async with running(tmp_path, **settings) as world:
        world.hooks.passes, world.hooks.answers = False, True
        topic = await world.topic()
        first = await world.register(topic)
        first_link = link(world)
        advance(world, 200)
        second = await world.register(topic, name="second")
        second_link = link(world)
        clock = world.parts.clock
        assert isinstance(clock, VirtualClock)
        await world.store.set_clock(clock.offset_ms, clock.jumped_ms)
    async with running(tmp_path, **settings) as world:
        clock = world.parts.clock
        assert isinstance(clock, VirtualClock)
        clock.follow(await world.store.clock_offset_ms(), await world.store.clock_jumped_ms())
        assert [await state(world, each) for each in (first, second)] == [("accepted", True)] * 2
        advance(world, 110)
        assert await world.parts.validations.step() == 1
        assert (await visit(world, first_link)).status == 410
        assert (await visit(world, second_link)).status == 200
        assert await state(world, first) == ("verification_failed", False)
        assert await state(world, second) == ("verified", True)


# --- Changes ---


@pytest.mark.parametrize("change", ["put", "patch", "challenge"])
async def test_a_change_asks_anew_and_voids_the_link(world: World, change: str) -> None:
    """Only the link of the last challenge counts."""
    registration = await world.register(await world.topic())
    first = link(world)
    target = f"{REGISTRATIONS}/{registration['registration_id']}"
    if change == "put":
        answer = await put(world, registration, description="other")
    elif change == "patch":
        patch = [{"op": "replace", "path": "/description", "value": "other"}]
        headers = {**world.auth(), "content-type": "application/json-patch+json"}
        answer = await world.call("PATCH", target, patch, headers=headers)
    else:
        answer = await world.call("POST", f"{target}/challenge")

    assert (answer.status, answer.json()["webhook_status"], answer.json()["enabled"]) == (200, "accepted", True)
    assert (await visit(world, first)).status == 404
    assert await state(world, registration) == ("accepted", True)
    assert (await visit(world, link(world))).status == 200
    assert await state(world, registration) == ("verified", True)


async def test_a_change_that_passes_voids_the_link(world: World) -> None:
    """Verified by its answer, there is nothing to open."""
    registration = await world.register(await world.topic())
    world.hooks.passes = True
    assert (await put(world, registration)).json()["webhook_status"] == "verified"
    assert (await visit(world, link(world))).status == 404


async def test_disabling_by_hand_voids_the_link(world: World) -> None:
    """Nobody has validated it, and it says so."""
    registration = await world.register(await world.topic())
    answer = await put(world, registration, enabled=False)
    assert (answer.json()["webhook_status"], answer.json()["enabled"]) == ("verification_failed", False)
    assert (await visit(world, link(world))).status == 404


async def test_becoming_a_bus_voids_the_link(world: World) -> None:
    """An event bus is `accepted` too, but waits for its owner, not for a link."""
    registration = await world.register(await world.topic())
    bus = {"aws_region": "us-east-1", "aws_account_id": "123456789012"}
    changed = await put(world, registration, delivery_type="aws_eventbridge", destination_metadata=bus)
    assert (changed.status, changed.json()["webhook_status"]) == (200, "accepted")
    assert (await visit(world, link(world))).status == 404
    advance(world, WINDOW_S + 1)
    assert await world.parts.validations.step() == 0


async def test_deletion_voids_the_link(world: World) -> None:
    """And no timer stumbles over it."""
    registration = await world.register(await world.topic())
    deleted = await world.call("DELETE", f"{REGISTRATIONS}/{registration['registration_id']}")
    assert deleted.status == 204
    assert (await visit(world, link(world))).status == 404
    advance(world, WINDOW_S + 1)
    assert await world.parts.validations.step() == 0


async def test_verified_webhook_that_fails_later_waits_again(world: World) -> None:
    """A PUT holds its lane until the link is opened."""
    world.hooks.passes = True
    topic = await world.topic()
    registration = await world.register(topic)
    world.hooks.passes = False
    changed = await put(world, registration, webhook_url="https://new.example/hook")
    assert changed.json()["webhook_status"] == "accepted"
    await world.publish(topic)
    assert await gaps(world, registration) == [(1, None, "accepted")]
    await visit(world, link(world))
    assert await gaps(world, registration) == [(1, 1, "accepted")]


# --- The retry call ---


async def test_challenge_call_enables_again(world: World) -> None:
    """As a PUT without a change: a failed registration is asked again; its answer is the registration."""
    world.hooks.answers = False
    registration = await world.register(await world.topic())
    world.hooks.passes = True
    target = f"{REGISTRATIONS}/{registration['registration_id']}"
    answer = await world.call("POST", f"{target}/challenge")
    assert answer.status == 200
    assert answer.json() == (await world.call("GET", target)).json()
    assert (answer.json()["webhook_status"], answer.json()["enabled"]) == ("verified", True)
    assert len(world.hooks.asked) == 2


async def test_challenge_call_without_a_webhook(world: World) -> None:
    """400: there is nobody to ask. 404 for what does not exist."""
    registration = await world.register(await world.topic(), delivery_type="journal")
    answer = await world.call("POST", f"{REGISTRATIONS}/{registration['registration_id']}/challenge")
    assert (answer.status, answer.json()["reason"]) == (400, "challenge_failed")
    assert (await world.call("POST", f"{REGISTRATIONS}/unknown/challenge")).status == 404


# --- Races ---


async def test_link_may_be_opened_before_the_offer_is_answered(world: World) -> None:
    """A webhook that opens it while it handles the offer is verified when its registration is answered."""

    async def open_at_once() -> None:
        assert (await visit(world, link(world))).status == 200

    world.hooks.on_offer = open_at_once
    registration = await world.register(await world.topic())
    assert (registration["webhook_status"], registration["enabled"]) == ("verified", True)


async def test_refusing_counts_more_than_opening(world: World) -> None:
    """A scanner in front of an endpoint that wants nothing may open every link that passes by."""

    async def open_at_once() -> None:
        assert (await visit(world, link(world))).status == 200

    world.hooks.on_offer, world.hooks.takes_offer = open_at_once, False
    registration = await world.register(await world.topic())
    assert (registration["webhook_status"], registration["enabled"]) == ("verification_failed", False)
    assert (await visit(world, link(world))).status == 410


async def test_link_opened_during_a_change_does_not_carry_over(world: World) -> None:
    """The change was not what the link was for: it waits for its own, and keeps what it changed."""
    registration = await world.register(await world.topic())
    first = link(world)

    async def open_first() -> None:
        world.hooks.on_ask = None
        assert (await visit(world, first)).status == 200

    world.hooks.on_ask = open_first
    changed = await put(world, registration, webhook_url="https://new.example/hook")
    assert (changed.json()["webhook_status"], changed.json()["webhook_url"]) == ("accepted", "https://new.example/hook")
    assert await state(world, registration) == ("accepted", True)
    assert (await visit(world, link(world))).status == 200


async def test_of_two_changes_at_once_the_later_link_counts(world: World) -> None:
    """Both are offered; only the link of what is stored opens."""
    registration = await world.register(await world.topic())
    both = await asyncio.gather(
        *(put(world, registration, webhook_url=f"https://{name}.example/hook") for name in ("a", "b"))
    )
    assert {answer.status for answer in both} == {200}
    read = await world.call("GET", f"{REGISTRATIONS}/{registration['registration_id']}")
    offers = {url: secret for url, _, _, secret in world.hooks.offered[1:]}
    good = offers.pop(read.json()["webhook_url"])
    [void] = offers.values()
    assert (await visit(world, link(world, secret=void))).status == 404
    assert (await visit(world, link(world, secret=good))).status == 200


async def test_refusal_of_an_offer_that_a_change_overtook_changes_nothing(world: World) -> None:
    """The change passed; the old webhook's answer comes too late."""
    registration = await world.register(await world.topic())

    async def change_meanwhile() -> None:
        world.hooks.on_offer, world.hooks.passes = None, True
        assert (await put(world, registration, webhook_url="https://new.example/hook")).status == 200

    world.hooks.on_offer, world.hooks.takes_offer = change_meanwhile, False
    answer = await put(world, registration, webhook_url="https://old.example/hook")
    assert (answer.json()["webhook_status"], answer.json()["webhook_url"]) == ("verified", "https://new.example/hook")
    assert await state(world, registration) == ("verified", True)


async def test_deleted_during_the_offer(world: World) -> None:
    """The creation still answers; there is nothing to fail or to open."""

    async def delete() -> None:
        [_, registration_id, _, _] = world.hooks.offered[-1]
        assert (await world.call("DELETE", f"{REGISTRATIONS}/{registration_id}")).status == 204

    world.hooks.on_offer, world.hooks.takes_offer = delete, False
    registration = await world.register(await world.topic())
    assert registration["webhook_status"] == "accepted"
    assert (await visit(world, link(world))).status == 404


class Paused:
    """The store, whose next write first waits for what the test does meanwhile."""

    def __init__(self, world: World, meanwhile: Callable[[], Awaitable[None]]) -> None:
        self._store: Any = world.store
        self._meanwhile: list[Callable[[], Awaitable[None]]] = [meanwhile]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def write(self, ops: Any) -> Any:
        if self._meanwhile:
            await self._meanwhile.pop()()
        return await self._store.write(ops)

    def validations(self, world: World) -> Validations:
        return Validations(cast(ControlStore, self), world.parts.catalogue, world.parts.clock, WINDOW_S)


async def test_expiry_overtakes_opening(world: World) -> None:
    """Opened in the last moment, but written too late: it is told so, and the registration has failed."""
    registration = await world.register(await world.topic())

    async def expire() -> None:
        advance(world, WINDOW_S + 1)
        assert await world.parts.validations.step() == 1

    secret = world.hooks.offered[0][3]
    with pytest.raises(GatewayError, match="expired"):
        await Paused(world, expire).validations(world).open(registration["registration_id"], secret)
    assert await state(world, registration) == ("verification_failed", False)


async def test_opening_overtakes_expiry(world: World) -> None:
    """Opened in the last moment while it was found to be due: it is verified, and stays so."""
    registration = await world.register(await world.topic())
    secret = world.hooks.offered[0][3]
    opened, at_expiry = asyncio.Event(), asyncio.Event()

    async def wait_for_opening() -> None:
        at_expiry.set()
        await opened.wait()

    async def find_due() -> None:
        advance(world, WINDOW_S + 1)
        expiring.append(asyncio.create_task(Paused(world, wait_for_opening).validations(world).step()))
        await at_expiry.wait()

    expiring: list[asyncio.Task[int]] = []
    await Paused(world, find_due).validations(world).open(registration["registration_id"], secret)
    opened.set()
    assert await expiring[0] == 0
    assert await state(world, registration) == ("verified", True)
