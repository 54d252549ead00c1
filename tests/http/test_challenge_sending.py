"""The challenge over the wire: what the probe looks like, which endpoints pass, and that traces hide the value."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from eventmill.clock import SystemClock
from eventmill.config import Config
from eventmill.core.challenge import obscure
from eventmill.core.signing import hmac_signature
from eventmill.ids import IdSource
from eventmill.send.challenge import Challenger, ChallengeResult
from eventmill.send.webhook import WebhookSender
from eventmill.testing import Received, answering, receiving, response, unused_port

pytestmark = pytest.mark.anyio

SECRET = b"p8e-secret"


@asynccontextmanager
async def challenging(**settings: Any) -> AsyncIterator[Challenger]:
    config = Config(**{"dev": True, **settings})
    sender = WebhookSender(config)
    await sender.start()
    try:
        yield Challenger(sender, config, SystemClock(), IdSource())
    finally:
        await sender.close()


def value_of(request: Received) -> str:
    return parse_qs(urlsplit(request.path).query)["challenge"][0]


async def challenge(answer: Callable[[Received], bytes], **settings: Any) -> tuple[ChallengeResult, Received]:
    async with challenging(**settings) as challenger, receiving(answering(answer)) as receiver:
        result = await challenger.challenge(receiver.url + "?x=1", "0b7e", SECRET)
    (request,) = receiver.requests
    return result, request


def echoing(request: Received) -> bytes:
    return response(value_of(request).encode())


async def test_probe_is_the_documented_get() -> None:
    """The value joins the query; the HMAC covers the empty body; no delivery id, no RSA signatures."""
    result, request = await challenge(echoing)
    assert (result.passed, result.explanation) == (True, "")
    assert (request.method, request.body) == ("GET", b"")
    assert request.path.startswith("/hook?x=1&challenge=")
    assert [name for name, _ in request.headers] == [
        "host",
        "accept-encoding",
        "user-agent",
        "x-adobe-event-code",
        "x-adobe-event-id",
        "x-adobe-provider",
        "x-adobe-signature",
    ]
    assert request.header("x-adobe-signature") == hmac_signature(b"", SECRET)
    assert (request.header("x-adobe-event-id") or "").startswith("0b7e-probe-")


# --- The offer to validate later ---

OFFERED = "8ec8d794-e0ab-42df-9017-e3dada8eca1c"


async def offer(answer: bytes | Callable[[Received], bytes], **settings: Any) -> tuple[ChallengeResult, Received]:
    async with challenging(**settings) as challenger, receiving(answering(answer)) as receiver:
        result = await challenger.offer(receiver.url + "?x=1", "0b7e", SECRET, OFFERED)
    (request,) = receiver.requests
    return result, request


async def test_offer_is_the_documented_post() -> None:
    """To the URL as registered, with the link as its JSON body, signed over that body; no delivery id, no RSA."""
    result, request = await offer(response(b"later"), base_url="https://gw.example/")
    link = f"https://gw.example/csm/registrations/validate?id=0b7e&challenge={OFFERED}"
    assert (result.passed, result.explanation) == (True, "")
    assert (request.method, request.path) == ("POST", "/hook?x=1")
    assert request.body == b'{"validationUrl":"%s"}' % link.encode()
    event_id = request.header("x-adobe-event-id")
    assert event_id is not None and event_id.startswith("0b7e-probe-")
    assert request.headers[1:] == [
        ("content-type", "application/json; charset=utf-8"),
        ("accept-encoding", "deflate,compress,identity"),
        ("user-agent", "Adobe/1.0"),
        ("x-adobe-event-code", "challenge"),
        ("x-adobe-event-id", event_id),
        ("x-adobe-provider", "adobe-io"),
        ("x-adobe-signature", hmac_signature(request.body, SECRET)),
        ("content-length", str(len(request.body))),
    ]


@pytest.mark.parametrize("status", ["201 Created", "204 No Content", "302 Found", "404 Not Found", "500 No"])
async def test_offer_is_taken_with_200_only(status: str) -> None:
    """Nothing else will do."""
    result, _ = await offer(response(b"", status))
    assert not result.passed
    assert result.explanation == f"the endpoint answered the validation URL with status {status[:3]}, not 200"


async def test_offer_without_an_answer() -> None:
    """An endpoint that has gone meanwhile has not taken it."""
    async with challenging() as challenger:
        url = f"http://127.0.0.1:{unused_port()}/hook"
        result = await challenger.offer(url, "0b7e", SECRET, OFFERED)
    assert (result.passed, result.answered, result.response.status) == (False, False, 602)
    assert result.explanation.startswith("the validation URL got no answer: 602")


@pytest.mark.parametrize("coding", ["", "deflate"])
async def test_trace_of_an_offer_does_not_open_its_link(coding: str) -> None:
    """Neither the request nor an endpoint that repeats it, in other letters or another coding, shows the secret; the
    registration's id stays readable."""

    def echoing_all(request: Received) -> bytes:
        body = request.body.replace(OFFERED.encode(), OFFERED.upper().encode())
        headers = f"x-echo: {request.body.decode()}\r\n"
        if coding:
            body, headers = zlib.compress(body), f"{headers}content-encoding: {coding}\r\n"
        return response(body, headers=headers)

    result, _ = await offer(echoing_all)
    shown = b"id=0b7e&challenge=XXXXXXXX-XXXX-XXXX-XXXX-XXXXXXXXca1c"
    assert shown in result.request.body
    assert result.response.body == b"" if coding else shown in result.response.body
    assert OFFERED not in repr(result).lower()


