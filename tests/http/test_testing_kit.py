"""`eventmill.testing` as its users see it: what the page about it promises, beyond what the suites here use anyway."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from pathlib import Path

import pytest

from eventmill import testing
from eventmill.clock import SystemClock
from eventmill.config import Config
from eventmill.ids import IdSource
from eventmill.send.challenge import Challenger
from eventmill.testing import answering, never_accepting, never_answering, receiving, response, unused_port
from tests.http.sending import post, sending

pytestmark = pytest.mark.anyio

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"


async def test_receiver_can_pass_challenges_and_misbehave_after() -> None:
    """It consents as a good webhook does, without counting that as a request; then its behaviour begins."""
    refusing = answering(response(status="500 Oops"))
    async with sending() as to, receiving(refusing, passes_challenges=True) as hook:
        challenger = Challenger(to, Config(dev=True), SystemClock(), IdSource())
        consent = await challenger.challenge(hook.url, "r1", b"")
        answer = await to.send(post(hook.url, b"{}"))
    assert consent.passed
    assert answer.status == 500
    assert [request.body for request in hook.requests] == [b"{}"]


async def test_receiver_reads_bodies_of_either_framing() -> None:
    """With a length, and in chunks; a client that goes away in the middle made no request."""
    head = "POST /hook HTTP/1.1\r\nhost: x\r\n"
    chunks = f"{head}transfer-encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nx-t: 1\r\n\r\n"
    async with receiving(answering(response())) as hook:
        for raw, answers in (
            (chunks + f"{head}content-length:5\r\n\r\nabcde", 2),
            (f"{head}content-length: 5\r\n\r\na", 0),
        ):
            reader, writer = await asyncio.open_connection(hook.host, hook.port)
            writer.write(raw.encode())
            writer.write_eof()
            assert (await reader.read()).count(b"200 OK") == answers
            writer.close()
    assert [request.body for request in hook.requests] == [b"abcde", b"abcde"]


async def test_receiver_ends_with_its_block() -> None:
    """Whatever a behaviour is waiting for, and however many clients are connected."""
    async with receiving(never_answering()) as hook:
        client = socket.create_connection(("127.0.0.1", hook.port))
        client.sendall(b"POST / HTTP/1.1\r\nhost: x\r\n\r\n")
    with client:
        client.settimeout(10)
        with contextlib.suppress(ConnectionResetError):  # or closed in good order
            assert client.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", hook.port))


def test_ports_that_nobody_serves() -> None:
    """One refuses at once, one never answers."""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", unused_port()), timeout=10)
    with never_accepting() as gone, pytest.raises(TimeoutError):
        socket.create_connection((gone.host, gone.port), timeout=0.2)


def test_page_names_what_there_is() -> None:
    """Every behaviour and helper of the package has its place on the page, and the page names no other."""
    text = PAGE.read_text()
    functions = {name for name in testing.__all__ if name[0].islower()}
    assert functions <= set(re.findall(r"\b([a-z_]+)\(", text))
    assert set(re.findall(r"^\| `([a-z_]+)\(", text, re.MULTILINE)) <= functions
