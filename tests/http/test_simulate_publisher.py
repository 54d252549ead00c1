"""The simulator's publisher against a gateway that answers as it is told: what is counted, waited for, given up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import islice

import msgspec
import pytest
from aiohttp import web

from eventmill.clock import SystemClock
from eventmill.config import Config
from eventmill.flow.builtin import load_builtin
from eventmill.simulate.channel import find_channels
from eventmill.simulate.publisher import INTERRUPTED, Publishing, Report, Stream
from eventmill.simulate.world import run_world

pytestmark = pytest.mark.anyio

CHANNEL = "journey-optimizer/journey-step"
CHANNELS = {CHANNEL: find_channels(load_builtin(Config()))[CHANNEL]}
COMES_BACK = {"retry-after": "0"}


class Answering:
    """A gateway in a few words: the answers to give, the last one for ever; keeps the bodies it got."""

    def __init__(self, *answers: tuple[int, str]) -> None:
        self._answers = list(answers)
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.read())
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        status, text = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return web.Response(status=status, text=text, headers=COMES_BACK)


@asynccontextmanager
async def served(answering: Answering) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/ingress", answering.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/ingress"
    await runner.cleanup()


def make_stream(url: str, count: int | None) -> Stream:
    return Stream(
        events=islice(run_world(7, 0, CHANNELS), count),
        channels=CHANNELS,
        ims_org_id="ORG@AdobeOrg",
        ingress_url=url,
        headers={"authorization": "Bearer operator", "x-ims-org-id": "ORG@AdobeOrg"},
        rate=0,
    )


async def publish(answering: Answering, count: int) -> Report:
    async with served(answering) as url:
        return await Publishing(make_stream(url, count), SystemClock(), lambda: None).run()


def outcomes(report: Report) -> tuple[int, int, int]:
    return report.total("published"), report.total("unsubscribed"), report.total("refused")


async def test_every_event_is_sent_once_and_counted() -> None:
    """200 is published, 204 is an event that nobody subscribes to."""
    answering = Answering((200, "OK"), (204, ""), (200, "OK"))

    report = await publish(answering, 40)

    assert outcomes(report) == (39, 1, 0)
    assert len(set(answering.bodies)) == len(answering.bodies) == 40
    assert (report.waits, report.ended, report.reasons) == (0, "", {})


async def test_the_operator_publishes_for_an_organisation() -> None:
    """Token and organisation go with each event, in structured mode."""
    answering = Answering((200, "OK"))

    await publish(answering, 1)

    [headers] = answering.headers
    assert headers["authorization"] == "Bearer operator"
    assert headers["x-ims-org-id"] == "ORG@AdobeOrg"
    assert headers["content-type"] == "application/cloudevents+json"


@pytest.mark.parametrize("status", [429, 503])
async def test_a_refusal_that_passes_is_waited_for(status: int) -> None:
    """The same event is sent again when the gateway said that it could be."""
    answering = Answering((status, ""), (status, ""), (200, "OK"))

    report = await publish(answering, 1)

    assert (outcomes(report), report.waits) == ((1, 0, 0), 2)
    assert len(set(answering.bodies)) == 1


async def test_a_refusal_that_does_not_pass_is_given_up() -> None:
    """Nobody wants a command that never ends; the event counts as refused."""
    report = await publish(Answering((503, '{"reason": "x", "message": "the disk is full"}')), 1)

    assert outcomes(report) == (0, 0, 1)
    assert report.reasons == {CHANNEL: "503: the disk is full"}


async def test_refused_events_do_not_end_the_run() -> None:
    """What is wrong with one channel need not be wrong with another; the first reason is kept."""
    message = '{"reason": "not_found", "message": "names no provider"}'

    report = await publish(Answering((404, message), (404, "gone"), (200, "OK")), 20)

    assert outcomes(report) == (18, 0, 2)
    assert report.reasons[CHANNEL] in ("404: names no provider", "404, and not as a gateway would say it")
    assert report.ended == ""


@pytest.mark.parametrize("status", [401, 403])
async def test_a_publisher_that_is_not_wanted_stops(status: int) -> None:
    """The next event would fare no better; an endless run ends too."""
    answering = Answering((status, '{"reason": "x", "message": "only the operator"}'))

    async with served(answering) as url:
        report = await Publishing(make_stream(url, None), SystemClock(), lambda: None).run()

    assert report.total("refused") == len(answering.bodies) <= 16
    assert "only the operator" in report.ended


async def test_stopping() -> None:
    """What was answered is counted, and nothing is published after it."""
    answering = Answering((200, "OK"))

    async with served(answering) as url:
        publishing = Publishing(make_stream(url, None), SystemClock(), lambda: publishing.stop(INTERRUPTED))
        report = await publishing.run()

    assert report.ended == INTERRUPTED
    assert report.total("published") == len(answering.bodies) <= 16


async def test_events_of_one_story_arrive_in_order() -> None:
    """However many are under way at once, no step is left before it was entered."""
    answering = Answering((200, "OK"))

    await publish(answering, 400)

    entered: set[tuple[str, str]] = set()
    for body in journey_steps(answering):
        step = body["profileId"], body["stepId"]
        if body["stepStatus"] == "entered":
            entered.add(step)
        assert step in entered


def journey_steps(answering: Answering) -> Iterator[dict[str, str]]:
    for body in answering.bodies:
        yield msgspec.json.decode(body)["data"]["body"]
