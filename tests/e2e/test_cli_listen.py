"""`eventmill listen`: nothing is lost and nothing repeated beyond the last acknowledged event, whoever is killed."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eventmill.demo.verify import Verifier
from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import Gateway, call
from tests.e2e.harness.command_line import CommandLine, check_schema
from tests.e2e.harness.local_receiver import Got, LocalReceiver, always, local_receiver

CODE = "com.acme.low"


class Desk:
    """A gateway with one journal registration, and a publisher that numbers its events."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.line = CommandLine(gateway)
        provider = self.line.read("provider", "create", "--label", "Warehouse")
        self.source = provider["source"]
        self.line.ok("eventmetadata", "create", "Warehouse", CODE, "--label", "Low", "--description", "Runs out")
        self.line.ok("registration", "create", "--name", "Reader", "--event", f"Warehouse:{CODE}")
        self.published: list[str] = []

    def publish(self, count: int) -> None:
        ids = [f"order-{len(self.published) + number}" for number in range(count)]
        events = [{"specversion": "1.0", "id": each, "source": self.source, "type": CODE} for each in ids]
        self.line.ok("publish", "-", "--mode", "batch", given="\n".join(map(json.dumps, events)))
        self.published += ids

    @contextmanager
    def listening(self, receiver: LocalReceiver, state: Path, *flags: str) -> Iterator[subprocess.Popen[str]]:
        """From the moment on at which its place is saved, until the block ends; then it is killed."""
        process = subprocess.Popen(
            [sys.executable, "-m", "eventmill", "listen", "--forward-to", receiver.url, "--state", str(state), *flags],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=self.line.env,
        )
        assert process.stderr is not None
        try:
            assert "place kept in" in process.stderr.readline()
            yield process
        finally:
            process.kill()
            process.wait()
            process.stderr.close()


def ids(receiver: LocalReceiver) -> list[str]:
    return [post.event_id for post in receiver.posts]


def test_kill_9_of_either_side(start_gateway: StartGateway, tmp_path: Path) -> None:
    """The listener is killed twice, the gateway once, in the middle of it: every event arrives, in order, and each kill
    of the listener repeats one event at most."""
    desk = Desk(start_gateway("--dev"))
    state = tmp_path / "state.json"
    with local_receiver(always(200)) as receiver:
        with desk.listening(receiver, state):
            desk.publish(40)
            receiver.until(lambda: len(receiver.posts) >= 7)
        desk.publish(20)
        with desk.listening(receiver, state):
            receiver.until(lambda: len(receiver.posts) >= 30)
            desk.gateway.kill()
            desk.gateway.start()
            desk.publish(20)
            receiver.until(lambda: len(receiver.posts) >= 65)
        with desk.listening(receiver, state):
            receiver.until(lambda: "order-79" in ids(receiver))
        seen = ids(receiver)
    assert list(dict.fromkeys(seen)) == desk.published
    repeated = [each for each, count in Counter(seen).items() if count > 1]
    assert len(seen) - len(desk.published) <= 2, repeated
    assert json.loads(state.read_text())["taken"] >= len(desk.published) - 2


def test_begins_with_what_comes_next_and_replays(start_gateway: StartGateway, tmp_path: Path) -> None:
    """The first run begins at the journal's end; --replay sends the last ones again, marked, and moves no place;
    --seek goes back in time. Deliveries are signed as the gateway's own where its data are."""
    desk = Desk(start_gateway("--dev"))
    state = tmp_path / "state.json"
    where = ("--data", str(desk.gateway.data), "--port", str(desk.gateway.port), "--state", str(state))
    desk.publish(2)
    with local_receiver(always(200)) as receiver:
        with desk.listening(receiver, state, "--limit", "3") as first_run:
            desk.publish(3)
            assert first_run.wait(timeout=60) == 0
        begin = ("listen", "Reader", "--forward-to", receiver.url, *where)
        desk.publish(1)
        done = desk.line.run(*begin, "--replay", "2", "--limit", "1", "--json")
        lines = [check_schema(("listen",), json.loads(each)) for each in done.output.splitlines()]
        assert [each["replay"] for each in lines] == [True, True, False], done
        assert ids(receiver) == ["order-2", "order-3", "order-4", "order-3", "order-4", "order-5"]
        assert len({post.headers.get("x-eventmill-replay") for post in receiver.posts[3:5]}) == 1
        desk.line.ok(*begin, "--seek", "1h", "--limit", "6")
        assert ids(receiver)[6:] == desk.published
        asyncio.run(verify(desk, receiver.posts[-1]))


async def verify(desk: Desk, post: Got) -> None:
    """As a webhook would: with the gateway's public keys and the client's secret."""

    async def fetch_key(path: str) -> bytes:
        return (await asyncio.to_thread(call, "GET", desk.line.env["KEYS_URL"] + path)).body

    verifier = Verifier(desk.line.env["CLIENT_ID"], desk.line.env["CLIENT_SECRET"], fetch_key)
    assert post.headers["x-eventmill-listen"] == "signed"
    assert [event["id"] for event in await verifier.verify(post.headers, post.body)] == [post.event_id]


