"""Reading a journal: checkpoints of each kind, expired positions, waiting, and what is read again after a stop."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from eventmill.client import (
    BadAnswer,
    Client,
    ClientError,
    Cursor,
    EventMetadataInput,
    FileCheckpoint,
    MemoryCheckpoint,
    PositionExpired,
    Reading,
    journal_url,
)
from eventmill.client.journal import page_call, read_journal
from tests.client.driver import Driver, answer, page, session
from tests.client.either import Either
from tests.client.test_scenarios import event, make_topic, registration_body

FOLLOW = Path(__file__).parents[2] / "examples" / "sdk" / "follow.py"
JOURNAL = "https://events-va6.adobe.io/events/organizations/1/integrations/2/3"


def read(driver: Driver, reading: Reading, emit_max: int | None = None) -> list[str]:
    driver.run(read_journal(session(), JOURNAL, reading), emit_max)
    return driver.emitted


def test_a_reader_follows_links_and_waits_as_it_is_told() -> None:
    """Pages until there is nothing; then `Retry-After`, unless the service held the answer back."""
    idle, held = page(retry_after="10"), page(preference_applied="wait=20")
    driver = Driver(page("a", "b"), idle, held, page("c"), page("d"))
    assert read(driver, Reading(limit=2), emit_max=3) == ["a", "b", "c"]
    urls = [send.url.removeprefix("https://events-va6.adobe.io") for send in driver.sent]
    assert urls[0] == "/events/organizations/1/integrations/2/3?limit=2"
    assert urls[1:] == ["/events-fast/j?since=b", *["/events-fast/j?since=end"] * 2, "/events-fast/j?since=c"]
    assert driver.waits == [10.0]
    assert all(send.headers["prefer"] == "wait=20" and send.timeout_s == 50 for send in driver.sent)


def test_a_reader_may_end_where_the_journal_does() -> None:
    """`until_idle` asks the service to hold nothing back."""
    driver = Driver(page("a"), page())
    assert read(driver, Reading(until_idle=True)) == ["a"]
    assert all("prefer" not in send.headers for send in driver.sent)


def test_only_events_that_are_done_are_saved() -> None:
    """One is done when the next is asked for: a reader that stops in the middle of one gets it again."""
    checkpoint = MemoryCheckpoint()
    assert read(Driver(page("a", "b", "c")), Reading(checkpoint=checkpoint), emit_max=2) == ["a", "b"]
    assert checkpoint.position == "b"
    steps = read_journal(session(), JOURNAL, Reading(checkpoint=checkpoint, save_every=100))
    steps.send(None)
    steps.close()
    assert checkpoint.position == "b"


def test_saves_are_spared_and_made_up_for_at_the_end() -> None:
    """With `save_every` at the end of a page, and when the reader is closed."""
    checkpoint = MemoryCheckpoint()
    reading = Reading(checkpoint=checkpoint, save_every=100)
    assert read(Driver(page("a", "b", "c")), reading, emit_max=2) == ["a", "b"]
    assert checkpoint.position == "b"
    driver = Driver(page("c"), page())
    assert read(driver, Reading(checkpoint=checkpoint, save_every=100, until_idle=True)) == ["c"]
    assert driver.sent[0].url.endswith("/3?since=b")
    assert checkpoint.position == "c"


@pytest.mark.parametrize(("policy", "query"), [("oldest", ""), ("latest", "?latest=true")])
def test_a_reader_whose_position_expired_goes_on_as_it_was_told(policy: str, query: str) -> None:
    """With the oldest event there is, or with what comes from now on."""
    driver = Driver(answer(410, b"Events at position a have expired"), page("x"), page())
    reading = Reading(since="a", on_expired=policy, until_idle=True)  # type: ignore[arg-type]
    assert read(driver, reading) == ["x"]
    assert driver.sent[1].url == JOURNAL + query


def test_a_position_in_a_link_is_given_up_with_the_rest() -> None:
    """Whoever reads from a `next` link would be sent back to the expired position for ever; and a saved position counts
    for more than one in the link."""
    driver = Driver(answer(410, b"expired"), page("x"), page())
    reading = Reading(on_expired="oldest", until_idle=True, limit=5)
    driver.run(read_journal(session(), f"{JOURNAL}?since=a&limit=2", reading))
    assert [send.url for send in driver.sent[:2]] == [f"{JOURNAL}?since=a&limit=5", f"{JOURNAL}?limit=5"]
    driver = Driver(page())
    saved = Reading(checkpoint=MemoryCheckpoint("b"), until_idle=True)
    driver.run(read_journal(session(), f"{JOURNAL}?latest=true", saved))
    assert driver.sent[0].url == f"{JOURNAL}?since=b"


def test_a_reader_whose_position_expired_says_so_by_default() -> None:
    """Nobody loses events without having asked for it."""
    with pytest.raises(PositionExpired, match="have expired"):
        read(Driver(answer(410, b"Events at position a have expired", content_type="text/plain")), Reading(since="a"))


def test_contradictions_and_strange_answers_are_refused() -> None:
    """One beginning only; and a page without a way on is none."""
    with pytest.raises(ClientError, match="only one of latest, since and seek"):
        read(Driver(), Reading(since="a", seek="-PT2H"))
    with pytest.raises(BadAnswer, match="without a next link"):
        Driver(answer(body={"events": []})).run(session().exchange(page_call(JOURNAL, {}, 0)))


def test_a_file_keeps_a_position(tmp_path: Path) -> None:
    """Replaced whole; a file that is something else is not taken for an empty one."""
    kept = FileCheckpoint(tmp_path / "position.json")
    assert kept.load() is None
    for position in ("a", "b"):
        kept.save(position)
        assert FileCheckpoint(kept.path).load() == position
    assert list(tmp_path.iterdir()) == [kept.path]
    for torn in (b"[]", b"", b'{"posi', b"\xff\xfe", b'{"position": 3}'):
        kept.path.write_bytes(torn)
        with pytest.raises(ValueError, match=r"position\.json holds no journal position; remove it"):
            kept.load()


def test_two_saves_at_once_are_one_after_the_other(tmp_path: Path) -> None:
    """A reader that is cancelled while it saves saves again when it is closed."""
    kept = FileCheckpoint(tmp_path / "position.json")
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(kept.save, ["b"] * 200))
    assert kept.load() == "b"
    assert list(tmp_path.iterdir()) == [kept.path]


@pytest.mark.anyio
async def test_a_reader_that_is_cancelled_misses_nothing(env: dict[str, str], tmp_path: Path) -> None:
    """At any moment: while it waits for a page, while it saves, while the event is handled."""
    async with Either("asynchronous", env) as either:
        provider_id = await make_topic(either)
        registration = await either.create_registration(registration_body(provider_id, "Stock reader"))
        for number in range(12):
            await either.publish_event(event(provider_id, str(number)))
        done: dict[str, None] = {}
        for patience_ms in count(5, 5):
            reading = Reading(checkpoint=FileCheckpoint(tmp_path / "position.json"), until_idle=True, limit=3)
            entries = either.client.read_journal(registration, reading)
            with suppress(TimeoutError):
                async with asyncio.timeout(patience_ms / 1000), aclosing(entries):
                    async for entry in entries:
                        done[entry["event"]["id"]] = None
            if len(done) == 12:
                break
    assert list(done) == [str(number) for number in range(12)]


@pytest.mark.anyio
async def test_a_reader_goes_on_where_it_was_saved(client: Either, tmp_path: Path) -> None:
    """With a file and with a cursor of the gateway, which another reader may be given."""
    provider_id = await make_topic(client)
    registration = await client.create_registration(registration_body(provider_id, "Stock reader"))
    for number in range(4):
        await client.publish_event(event(provider_id, str(number)))
    kinds: list[Callable[[], FileCheckpoint | Cursor]] = [
        lambda: FileCheckpoint(tmp_path / "position.json"),
        lambda: Cursor("erp"),
    ]
    for make in kinds:
        assert await client.take(3, registration, Reading(checkpoint=make(), limit=3)) == ["0", "1", "2"]
        # The third was not done: it came, and nobody asked for the next.
        rest = await client.take(-1, journal_url(registration), Reading(checkpoint=make(), until_idle=True))
        assert rest == ["2", "3"]
        assert await client.take(-1, registration, Reading(checkpoint=make(), until_idle=True)) == []


@pytest.mark.anyio
async def test_a_reader_waits_at_the_gateway(client: Either) -> None:
    """An event that comes while it waits is there at once: the gateway holds the answer back."""
    provider_id = await make_topic(client)
    registration = await client.create_registration(registration_body(provider_id, "Stock reader"))
    page = await client.get_events_from_journal(journal_url(registration), wait_s=1)
    assert page.waited and page.events == []


def test_a_reader_that_is_killed_misses_nothing(env: dict[str, str], tmp_path: Path) -> None:
    """The example that follows a journal, killed in the middle: the next one repeats one event at most."""
    with Client.from_env(env) as client:
        provider = client.create_provider({"label": "Orders"})
        metadata: EventMetadataInput = {"event_code": "com.acme.stock.low", "label": "Low", "description": "Low"}
        client.create_event_metadata_for_provider(provider["id"], metadata)
        body: Any = registration_body(provider["id"], "Stock reader")
        registration_id = client.create_registration(body)["registration_id"]

        def publish(*numbers: int) -> None:
            for number in numbers:
                client.publish_event({**event(provider["id"], str(number)), "data": number})

        publish(*range(5))
        follow = [sys.executable, "-u", str(FOLLOW), registration_id, "position.json"]
        variables = {"PATH": os.environ["PATH"], **env}
        with subprocess.Popen(follow, cwd=tmp_path, env=variables, stdout=subprocess.PIPE, text=True) as reader:
            assert reader.stdout is not None
            first = [int(reader.stdout.readline()) for _ in range(3)]
            reader.kill()
            first += [int(line) for line in reader.stdout]
        publish(5, 6)
    again = [*follow, "--until-idle"]
    done = subprocess.run(again, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=60, check=True)
    rest = [int(line) for line in done.stdout.splitlines()]
    assert sorted({*first, *rest}) == list(range(7))
    assert len(first) + len(rest) <= 8
