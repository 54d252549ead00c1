"""A webhook's URL made ready for sending, and the head of a request to it. Dials nothing."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import NamedTuple

from aiohttp import ClientRequest
from yarl import URL


class Endpoint(NamedTuple):
    request: ClientRequest
    """What the connector wants to know; never sent itself."""
    start: str
    """Request line without its method, `host`, and `authorization` when the URL holds a login."""


def parse_endpoint(url: str, tls: ssl.SSLContext) -> Endpoint:
    """Raises `ValueError` for what is no absolute http(s) URL. Needs a running loop.

    Connections are shared by endpoints of the same host, port and `tls`.

    A URL of visible ASCII is sent exactly as it was registered; anything else is encoded first.
    """
    visible = url.isascii() and url.isprintable() and " " not in url
    parsed = URL(url, encoded=visible)
    if parsed.scheme not in ("http", "https") or not parsed.raw_host:
        raise ValueError("the webhook's URL is not an absolute http or https URL")
    request = ClientRequest("GET", parsed, skip_auto_headers=("accept", "accept-encoding", "user-agent"), ssl=tls)
    start = f" {parsed.raw_path_qs} HTTP/1.1\r\nhost: {request.headers['host']}\r\n"
    login = request.headers.get("authorization")
    return Endpoint(request, start if login is None else f"{start}authorization: {login}\r\n")


def request_head(method: str, endpoint: Endpoint, headers: Sequence[tuple[str, str]], body: bytes) -> bytes:
    """Raises `ValueError` when a header holds a line break: it would become a header, or a request, of its own."""
    fields = "".join([f"{name}: {value}\r\n" for name, value in headers])
    if fields.count("\n") != len(headers) or fields.count("\r") != len(headers) or "\0" in fields:
        raise ValueError("a request header holds a line break or a null")
    length = f"content-length: {len(body)}\r\n" if body or method != "GET" else ""
    return f"{method}{endpoint.start}{fields}{length}\r\n".encode()