def test_batches(start_gateway: StartGateway, tmp_path: Path) -> None:
    """A registration that takes batches gets arrays, signed as a whole, tried again as a whole; its place moves by
    batches, and the last events are replayed in batches, too."""
    desk = Desk(start_gateway("--dev"))
    body = {"name": "Batches", "delivery_type": "webhook_batch", "webhook_url": "http://127.0.0.1:9/"}
    desk.line.ok("registration", "create", "-", "--event", f"Warehouse:{CODE}", given=json.dumps(body))
    desk.publish(25)
    failed = iter((503,))
    where = ("--data", str(desk.gateway.data), "--port", str(desk.gateway.port))
    with local_receiver(lambda _: (next(failed, 200), b"")) as receiver:
        begin = ("listen", "Batches", "--forward-to", receiver.url, "--state", str(tmp_path / "state.json"), *where)
        lines = desk.line.ok(*begin, "--seek", "1h", "--limit", "23", "--json").splitlines()
        told = [check_schema(("listen",), json.loads(each)) for each in lines]
        assert [(each["events"], each["status"]) for each in told] == [(20, 503), (20, 200), (3, 200)]
        desk.line.ok(*begin, "--replay", "3", "--limit", "2")
    batches = [[event["id"] for event in json.loads(post.body)] for post in receiver.posts]
    numbers = desk.published
    assert batches == [numbers[:20], numbers[:20], numbers[20:23], numbers[20:23], numbers[23:]]
    asyncio.run(verify_batch(desk, receiver.posts[-1], numbers[23:]))


async def verify_batch(desk: Desk, post: Got, published: list[str]) -> None:
    """The signatures are those of the whole array, and the headers list its events."""

    async def fetch_key(path: str) -> bytes:
        return (await asyncio.to_thread(call, "GET", desk.line.env["KEYS_URL"] + path)).body

    verifier = Verifier(desk.line.env["CLIENT_ID"], desk.line.env["CLIENT_SECRET"], fetch_key)
    assert [event["id"] for event in await verifier.verify(post.headers, post.body)] == published
    assert post.headers["content-type"] == "application/json; charset=utf-8"
    assert len(post.headers["x-adobe-event-id"].split(",")) == len(published)


def test_a_receiver_that_fails(start_gateway: StartGateway, tmp_path: Path) -> None:
    """A refusal for good is passed over, a passing one is tried again until the receiver takes it, in order."""
    desk = Desk(start_gateway("--dev"))
    desk.publish(3)
    asked: Counter[str] = Counter()

    def answer(got: Got) -> tuple[int, bytes]:
        asked[got.event_id] += 1
        if got.event_id == "order-0":
            return 404, b""
        return (503 if got.event_id == "order-1" and asked[got.event_id] == 1 else 200), b""

    with local_receiver(answer) as receiver:
        begin = ("listen", "--forward-to", receiver.url, "--state", str(tmp_path / "state.json"))
        shown = desk.line.ok(*begin, "--seek", "1h", "--limit", "3").splitlines()
        assert ids(receiver) == ["order-0", "order-1", "order-1", "order-2"]
        assert [post.headers.get("x-adobe-retry-count") for post in receiver.posts] == [None, None, "1", None]
        assert receiver.posts[0].headers["x-eventmill-listen"] == "hmac"
    assert [line.split("  ")[3] for line in shown] == ["404", "503", "200", "200"]
    assert shown[0].endswith("passed over") and shown[1].endswith("again in 1 s")


def test_listen_refusals(start_gateway: StartGateway, tmp_path: Path) -> None:
    """What it cannot go on from is one line that says what to do."""
    desk = Desk(start_gateway("--dev"))
    line, state = desk.line, tmp_path / "state.json"
    begin = ("listen", "Reader", "--forward-to", "http://127.0.0.1:9/", "--state", str(state))
    assert "there is no registration 'No'" in line.refused("listen", "No", *begin[2:])
    assert "--seek goes neither" in line.misused(*begin, "--seek", "1h", "--replay", "3")
    assert "is not a URL" in line.run(*begin[:3], "nowhere").message
    state.write_text("{}")
    assert "is not a state of `eventmill listen`" in line.refused(*begin)
    state.unlink()
    with local_receiver(always(200)) as receiver, desk.listening(receiver, state):
        assert "another `eventmill listen` keeps its place" in line.refused(*begin)
    desk.publish(1)
    line.ok("dev", "clock", "--advance", "8d")
    line.ok("dev", "clock", "--advance", "1d")
    expired = line.run(*begin)
    assert expired.code == 1 and "Go on with: --seek 7d" in expired.message
    line.ok("registration", "create", "--name", "Second", "--event", f"Warehouse:{CODE}")
    assert "which registration?" in line.misused("listen", *begin[2:])
