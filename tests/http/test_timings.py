"""Where the time of an exchange went: which phases there are, for each way that it can go.

How long each took is nobody's promise, so that only their order and sum are looked at.
"""

from __future__ import annotations

from typing import Any

import pytest

from eventmill.send.timings import Timings
from eventmill.send.webhook import Response
from eventmill.testing import (
    Authority,
    Behaviour,
    answering,
    answering_once,
    never_answering,
    receiving,
    response,
    server_context,
    unused_port,
)
from tests.http.connect_proxy import proxying
from tests.http.names import Names
from tests.http.sending import LONG_S, SHORT_S, outcome, post, sending

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module", params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Both event loops: they make connections in different ways."""
    return "asyncio", {"use_uvloop": request.param}


def phases(answer: Response) -> str:
    """The names of those that there were, in order, and whether the connection was reused."""
    timings = answer.timings
    assert timings is not None
    check_sum(timings)
    assert answer.duration_ms == round(timings.total_ms)
    given = {
        "dns": timings.dns_ms,
        "connect": timings.connect_ms,
        "tls": timings.tls_ms,
        "first byte": timings.first_byte_ms,
        "reused": timings.reused or None,
    }
    return ", ".join(name for name, value in given.items() if value is not None)


def check_sum(timings: Timings) -> None:
    parts = [timings.dns_ms, timings.connect_ms, timings.tls_ms, timings.first_byte_ms]
    assert all(part is None or part >= 0 for part in parts)
    assert sum(part for part in parts if part is not None) <= timings.total_ms


async def two_posts(behaviour: Behaviour, **settings: Any) -> list[str]:
    async with sending(**settings) as sender, receiving(behaviour) as receiver:
        return [phases(await sender.send(post(receiver.url))) for _ in range(2)]


async def test_a_new_and_a_reused_connection() -> None:
    """The first exchange looks up and connects; the next finds the connection open, and only waits for the answer."""
    assert await two_posts(answering(response())) == ["dns, connect, first byte", "first byte, reused"]


async def test_a_connection_that_had_gone_stale() -> None:
    """The exchange that finds out too late is made on a new connection, and its phases are that one's."""
    assert await two_posts(answering_once(response())) == ["dns, connect, first byte"] * 2


async def test_tls_is_a_phase_of_its_own() -> None:
    """And none of a reused connection."""
    authority = Authority()
    tls = server_context(authority.issue())
    async with sending() as sender, receiving(answering(response()), tls) as receiver:
        answers = [await sender.send(post(receiver.url, ca_bundle=authority.pem)) for _ in range(2)]
    assert [phases(answer) for answer in answers] == ["dns, connect, tls, first byte", "first byte, reused"]


async def test_an_exchange_ends_in_the_phase_named_last() -> None:
    """Unknown name, refused connection, failed handshake, silence: nothing after it is given."""
    async with sending(resolver=Names()) as sender:
        unknown = await sender.send(post("http://nobody.example/"))
    async with sending() as sender:
        refused = await sender.send(post(f"http://127.0.0.1:{unused_port()}/"))
    stranger = server_context(Authority().issue())
    async with sending() as sender, receiving(answering(response()), stranger) as receiver:
        handshake = await sender.send(post(receiver.url))
    silent = await outcome(never_answering(), SHORT_S)

    assert [(each.status, phases(each)) for each in (unknown, refused, handshake, silent)] == [
        (602, "dns"),
        (602, "dns, connect"),
        (611, "dns, connect, tls"),
        (604, "dns, connect, first byte"),
    ]


async def test_a_slow_lookup_is_time_of_the_lookup() -> None:
    """What runs out of time in the name server shows as that."""
    async with sending(resolver=Names({"slow.example": []})) as sender:
        answer = await sender.send(post("http://slow.example/", timeout_s=SHORT_S))
    assert (answer.status, phases(answer)) == (604, "dns")


async def test_the_way_through_a_proxy() -> None:
    """Reaching the proxy and having it make the tunnel is connecting; a refused tunnel ends there."""
    async with proxying() as proxy, receiving(answering(response())) as receiver:
        async with sending(egress_proxy=proxy.url) as sender:
            answers = [await sender.send(post(receiver.url)) for _ in range(2)]
        proxy.answer = b"HTTP/1.1 502 Bad Gateway\r\n\r\n"
        async with sending(egress_proxy=proxy.url) as sender:
            answers.append(await sender.send(post(receiver.url, timeout_s=LONG_S)))
    assert [phases(each) for each in answers] == ["dns, connect, first byte", "first byte, reused", "dns, connect"]


async def test_what_is_never_dialled_has_no_phase() -> None:
    """A URL that the settings refuse costs no connection."""
    async with sending(dev=False) as sender:
        answer = await sender.send(post("http://erp.example/"))
    assert phases(answer) == ""
