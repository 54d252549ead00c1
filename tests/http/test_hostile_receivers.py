"""Every bad way of answering that the shipped receiver knows: the right code, the right decision, in time and memory.

A deadline that passes is an outcome of its own (604), so none of these tests needs to look at a clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from eventmill.clock import VirtualClock
from eventmill.core.retry import Verdict, judge
from eventmill.model import Lane
from eventmill.send import connector
from eventmill.testing import (
    Authority,
    Behaviour,
    Connection,
    answering,
    answering_once,
    closing,
    closing_when_idle,
    dripping,
    flooding,
    half_closing,
    never_accepting,
    never_answering,
    never_reading,
    receiving,
    refusing_handshake,
    resetting,
    response,
    server_context,
)
from tests.http.delivery import delivering
from tests.http.names import Names
from tests.http.sending import LONG_S, SHORT_S, outcome, post, sending

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
MIB = 1 << 20
MEMORY_MAX = 6 * MIB
"""Of one attempt: what may be read of a response is 1 MiB, and the receiver's own buffers are in here too."""


@pytest.fixture(scope="module", params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Both event loops: connections end in different ways on them, and production runs on uvloop."""
    return "asyncio", {"use_uvloop": request.param}


@contextmanager
def memory_flat() -> Iterator[None]:
    """At no moment of the block does it need much."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MEMORY_MAX, f"{peak / MIB:.1f} MiB"


def redirecting(to: str) -> Behaviour:
    return answering(response(b"", "307 Temporary Redirect", f"location: {to}\r\n"))


RETRIED = [
    pytest.param(resetting(), 602, id="reset before the answer"),
    pytest.param(resetting(OK), 602, id="reset within the head"),
    pytest.param(resetting(OK + b"content-length: 9\r\n\r\nabc"), 602, id="reset within the body"),
    pytest.param(closing(), 602, id="closes without an answer"),
    pytest.param(half_closing(), 602, id="half-closes"),
    pytest.param(answering_once(OK + b"content-le"), 602, id="closes within the head"),
    pytest.param(answering_once(OK + b"content-length: 9\r\n\r\nabc"), 602, id="closes within the body"),
    pytest.param(answering_once(CHUNKED + b"5\r\nab"), 602, id="closes within a chunk"),
    pytest.param(never_answering(), 604, id="never answers"),
    pytest.param(never_reading(), 604, id="never reads"),
    pytest.param(dripping(b"", b"H"), 601, id="status line drips nonsense"),
    pytest.param(dripping(OK, b"x-slow: 1\r\n", 0.02), 604, id="head drips"),
    pytest.param(dripping(OK + b"content-length: 99999\r\n\r\n", b"x"), 604, id="body drips"),
    pytest.param(dripping(OK + b"\r\n", b"x"), 604, id="body without length drips"),
    pytest.param(dripping(CHUNKED, b"1\r\nx\r\n"), 604, id="chunks drip"),
    pytest.param(dripping(CHUNKED + b"1", b";x"), 604, id="a chunk's extension drips"),
    pytest.param(dripping(CHUNKED + b"0\r\n", b"x: y\r\n", 0.02), 604, id="trailers drip"),
    pytest.param(dripping(b"", b"HTTP/1.1 102 Processing\r\n\r\n", 0.05), 604, id="interim responses drip"),
    pytest.param(answering(b"HTTP/1.1 102 Processing\r\n\r\n"), 604, id="interim, then nothing"),
    pytest.param(flooding(b"", b"HTTP/1.1 102 Processing\r\n\r\n"), 601, id="interim flood"),
    pytest.param(flooding(OK, b"x-flood: 1\r\n"), 601, id="header flood"),
    pytest.param(flooding(OK + b"x-endless: ", b"v"), 601, id="endless field"),
    pytest.param(flooding(b"HTTP/1.1 200 ", b"O"), 601, id="endless status line"),
    pytest.param(flooding(b"", b"\x00\xff\x17 garbage"), 601, id="garbage"),
    pytest.param(answering_once(b"SSH-2.0-OpenSSH_9.2\r\n"), 601, id="another protocol"),
    pytest.param(answering(OK + b"content-length: 1\r\ncontent-length: 2\r\n\r\nab"), 601, id="two lengths"),
    pytest.param(answering(OK + b"content-length: -1\r\n\r\n"), 601, id="negative length"),
    pytest.param(answering(CHUNKED + b"zz\r\n"), 601, id="chunk of no length"),
    pytest.param(answering(response(status="429 Too Many Requests", headers="retry-after: 3600\r\n")), 429, id="429"),
    pytest.param(answering(response(status="503 Unavailable", headers="retry-after: junk\r\n")), 503, id="503"),
]


@pytest.mark.parametrize(("behaviour", "status"), RETRIED)
async def test_no_usable_answer_is_tried_again(behaviour: Behaviour, status: int) -> None:
    """The code tells what happened; nothing of it is final, and the attempt ends by its deadline in little memory."""
    with memory_flat():
        answer = await outcome(behaviour, timeout_s=SHORT_S if status == 604 else LONG_S)
    assert answer.status == status
    assert judge(status) is Verdict.RETRY
    assert answer.blames_endpoint


BOMB = gzip.compress(bytes(50 * MIB))

ENDED = [
    pytest.param(flooding(OK + b"\r\n", b"x"), 200, id="endless body"),
    pytest.param(flooding(OK + b"content-length: 99999999999\r\n\r\n", b"x"), 200, id="huge body"),
    pytest.param(flooding(CHUNKED, b"1000\r\n" + b"x" * 4096 + b"\r\n"), 200, id="endless chunks"),
    pytest.param(flooding(b"HTTP/1.1 404 No\r\n\r\n", b"x"), 404, id="endless body of a refusal"),
    pytest.param(answering(response(BOMB, headers="content-encoding: gzip\r\n")), 200, id="gzip bomb"),
    pytest.param(answering(response(zlib.compress(BOMB), headers="content-encoding: deflate\r\n")), 200, id="nested"),
    pytest.param(answering(response() * 1000), 200, id="many answers to one request"),
    pytest.param(redirecting("http://169.254.169.254/latest/meta-data/"), 307, id="redirect to metadata"),
    pytest.param(redirecting("file:///etc/passwd"), 307, id="redirect to a file"),
    pytest.param(redirecting("//[::1]/"), 307, id="redirect to loopback"),
    pytest.param(answering(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n"), 101, id="unasked upgrade"),
    pytest.param(answering_once(b"HTTP/1.1 100 Continue\r\n\r\n"), 100, id="an interim response is all"),
]


@pytest.mark.parametrize(("behaviour", "status"), ENDED)
async def test_status_counts_whatever_comes_after_it(behaviour: Behaviour, status: int) -> None:
    """What is too long is cut, what is compressed stays so, what points elsewhere is not followed: final either way."""
    with memory_flat():
        answer = await outcome(behaviour)
    assert answer.status == status
    assert judge(status) is (Verdict.DELIVERED if status == 200 else Verdict.REFUSED)
    assert len(answer.body) <= 64 * 1024


@pytest.mark.parametrize("flood", [b"x", b"1;" + b"e" * 100, b"0\r\nx: y\r\n"], ids=["sizes", "extensions", "trailers"])
async def test_floods_between_chunks_end(flood: bytes) -> None:
    """What an endpoint sends beside the body is bounded as the body is; by what is a question of taste."""
    with memory_flat():
        answer = await outcome(flooding(CHUNKED, flood), timeout_s=2)
    assert answer.status in (601, 602, 604)


async def test_connect_that_hangs_is_604() -> None:
    """A host that went away: nobody answers the first packet."""
    async with sending() as to:
        with never_accepting() as gone:
            answer = await to.send(post(gone.url, timeout_s=SHORT_S))
    assert answer.status == 604


async def test_flood_into_an_idle_connection_is_cut() -> None:
    """Between two deliveries nothing is read: the connection goes as soon as the endpoint talks, and costs nothing."""
    pooled, gone = asyncio.Event(), asyncio.Event()

    async def behave(connection: Connection) -> None:
        await connection.read_request()
        await connection.send(response())
        if connection.number > 1:
            await connection.closed_by_client()
            return
        await pooled.wait()
        try:
            while True:
                await connection.send(response() * 1000)
        except ConnectionError:
            gone.set()

    async with sending() as to, receiving(behave) as receiver:
        with memory_flat():
            first = await to.send(post(receiver.url))
            pooled.set()
            await asyncio.wait_for(gone.wait(), LONG_S)
            second = await to.send(post(receiver.url))
    assert (first.status, second.status) == (200, 200)


async def test_keep_alive_race_is_repeated_once() -> None:
    """A connection that closes under the next request costs a new one and no failure, time after time."""
    async with sending() as to, receiving(closing_when_idle(response())) as receiver:
        statuses = [(await to.send(post(receiver.url))).status for _ in range(6)]
    assert statuses == [200] * 6


async def test_idle_connections_are_bounded() -> None:
    """The one that was idle for longest goes; those that were used lately stay, and all endpoints are served."""
    async with contextlib.AsyncExitStack() as stack:
        hooks = [await stack.enter_async_context(receiving(answering(response()))) for _ in range(4)]
        to = await stack.enter_async_context(sending(webhook_idle_connections_max=2))
        for at in (0, 1, 2, 3, 2, 3, 0):
            assert (await to.send(post(hooks[at].url))).status == 200
    assert [hook.connections for hook in hooks] == [2, 1, 1, 1]


# --- TLS ---


@pytest.mark.parametrize("case", ["expired", "wrong name", "unknown issuer", "client certificate", "plain", "garbage"])
async def test_bad_tls_is_611(case: str) -> None:
    """The handshake's failure has its own code, and no byte of the delivery leaves before it."""
    authority = Authority()
    names = ("hook.example",) if case == "wrong name" else ("127.0.0.1",)
    pair = authority.issue(names, is_expired=case == "expired")
    bundle = Authority().pem if case == "unknown issuer" else authority.pem
    async with sending() as to:
        if case == "client certificate":
            async with refusing_handshake(server_context(pair, clients_of=authority)) as refusing:
                answer = await to.send(post(refusing.url, ca_bundle=bundle))
        elif case in ("plain", "garbage"):
            raw = b"HTTP/1.1 400 Bad Request\r\n\r\n" if case == "plain" else b"\x16\x03\x01garbage" * 100

            async def talk(connection: Connection) -> None:
                await connection.send(raw)
                await connection.closed_by_client()

            async with receiving(talk) as plain:
                answer = await to.send(post(plain.url.replace("http:", "https:"), ca_bundle=bundle))
        else:
            async with receiving(answering(response()), server_context(pair)) as receiver:
                answer = await to.send(post(receiver.url, ca_bundle=bundle))
            assert receiver.requests == []
    assert answer.status == 611
    assert judge(answer.status) is Verdict.RETRY


async def test_handshake_that_hangs_is_604() -> None:
    """The deadline spans it."""
    async with sending() as to, receiving(never_answering()) as receiver:
        answer = await to.send(post(receiver.url.replace("http:", "https:"), timeout_s=SHORT_S))
    assert answer.status == 604


# --- Names that lead elsewhere ---

OPEN = {"dev": False, "webhook_allow_http": True, "webhook_allow_cidrs": ("127.0.0.2/32",)}
"""One address of this machine stands for the public ones."""


@pytest.fixture
def dns_uncached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connector, "_DNS_CACHE_S", -1)


async def test_name_that_flips_to_loopback_is_refused(dns_uncached: None) -> None:
    """The address of each dial is judged, not the one that the name had when it was registered or last dialled."""
    names = Names({"hook.example": [("127.0.0.2",), ("127.0.0.1",)]})
    closes = answering(response(headers="connection: close\r\n"))
    async with (
        sending(names, **OPEN) as to,
        receiving(closes, host="127.0.0.2") as public,
        receiving(closes, port=public.port) as inner,
    ):
        url = f"http://hook.example:{public.port}/"
        before, after = await to.send(post(url)), await to.send(post(url))
    assert (before.status, after.status) == (200, 602)
    assert b"address 127.0.0.1 is refused: loopback" in after.body
    assert (public.connections, inner.connections) == (1, 0)


async def test_name_that_flips_between_check_and_dial_gains_nothing(dns_uncached: None) -> None:
    """There is one look-up per dial, and what it gives is what is dialled."""
    names = Names({"hook.example": [("127.0.0.2",), ("127.0.0.1",)]})
    async with sending(names, **OPEN) as to, receiving(answering(response()), host="127.0.0.2") as public:
        answer = await to.send(post(f"http://hook.example:{public.port}/"))
    assert answer.status == 200
    assert names.asked == ["hook.example"]


async def test_forbidden_address_among_good_ones_is_never_dialled() -> None:
    """A name with several addresses is reached by those that are open."""
    names = Names({"hook.example": [("127.0.0.1", "127.0.0.2", "169.254.169.254")]})
    async with (
        sending(names, **OPEN) as to,
        receiving(answering(response()), host="127.0.0.2") as public,
        receiving(answering(response()), port=public.port) as inner,
    ):
        answer = await to.send(post(f"http://hook.example:{public.port}/"))
    assert answer.status == 200
    assert inner.connections == 0


async def test_name_server_that_hangs_is_604() -> None:
    """The deadline spans the look-up too, and others are not held up by it."""
    names = Names({"slow.example": [], "hook.example": [("127.0.0.1",)]})
    async with sending(names) as to, receiving(answering(response())) as receiver:
        slow, quick = await asyncio.gather(
            to.send(post("http://slow.example/", timeout_s=SHORT_S)),
            to.send(post(f"http://hook.example:{receiver.port}/")),
        )
    assert (slow.status, quick.status) == (604, 200)


async def test_named_host_reaches_private_addresses_and_no_others() -> None:
    """Only the host that the settings name: another name with the same address does not get there."""
    names = Names({"erp.corp.example": [("10.255.255.1",)], "evil.example": [("10.255.255.1",)]})
    settings = {**OPEN, "webhook_allow_hosts": (".corp.example",)}
    async with sending(names, **settings) as to:
        named = await to.send(post("http://erp.corp.example/", timeout_s=SHORT_S))
        other = await to.send(post("http://evil.example/", timeout_s=SHORT_S))
    assert b"refused: private network" in other.body
    assert b"is refused: " not in named.body


async def test_denied_port_is_not_dialled() -> None:
    """Whatever the address is."""
    async with receiving(answering(response())) as receiver, sending(webhook_deny_ports=(receiver.port,)) as to:
        answer = await to.send(post(receiver.url))
    assert answer.status == 602
    assert b"EVENTMILL_WEBHOOK_DENY_PORTS" in answer.body
    assert receiver.connections == 0


# --- What becomes of the event ---


@pytest.mark.parametrize(
    ("behaviour", "cause", "is_retried"),
    [
        pytest.param(resetting(), 602, True, id="reset"),
        pytest.param(never_answering(), 604, True, id="silence"),
        pytest.param(flooding(b"", b"HTTP/1.1 102 Processing\r\n\r\n"), 601, True, id="interim flood"),
        pytest.param(answering(response(status="429 x", headers="retry-after: 1\r\n")), 429, True, id="429"),
        pytest.param(redirecting("http://127.0.0.1/"), 307, False, id="redirect"),
        pytest.param(flooding(b"HTTP/1.1 403 No\r\n\r\n", b"x"), 403, False, id="endless refusal"),
    ],
)
async def test_event_is_scheduled_or_ended(tmp_path: Path, behaviour: Behaviour, cause: int, is_retried: bool) -> None:
    """The lane goes on either way: a unit due in a minute, or an end on record, with the cause."""
    settings: dict[str, Any] = {"webhook_timeout_s": SHORT_S} if cause == 604 else {}
    async with delivering(tmp_path, **settings) as delivery, receiving(behaviour) as receiver:
        store, clock = delivery.world.store, delivery.world.parts.clock
        assert isinstance(clock, VirtualClock)
        topic = await delivery.world.topic()
        lane = Lane((await delivery.world.register(topic, webhook_url=receiver.url))["id"])
        await delivery.world.publish(topic)
        await delivery.deliver.quiesce()

        units = await store.due_units(lane, 1 << 62, 10)
        ended = await store.ended(lane, 10)
        assert [(unit.cause, unit.due_ms - clock.now_ms()) for unit in units] == [(cause, 60_000)] * is_retried
        assert [(each.outcome, each.cause) for each in ended] == [("refused", cause)] * (not is_retried)
        (trace,) = await store.traces(lane)
        assert not trace.ok
