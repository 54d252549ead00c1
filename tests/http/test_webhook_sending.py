"""The webhook sender against real loopback endpoints: what goes out, what comes back, and the code of every failure."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import TCPConnector
from structlog.testing import capture_logs

from eventmill.send.webhook import Request
from eventmill.testing import (
    Authority,
    Behaviour,
    Connection,
    Received,
    answering,
    answering_once,
    dripping,
    never_answering,
    never_reading,
    receiving,
    refusing_handshake,
    resetting,
    response,
    server_context,
    unused_port,
)
from tests.http.sending import LONG_S, SHORT_S, outcome, post, sending

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module", params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Both event loops: connections end in different ways on them, and production runs on uvloop."""
    return "asyncio", {"use_uvloop": request.param}


# --- What goes out ---


async def test_request_bears_exactly_the_given_headers() -> None:
    """Nothing is added but host and content-length, nothing is changed, the body arrives byte for byte."""
    body = b'{"n": 1.0,\n "text": "\xc3\xa4"}'
    async with sending() as sender, receiving(answering(response())) as receiver:
        await sender.send(post(receiver.url + "?a=%2Fb&c", body))
    request = receiver.requests[0]
    assert (request.method, request.path, request.body) == ("POST", "/hook?a=%2Fb&c", body)
    assert request.headers == [
        ("host", f"127.0.0.1:{receiver.port}"),
        ("content-type", "application/json"),
        ("x-adobe-event-id", "e1"),
        ("content-length", str(len(body))),
    ]


async def test_get_has_no_body_and_no_content_length() -> None:
    """A challenge probe is a plain GET."""
    async with sending() as sender, receiving(answering(response())) as receiver:
        await sender.send(Request("GET", receiver.url, (), b"", LONG_S))
    assert receiver.requests[0].headers == [("host", f"127.0.0.1:{receiver.port}")]


async def test_login_in_the_url_becomes_basic_authorization() -> None:
    """User and password of the URL travel in their header, and nowhere else."""
    async with sending() as sender, receiving(answering(response())) as receiver:
        await sender.send(post(receiver.url.replace("://", "://user:pass@")))
    request = receiver.requests[0]
    assert request.header("authorization") == "Basic dXNlcjpwYXNz"
    assert request.header("host") == f"127.0.0.1:{receiver.port}"


async def test_url_beyond_ascii_is_encoded() -> None:
    """Spaces and umlauts in a registered URL cannot break the request line."""
    async with sending() as sender, receiving(answering(response())) as receiver:
        await sender.send(post(f"http://127.0.0.1:{receiver.port}/a b/ä?q=ö#part"))
    assert receiver.requests[0].path == "/a%20b/%C3%A4?q=%C3%B6"


async def test_path_is_never_empty() -> None:
    """A URL that ends after its host asks for `/`."""
    async with sending() as sender, receiving(answering(response())) as receiver:
        await sender.send(post(f"http://127.0.0.1:{receiver.port}?x=1"))
    assert receiver.requests[0].path == "/?x=1"


@pytest.mark.parametrize("value", ["a\r\nx-forged: 1", "a\nb", "a\rb", "a\0b"])
async def test_line_break_in_a_header_is_never_sent(value: str) -> None:
    """A header that would become two is a fault of the gateway: 601, and not a byte leaves."""
    async with sending() as sender, receiving(answering(response())) as receiver:
        answer = await sender.send(Request("POST", receiver.url, (("x-adobe-provider", value),), b"{}", LONG_S))
    assert answer.status == 601
    assert receiver.connections == 0


async def test_cookies_are_not_kept() -> None:
    """What one delivery's answer sets, the next does not send back."""
    raw = response(headers="set-cookie: session=1; Path=/\r\n")
    async with sending() as sender, receiving(answering(raw)) as receiver:
        await sender.send(post(receiver.url))
        await sender.send(post(receiver.url))
    assert receiver.requests[1].header("cookie") is None


# --- What comes back ---