# --- Answers to the challenge ---


async def test_json_answer_passes() -> None:
    """The other documented form."""

    def as_json(request: Received) -> bytes:
        return response(
            b'{"challenge":"%s"}' % value_of(request).encode(), headers="content-type: application/json\r\n"
        )

    result, _ = await challenge(as_json)
    assert result.passed


async def test_deflated_answer_passes() -> None:
    """The coding that the probe announces."""

    def deflated(request: Received) -> bytes:
        return response(zlib.compress(value_of(request).encode()), headers="Content-Encoding: deflate\r\n")

    result, _ = await challenge(deflated)
    assert result.passed


async def test_every_probe_has_a_value_of_its_own() -> None:
    """An endpoint cannot pass with an answer it remembers."""
    first, second = (await challenge(echoing))[1], (await challenge(echoing))[1]
    assert value_of(first) != value_of(second)


async def test_trace_shows_the_value_obscured() -> None:
    """In the request's URL, and in the answer's headers and body, which give it back."""

    def repeating(request: Received) -> bytes:
        value = value_of(request)
        return response(value.encode(), headers=f"x-echo: {value}\r\n")

    result, request = await challenge(repeating)
    value = value_of(request)
    assert result.request.url.endswith(f"/hook?x=1&challenge={obscure(value)}")
    assert result.response.body == obscure(value).encode()
    assert ("x-echo", obscure(value)) in result.response.headers
    assert value not in repr(result)


async def test_wrong_answer_does_not_pass() -> None:
    """A page is no answer; the pair for the trace is there all the same."""
    result, _ = await challenge(lambda _: response(b"<html>hello</html>"))
    assert not result.passed
    assert "does not give the challenge value back" in result.explanation
    assert (result.response.status, result.response.body) == (200, b"<html>hello</html>")


async def test_redirect_does_not_pass_and_is_not_followed() -> None:
    """Even to an endpoint that would pass."""
    async with receiving(answering(echoing)) as inner:

        def redirecting(request: Received) -> bytes:
            return response(b"", "302 Found", f"location: {inner.url}?challenge={value_of(request)}\r\n")

        result, request = await challenge(redirecting)
    assert not result.passed
    assert "302" in result.explanation
    assert inner.connections == 0
    assert value_of(request) not in repr(result)


async def test_unreachable_endpoint_does_not_pass() -> None:
    """A connection failure is explained with its code; nothing raises."""
    async with challenging() as challenger:
        result = await challenger.challenge(f"http://127.0.0.1:{unused_port()}/", "0b7e", SECRET)
    assert not result.passed
    assert result.response.status == 602
    assert result.explanation.startswith("the challenge got no answer: 602 : Network ERROR(`")
    assert "\n" not in result.explanation


async def test_strict_challenge_needs_the_right_content_type() -> None:
    """The value in an HTML page's type passes leniently only."""

    def as_html(request: Received) -> bytes:
        return response(value_of(request).encode(), headers="content-type: text/html\r\n")

    lenient, _ = await challenge(as_html)
    strict, _ = await challenge(as_html, strict_challenge=True)
    assert (lenient.passed, strict.passed) == (True, False)
    assert "text/html" in strict.explanation
