"""`proxy.target`: which first bytes open a tunnel or a request, and what is refused with which words."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventmill.errors import StartupError
from eventmill.proxy.run import check_settings
from eventmill.proxy.target import HEAD_BYTES_MAX, Asked, Refusal, end_of_head, read_target

HOSTS = frozenset({"api.adobe.io", "developers.adobe.io"})


def head(start: str) -> bytes:
    return f"{start}\r\nHost: whatever\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("start", "asked"),
    [
        ("CONNECT api.adobe.io:443 HTTP/1.1", Asked("tunnel", "api.adobe.io")),
        ("CONNECT API.Adobe.IO:443 HTTP/1.0", Asked("tunnel", "api.adobe.io")),
        ("CONNECT developers.adobe.io HTTP/1.1", Asked("tunnel", "developers.adobe.io")),
        ("GET http://api.adobe.io/events?a=1 HTTP/1.1", Asked("request", "api.adobe.io", "/events?a=1")),
        ("POST HTTP://api.adobe.io:80 HTTP/1.1", Asked("request", "api.adobe.io", "/")),
        ("GET http://api.adobe.io?a=1 HTTP/1.1", Asked("request", "api.adobe.io", "/?a=1")),
    ],
)
def test_what_is_served(start: str, asked: Asked) -> None:
    """Listed host names on their standard ports, in any case, as tunnel or in absolute form."""
    assert read_target(head(start), HOSTS) == asked


@pytest.mark.parametrize(
    ("start", "status", "told"),
    [
        ("CONNECT registry.npmjs.org:443 HTTP/1.1", 403, "'registry.npmjs.org' is not one of the host names"),
        ("CONNECT evil.api.adobe.io:443 HTTP/1.1", 403, "EVENTMILL_ADOBE_HOSTS"),
        ("CONNECT api.adobe.io.evil.example:443 HTTP/1.1", 403, "EVENTMILL_ADOBE_HOSTS"),
        ("CONNECT api.adobe.io.:443 HTTP/1.1", 403, "not one of"),
        ("CONNECT 127.0.0.1:443 HTTP/1.1", 403, "127.0.0.1"),
        ("CONNECT [::1]:443 HTTP/1.1", 403, "[::1]"),
        ("CONNECT user@api.adobe.io:443 HTTP/1.1", 403, "user@api.adobe.io"),
        ("CONNECT api.adobe.io:80 HTTP/1.1", 403, "on port 443 only, not on 80"),
        ("CONNECT api.adobe.io:22 HTTP/1.1", 403, "on port 443 only"),
        ("CONNECT api.adobe.io:x HTTP/1.1", 400, "not a host and a port"),
        ("CONNECT api.adobe.io:-1 HTTP/1.1", 400, "not a host and a port"),
        ("CONNECT api.adobe.io:443443443 HTTP/1.1", 400, "not a host and a port"),
        ("CONNECT : HTTP/1.1", 400, "not a host and a port"),
        ("CONNECT /events HTTP/1.1", 403, "not one of"),
        ("GET /events HTTP/1.1", 403, "not the gateway"),
        ("OPTIONS * HTTP/1.1", 403, "not the gateway"),
        ("GET https://api.adobe.io/events HTTP/1.1", 403, "not the gateway"),
        ("GET http://127.0.0.1:8080/_dev/reset HTTP/1.1", 403, "not one of"),
        ("GET http://api.adobe.io:8080/ HTTP/1.1", 403, "on port 80 only"),
        ("GET http://user:word@api.adobe.io/ HTTP/1.1", 400, "not a host and a port"),
        ("GET http:///events HTTP/1.1", 403, "not one of"),
        ("GET http://[api.adobe.io/ HTTP/1.1", 403, "not one of"),
        ("GET http://api.adobe.io\\@evil.example/ HTTP/1.1", 403, "not one of"),
        ("CONNECT api.adobe.io:443 HTTP/2.0", 400, "not an HTTP/1.1 request"),
        ("CONNECT  api.adobe.io:443 HTTP/1.1", 400, "not an HTTP/1.1 request"),
        ("CONNECT api.adobe.io:443\tHTTP/1.1", 400, "not an HTTP/1.1 request"),
    ],
)
def test_what_is_refused(start: str, status: int, told: str) -> None:
    """Other hosts, look-alikes, addresses, ports and forms are refused, and the refusal says what was asked for."""
    with pytest.raises(Refusal) as caught:
        read_target(head(start), HOSTS)

    assert caught.value.status == status
    assert told in caught.value.message


def test_a_long_name_is_cut_in_the_refusal() -> None:
    """Nobody can have the proxy repeat kilobytes."""
    with pytest.raises(Refusal) as caught:
        read_target(head(f"CONNECT {'a' * 9000}:443 HTTP/1.1"), HOSTS)

    assert len(caught.value.message) < 400


def test_a_head_is_awaited_piece_by_piece() -> None:
    """No prefix of a good head is refused, and its end is found to the byte."""
    whole = head("CONNECT api.adobe.io:443 HTTP/1.1")

    assert [end_of_head(whole[:cut]) for cut in range(len(whole))] == [0] * len(whole)
    assert end_of_head(whole + b"more") == len(whole)


@pytest.mark.parametrize(
    ("received", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"\xff" * 20, 400),
        (b"HELLO\r\n", 400),
        (b"\r\n\r\n", 400),
        (b"GET http://api.adobe.io/ HTTP/1.1\r\nx: " + b"a" * HEAD_BYTES_MAX, 431),
        (b"GET http://api.adobe.io/ HTTP/1.1\r\nx: " + b"a" * HEAD_BYTES_MAX + b"\r\n\r\n", 431),
        (b"G" * (HEAD_BYTES_MAX + 1), 431),
    ],
)
def test_what_cannot_become_a_head(received: bytes, status: int) -> None:
    """TLS on the plain port, raw bytes and endless heads are refused without waiting for more."""
    with pytest.raises(Refusal) as caught:
        end_of_head(received)

    assert caught.value.status == status


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(received: bytes) -> None:
    """Nothing else can come of any input."""
    with suppress(Refusal):
        end = end_of_head(received)
        assert end == 0 or read_target(received[:end], HOSTS).host in HOSTS


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.com", ""])
def test_it_listens_on_loopback_only(host: str) -> None:
    """Whoever reached it from outside would speak to the gateway under Adobe's names."""
    with pytest.raises(StartupError, match="loopback"):
        check_settings(host, 8888, "http://127.0.0.1:8080")


@pytest.mark.parametrize(
    "gateway", ["127.0.0.1:8080", "ftp://gw", "http://", "http://gw/base", "http://gw:x", "https://u@gw"]
)
def test_a_gateway_is_scheme_host_and_port(gateway: str) -> None:
    """A path or a user in the gateway's address would be dropped silently; it is refused."""
    with pytest.raises(StartupError, match="--gateway"):
        check_settings("127.0.0.1", 8888, gateway)


def test_good_settings() -> None:
    """Addresses are kept as given, without a slash at the end."""
    assert check_settings("::1", 0, "https://gw.example/").gateway == "https://gw.example"
    assert check_settings("localhost", 8888, "http://[::1]:8080").gateway == "http://[::1]:8080"