async def test_answer_is_returned_as_it_came() -> None:
    """Status, headers (repeated ones too) and body."""
    raw = response(b'{"done":true}', "202 Accepted", "X-One: 1\r\nx-one: 2\r\n")
    answer = await outcome(answering(raw))
    assert answer.status == 202
    assert answer.headers == (("X-One", "1"), ("x-one", "2"), ("content-length", "13"))
    assert answer.body == b'{"done":true}'


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
async def test_answer_without_a_body(status: str) -> None:
    """Statuses that have no body need none."""
    answer = await outcome(answering(f"HTTP/1.1 {status}\r\n\r\n".encode()))
    assert (answer.status, answer.body) == (int(status[:3]), b"")


async def test_answer_that_ends_with_the_connection() -> None:
    """HTTP/1.0 style: no length, the body lasts until the endpoint closes."""
    answer = await outcome(answering_once(b"HTTP/1.0 200 OK\r\n\r\nall of it"))
    assert (answer.status, answer.body) == (200, b"all of it")


async def test_redirect_is_returned_and_not_followed() -> None:
    """A 302 is the outcome; the place it points to never hears of it."""
    async with sending() as sender, receiving(answering(response())) as inner:
        moved = response(b"", "302 Found", f"location: {inner.url}\r\n")
        async with receiving(answering(moved)) as receiver:
            answer = await sender.send(post(receiver.url))
    assert answer.status == 302
    assert ("location", inner.url) in answer.headers
    assert inner.connections == 0


async def test_compressed_answer_is_not_unfolded() -> None:
    """A small answer cannot become a large one: content codings are left alone."""
    bomb = gzip.compress(bytes(10_000_000))
    answer = await outcome(
        answering(response(bomb, headers="content-encoding: gzip\r\n")), trace_body_bytes_max=1 << 20
    )
    assert (answer.status, answer.body) == (200, bomb)


