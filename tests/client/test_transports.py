"""Both transports against servers that misbehave: what the caller gets, and what is never done."""

from __future__ import annotations

import pytest

from eventmill.client import BadAnswer, NoAnswer, Patience, Refused, exchange
from eventmill.testing import (
    answering,
    answering_once,
    closing_when_idle,
    dripping,
    flooding,
    never_answering,
    receiving,
    resetting,
    response,
    unused_port,
)
from tests.client.deliveries import base_url
from tests.client.either import Either

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("kind", ["blocking", "asynchronous"])]

FOUND = response(b'{"id": "p1"}', headers="content-type: application/json\r\n")


def client_of(kind: str, url: str, timeout_s: float = 10.0) -> Either:
    env = {"IMS_ORG_ID": "o@AdobeOrg", "CLIENT_ID": "c1", "ACCESS_TOKEN": "t1", "API_URL": url}
    return Either(kind, env, Patience(retries=0, timeout_s=timeout_s))


async def test_connections_are_kept_and_replaced_unseen(kind: str) -> None:
    """One for several calls; one that closes as it is used again is no failure."""
    async with receiving(answering(FOUND)) as host, client_of(kind, base_url(host)) as client:
        assert [(await client.get_provider("p1"))["id"] for _ in range(3)] == ["p1"] * 3
        assert (host.connections, len(host.requests)) == (1, 3)
    async with receiving(closing_when_idle(FOUND)) as host, client_of(kind, base_url(host)) as client:
        assert [(await client.get_provider("p1"))["id"] for _ in range(3)] == ["p1"] * 3


async def test_requests_say_who_asks(kind: str) -> None:
    """Token, api key and organization, and the path as it was meant."""
    async with receiving(answering(FOUND)) as host, client_of(kind, base_url(host)) as client:
        await client.get_provider("a/b c", fetch_event_metadata=True)
        [request] = host.requests
    assert request.path == "/events/providers/a%2Fb%20c?eventmetadata=true"
    sent = [request.header(name) for name in ("authorization", "x-api-key", "x-ims-org-id")]
    assert sent == ["Bearer t1", "c1", "o@AdobeOrg"]


async def test_redirects_are_not_followed(kind: str) -> None:
    """A token would go with them."""
    async with receiving(answering(FOUND)) as elsewhere:
        away = response(b"", "302 Found", f"location: {base_url(elsewhere)}/\r\n")
        async with receiving(answering(away)) as host, client_of(kind, base_url(host)) as client:
            with pytest.raises(Refused) as caught:
                await client.get_provider("p1")
        assert (caught.value.status, elsewhere.connections) == (302, 0)


async def test_whoever_does_not_answer_is_named(kind: str) -> None:
    """Nobody there, silence, a reset, an answer that breaks off however it does."""
    nobody = f"http://127.0.0.1:{unused_port()}"
    async with client_of(kind, nobody) as client:
        with pytest.raises(NoAnswer, match=nobody):
            await client.get_provider("p1")
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{}"
    for behaviour in (
        never_answering(),
        resetting(),
        resetting(FOUND[:-3]),
        answering_once(FOUND[:-3]),
        answering_once(chunked),
    ):
        async with receiving(behaviour) as host, client_of(kind, base_url(host), timeout_s=0.5) as client:
            with pytest.raises(NoAnswer, match=base_url(host)):
                await client.get_provider("p1")


async def test_what_is_not_the_service_is_noticed(kind: str) -> None:
    """A page with status 200."""
    page = response(b"<html>sign in</html>", headers="content-type: text/html\r\n")
    async with receiving(answering(page)) as host, client_of(kind, base_url(host)) as client:
        with pytest.raises(BadAnswer):
            await client.get_provider("p1")


@pytest.mark.parametrize(
    "start", [b"", b"HTTP/1.1 200 OK\r\nx-a: ", b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n"]
)
async def test_an_answer_that_drips_is_given_up(kind: str, start: bytes) -> None:
    """The time is for the attempt, not for each byte of it."""
    drop = b"x" if start else b"HTTP/1.1 100 Continue\r\n\r\n"
    async with receiving(dripping(start, drop, 0.05)) as host, client_of(kind, base_url(host), timeout_s=0.5) as client:
        with pytest.raises(NoAnswer, match=base_url(host)):
            await client.get_provider("p1")


async def test_an_answer_without_end_is_given_up(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded, whatever answers."""
    for name in ("eventmill.client.blocking_transport", "eventmill.client.async_transport"):
        monkeypatch.setattr(f"{name}.ANSWER_BYTES_MAX", 1_000_000)
    assert exchange.ANSWER_BYTES_MAX > 1_000_000
    flood = flooding(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 1000)
    async with receiving(flood) as host, client_of(kind, base_url(host), timeout_s=30) as client:
        with pytest.raises(NoAnswer, match="more than 1000000 bytes"):
            await client.get_provider("p1")