async def test_endless_body_is_cut_and_the_connection_dropped() -> None:
    """The status counts, a bounded start of the body is kept, and the endpoint finds itself alone."""
    gone = asyncio.Event()

    async def endless(connection: Connection) -> None:
        await connection.read_request()
        try:
            await connection.send(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                await connection.send(bytes(8192))
        finally:
            gone.set()

    answer = await outcome(endless, webhook_response_bytes_max=50_000, trace_body_bytes_max=100)
    assert (answer.status, answer.body) == (200, bytes(100))
    await asyncio.wait_for(gone.wait(), LONG_S)


async def test_long_body_is_read_to_its_end_but_kept_in_part() -> None:
    """Beyond what traces keep, the rest is read so that the connection can be used again."""
    async with sending(trace_body_bytes_max=10) as sender, receiving(answering(response(b"x" * 5000))) as receiver:
        answers = [await sender.send(post(receiver.url)) for _ in range(2)]
    assert [answer.body for answer in answers] == [b"x" * 10] * 2
    assert receiver.connections == 1


async def test_kept_headers_are_bounded() -> None:
    """Many large fields pass the parser, but no more than 16 KiB of them go into a trace."""
    many = "".join(f"x-{number:02}: {'v' * 4000}\r\n" for number in range(20))
    answer = await outcome(answering(response(headers=many)))
    assert answer.status == 200
    assert [name for name, _ in answer.headers] == ["x-00", "x-01", "x-02", "x-03"]


# --- Interim responses ---


async def test_interim_responses_are_skipped() -> None:
    """100, 102 and 103 announce an answer and are none."""
    interim = b"".join(f"HTTP/1.1 {code} Wait\r\nlink: x\r\n\r\n".encode() for code in (100, 102, 103))
    answer = await outcome(answering(interim + response()))
    assert (answer.status, answer.body) == (200, b"ok")


async def test_only_an_interim_response_is_the_outcome() -> None:
    """When the endpoint closes after a 1xx, that status is all it said."""
    answer = await outcome(answering_once(b"HTTP/1.1 103 Early Hints\r\n\r\n"))
    assert answer.status == 103


async def test_switching_protocols_is_final() -> None:
    """A 101 that nobody asked for is an answer; its connection is not used again."""
    raw = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"
    async with sending() as sender, receiving(answering(raw)) as receiver:
        statuses = [(await sender.send(post(receiver.url))).status for _ in range(2)]
    assert statuses == [101, 101]
    assert receiver.connections == 2


async def test_flood_of_interim_responses_ends() -> None:
    """An endpoint cannot keep the gateway busy with 1xx."""
    answer = await outcome(dripping(b"", b"HTTP/1.1 102 Processing\r\n\r\n" * 10))
    assert answer.status == 601


# --- Pooled connections ---


async def test_connection_is_reused() -> None:
    """One dial serves many deliveries."""
    async with sending() as sender, receiving(answering(response())) as receiver:
        for _ in range(5):
            assert (await sender.send(post(receiver.url))).status == 200
    assert receiver.connections == 1


async def test_connection_closed_while_idle_is_replaced() -> None:
    """The race of keep-alive: the endpoint closes when the second request is on its way; it is sent once more."""

    async def closing_after_one(connection: Connection) -> None:
        await connection.read_request()
        await connection.send(response())
        await connection.read_request()

    async with sending() as sender, receiving(closing_after_one) as receiver:
        answers = [await sender.send(post(receiver.url, b"%d" % number)) for number in range(2)]
    assert [answer.status for answer in answers] == [200, 200]
    assert [request.body for request in receiver.requests] == [b"0", b"1", b"1"]
    assert receiver.connections == 2


async def test_reset_of_an_idle_connection_is_replaced_too() -> None:
    """The same race, lost to a RST."""

    async def resetting_after_one(connection: Connection) -> None:
        await connection.read_request()
        await connection.send(response())
        await resetting()(connection)

    async with sending() as sender, receiving(resetting_after_one) as receiver:
        answers = [await sender.send(post(receiver.url)) for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 200]


async def test_request_is_sent_again_only_once() -> None:
    """The repeat gets a new connection, however many others are pooled; when that fails too, the attempt has failed."""
    together = asyncio.Barrier(3)

    async def answering_first_request_only(connection: Connection) -> None:
        if connection.number <= 3:
            await connection.read_request()
            await together.wait()
            await connection.send(response())
        await connection.read_request()

    async with sending() as sender, receiving(answering_first_request_only) as receiver:
        await asyncio.gather(*(sender.send(post(receiver.url)) for _ in range(3)))
        answer = await sender.send(post(receiver.url, b"last"))
    assert answer.status == 602
    assert [request.body for request in receiver.requests[3:]] == [b"last", b"last"]


async def test_fresh_connection_closed_without_answer_is_not_retried() -> None:
    """Without a pooled connection there is no race to blame: 602, one dial."""

    async def closing(connection: Connection) -> None:
        await connection.read_request()

    async with sending() as sender, receiving(closing) as receiver:
        answer = await sender.send(post(receiver.url))
    assert answer.status == 602
    assert len(receiver.requests) == 1


async def test_unasked_answer_is_not_taken_for_the_next() -> None:
    """What an endpoint sends after its answer is dropped with the connection, not read by the next delivery."""

    def twice(request: Received) -> bytes:
        return response(request.body) + response(b"unasked", "500 Oops")

    async with sending() as sender, receiving(answering(twice)) as receiver:
        answers = [await sender.send(post(receiver.url, body)) for body in (b"one", b"two")]
    assert [(answer.status, answer.body) for answer in answers] == [(200, b"one"), (200, b"two")]


async def test_late_unasked_answer_is_not_taken_for_the_next() -> None:
    """The same when it arrives while the connection is pooled."""
    sent = asyncio.Event()
    ask = asyncio.Event()

    async def behave(connection: Connection) -> None:
        request = await connection.read_request()
        assert request is not None
        await connection.send(response(request.body))
        if connection.number == 1:
            await ask.wait()
            await connection.send(response(b"unasked", "500 Oops"))
            sent.set()
        await connection.closed_by_client()

    async with sending() as sender, receiving(behave) as receiver:
        await sender.send(post(receiver.url, b"one"))
        ask.set()
        await sent.wait()
        # Another exchange over the same loop and kernel: by its end, what was sent before it has arrived.
        async with receiving(answering(response())) as other:
            await sender.send(post(other.url))
        answer = await sender.send(post(receiver.url, b"two"))
    assert (answer.status, answer.body) == (200, b"two")


async def test_early_answer_to_a_large_body_is_not_pooled() -> None:
    """An endpoint that answers before it read the body gets no further request on that connection."""

    async def too_large(connection: Connection) -> None:
        await connection.reader.readuntil(b"\r\n\r\n")
        await connection.send(response(b"", "413 Content Too Large"))
        await connection.closed_by_client()

    async with sending() as sender, receiving(too_large) as receiver:
        statuses = [(await sender.send(post(receiver.url, bytes(20_000_000)))).status for _ in range(2)]
    assert statuses == [413, 413]
    assert receiver.connections == 2


async def test_close_drops_pooled_connections() -> None:
    """After `close` no endpoint holds a connection of ours."""
    gone = asyncio.Event()

    async def behave(connection: Connection) -> None:
        await answering(response())(connection)
        gone.set()

    async with receiving(behave) as receiver:
        async with sending() as sender:
            await sender.send(post(receiver.url))
        await asyncio.wait_for(gone.wait(), LONG_S)


# --- Failures: 602 network, 604 timeout, 601 other ---


async def test_refused_connection_is_602() -> None:
    """Nobody listens."""
    async with sending() as sender:
        answer = await sender.send(post(f"http://127.0.0.1:{unused_port()}/"))
    assert answer.status == 602
    assert b"refused" in answer.body.lower() or b"connect call failed" in answer.body.lower()


async def test_unresolvable_name_is_602() -> None:
    """A label that no name server could hold fails in the resolver, as unknown names do."""
    async with sending() as sender:
        answer = await sender.send(post(f"http://{'a' * 64}.example/"))
    assert answer.status == 602


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(resetting(), id="reset before the answer"),
        pytest.param(answering_once(b"HTTP/1.1 200 OK\r\ncontent-len"), id="closed within the head"),
        pytest.param(answering_once(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"), id="closed within the body"),
        pytest.param(
            answering_once(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab"), id="closed within a chunk"
        ),
    ],
)
async def test_broken_connection_is_602(behaviour: Behaviour) -> None:
    """An answer that breaks off is none, wherever it broke."""
    answer = await outcome(behaviour)
    assert answer.status == 602
    assert answer.headers == ()


async def test_reset_within_the_body_is_602() -> None:
    """A RST after the head."""

    async def behave(connection: Connection) -> None:
        await connection.read_request()
        await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")
        connection.reset()

    assert (await outcome(behave)).status == 602


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(never_answering(), id="accepts and never answers"),
        pytest.param(never_reading(), id="never reads"),
        pytest.param(dripping(b"HTTP/1.1 200 OK\r\n", b"x-slow: 1\r\n"), id="head drips"),
        pytest.param(dripping(b"HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\n", b"x"), id="body drips"),
        pytest.param(
            dripping(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"1\r\nx\r\n"), id="chunks drip"
        ),
        pytest.param(dripping(b"HTTP/1.1 102 Processing\r\n\r\n", b""), id="interim, then nothing"),
    ],
)
async def test_deadline_is_604(behaviour: Behaviour) -> None:
    """The deadline spans the whole attempt, to the last byte of the answer, however lively the endpoint looks."""
    answer = await outcome(behaviour, timeout_s=SHORT_S)
    assert answer.status == 604
    assert b"no complete answer within 0.3 s" in answer.body


async def test_deadline_spans_the_tls_handshake(tmp_path: Path) -> None:
    """An endpoint that accepts and says nothing to a TLS client runs into the same deadline."""
    async with sending() as sender, receiving(never_answering()) as receiver:
        answer = await sender.send(post(receiver.url.replace("http:", "https:"), timeout_s=SHORT_S))
    assert answer.status == 604


async def test_endpoint_that_never_reads_is_dropped_at_the_deadline() -> None:
    """Unsent bytes do not hold the connection: it is aborted, not closed in order."""
    gone = asyncio.Event()

    async def reading_much_later(connection: Connection) -> None:
        connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await over.wait()
        connection.writer.transport.resume_reading()  # type: ignore[attr-defined]
        await connection.closed_by_client()
        gone.set()

    over = asyncio.Event()
    async with sending() as sender, receiving(reading_much_later) as receiver:
        answer = await sender.send(post(receiver.url, bytes(20_000_000), SHORT_S))
        assert answer.status == 604
        over.set()
        await asyncio.wait_for(gone.wait(), LONG_S)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", id="not HTTP"),
        pytest.param(b"HTTP/1.1 2000 OK\r\n\r\n", id="no status"),
        pytest.param(response(headers=f"x-huge: {'v' * 20_000}\r\n"), id="huge field"),
        pytest.param(response(headers="x-one: 1\r\n" * 500), id="too many fields"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", id="two lengths"),
    ],
)
async def test_unintelligible_answer_is_601(raw: bytes) -> None:
    """An answer that is not HTTP, or larger than its head may be."""
    assert (await outcome(answering(raw))).status == 601


@pytest.mark.parametrize(
    "url",
    ["", "/hook", "ftp://127.0.0.1/", "http://", "http://127.0.0.1:99999/", "http://127.1/", "http://2130706433/"],
)
async def test_unusable_url_is_601(url: str) -> None:
    """A URL that cannot be dialled fails like any other attempt instead of raising."""
    async with sending() as sender:
        assert (await sender.send(post(url))).status == 601


async def test_unforeseen_error_is_601(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault in a library costs the one attempt, and the log names it."""

    def connect(*_: object) -> object:
        raise KeyError("surprise")

    monkeypatch.setattr(TCPConnector, "connect", connect)
    with capture_logs() as logs:
        answer = await outcome(answering(response()))

    assert answer.status == 601
    assert b"surprise" in answer.body
    assert [entry["event"] for entry in logs] == ["stage_failed", "attempt_failed"]


async def test_failure_text_has_the_layout_of_traces_and_its_id_is_logged() -> None:
    """First line with code and UUID, then the causes; the log holds the UUID and the host, not the URL."""
    port = unused_port()
    with capture_logs() as logs:
        async with sending() as sender:
            answer = await sender.send(post(f"http://127.0.0.1:{port}/?secret=1"))
    first, *causes = answer.body.decode().split("\n")
    error_id = logs[0]["error_id"]
    assert first == f"602 : Network ERROR(`{error_id}`) :"
    assert causes[0] == f"| Exception(`cannot connect to 127.0.0.1:{port}`)"
    assert causes[1:]
    assert all(line.startswith("| Exception(`") and line.endswith("`)") for line in causes)
    assert (logs[0]["event"], logs[0]["code"], logs[0]["host"]) == ("attempt_failed", 602, "127.0.0.1")
    assert "secret" not in repr(logs)


async def test_cancelled_attempt_drops_its_connection() -> None:
    """Cancellation passes through, and the endpoint sees the connection go."""
    begun, gone = asyncio.Event(), asyncio.Event()

    async def behave(connection: Connection) -> None:
        await connection.read_request()
        begun.set()
        await connection.closed_by_client()
        gone.set()

    async with sending() as sender, receiving(behave) as receiver:
        attempt = asyncio.create_task(sender.send(post(receiver.url)))
        await begun.wait()
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        await asyncio.wait_for(gone.wait(), LONG_S)


# --- TLS ---


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """One that is among the system's (SSL_CERT_FILE)."""
    made = Authority()
    file = tmp_path / "authority.pem"
    file.write_text(made.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    return made


async def test_trusted_certificate_is_accepted(authority: Authority) -> None:
    """With the endpoint's issuer among the system's, deliveries work and are pooled."""
    context = server_context(authority.issue())
    async with sending() as sender, receiving(answering(response()), context) as receiver:
        answers = [await sender.send(post(receiver.url)) for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 200]
    assert receiver.connections == 1


async def test_unknown_issuer_is_611() -> None:
    """No request leaves."""
    context = server_context(Authority().issue())
    async with sending() as sender, receiving(answering(response()), context) as receiver:
        answer = await sender.send(post(receiver.url))
    assert answer.status == 611
    assert answer.body.startswith(b"611 : SSLHandshake ERROR(`")
    assert b"certificate verify failed" in answer.body
    assert receiver.requests == []


async def test_certificate_for_another_address_is_611(authority: Authority) -> None:
    """A trusted issuer, but the wrong name."""
    context = server_context(authority.issue(("127.0.0.2",)))
    async with sending() as sender, receiving(answering(response()), context) as receiver:
        assert (await sender.send(post(receiver.url))).status == 611


async def test_demanded_client_certificate_is_611(authority: Authority) -> None:
    """TLS 1.3 refuses a client without a certificate after the handshake; it counts as a failed one all the same."""
    context = server_context(authority.issue(), clients_of=authority)
    async with sending() as sender, refusing_handshake(context) as receiver:
        answer = await sender.send(post(receiver.url))
    assert answer.status == 611
    assert b"certificate required" in answer.body.lower().replace(b"_", b" ")


async def test_plain_endpoint_behind_an_https_url_is_611() -> None:
    """The other side does not speak TLS."""

    async def plain(connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await connection.closed_by_client()

    async with sending() as sender, receiving(plain) as receiver:
        assert (await sender.send(post(receiver.url.replace("http:", "https:")))).status == 611


# --- The dial guard ---


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::1]", "0.0.0.0"])
async def test_loopback_is_refused_before_the_connect(host: str) -> None:
    """Outside dev mode: 602, the text names rule and setting, and the endpoint saw no connection."""
    async with sending(dev=False, webhook_allow_http=True) as sender, receiving(answering(response())) as receiver:
        answer = await sender.send(post(f"http://{host}:{receiver.port}/hook"))
    assert answer.status == 602
    assert b"is refused: " in answer.body
    assert b"EVENTMILL_WEBHOOK_ALLOW_CIDRS" in answer.body
    assert receiver.connections == 0


async def test_allowed_network_opens_loopback() -> None:
    """The two settings together open plain http to loopback without dev mode; names are resolved, then judged."""
    settings: dict[str, Any] = {"dev": False, "webhook_allow_http": True, "webhook_allow_cidrs": ("127.0.0.0/8",)}
    async with sending(**settings) as sender, receiving(answering(response())) as receiver:
        by_address = await sender.send(post(receiver.url))
        by_name = await sender.send(post(f"http://localhost:{receiver.port}/"))
    assert (by_address.status, by_name.status) == (200, 200)


async def test_plain_http_is_refused_by_default() -> None:
    """Even to an allowed network; the text names the setting."""
    settings: dict[str, Any] = {"dev": False, "webhook_allow_cidrs": ("127.0.0.0/8",)}
    async with sending(**settings) as sender, receiving(answering(response())) as receiver:
        answer = await sender.send(post(receiver.url))
    assert answer.status == 602
    assert b"EVENTMILL_WEBHOOK_ALLOW_HTTP" in answer.body
    assert receiver.connections == 0


async def test_many_urls_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsed URLs are kept up to a bound, oldest first out; all of them still work."""
    monkeypatch.setattr("eventmill.send.webhook.ENDPOINTS_MAX", 2)
    async with sending() as sender, receiving(answering(response())) as receiver:
        answers = [await sender.send(post(f"{receiver.url}/{number % 3}")) for number in range(7)]
    assert {answer.status for answer in answers} == {200}


def test_requests_compare_by_value() -> None:
    """Both structs are plain values, so traces and tests can compare them."""
    request = post("http://127.0.0.1/")
    assert msgspec.structs.replace(request) == request
