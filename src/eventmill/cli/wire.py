"""HTTP for commands that make many calls, or need the headers of an answer: connections that stay open, one per place.

Judges no status: whoever calls reads the answer. Redirects and proxies are not followed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from http.client import BadStatusLine, HTTPConnection, HTTPException, HTTPMessage, HTTPSConnection, InvalidURL
from typing import Any, NamedTuple
from urllib.parse import SplitResult, urljoin, urlsplit

from eventmill.errors import StartupError

TIMEOUT_S = 60.0
_LINK = re.compile(r'<([^>]*)>\s*;\s*rel="?([^";]+)"?')


class NoAnswer(StartupError):
    """Nothing listens there, the name is unknown, or the connection broke. Trying again later may help."""


class Reply(NamedTuple):
    status: int
    headers: HTTPMessage
    body: bytes

    def json(self) -> Any:
        """The parsed body; None when it is none, or no JSON."""
        if "json" not in (self.headers.get("content-type") or "") or not self.body:
            return None
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    def link(self, url: str, rel: str) -> str | None:
        """The absolute target of a `Link` (RFC 8288) of the answer from `url`."""
        for line in self.headers.get_all("link") or ():
            for target, name in _LINK.findall(line):
                if name == rel:
                    return str(urljoin(url, target))
        return None


class Wire:
    """Not to be shared by threads."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], HTTPConnection] = {}

    def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None, timeout_s: float = TIMEOUT_S
    ) -> Reply:
        """Raises `NoAnswer`. A connection that the other side closed while it was idle is opened again, unseen."""
        place = read_place(url)
        key = place.scheme, place.netloc
        idle = self._open.pop(key, None)
        target = (place.path or "/") + (f"?{place.query}" if place.query else "")
        if idle is not None:
            try:
                return self._exchange(key, idle, (method, target, body, headers), timeout_s)
            except (ConnectionError, BadStatusLine):
                idle.close()
        try:
            return self._exchange(key, _connect(place), (method, target, body, headers), timeout_s)
        except (InvalidURL, UnicodeError):
            raise _no_url(url) from None
        except (OSError, HTTPException) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            where = f"{place.scheme}://{place.netloc}"
            raise NoAnswer(
                f"nothing answers at {where} ({why}); start a gateway with: eventmill serve "
                "(--dev to try things out), or name another with --url, --port or --data"
            ) from error

    def close(self) -> None:
        for connection in self._open.values():
            connection.close()
        self._open.clear()

    def _exchange(
        self,
        key: tuple[str, str],
        connection: HTTPConnection,
        request: tuple[str, str, bytes | None, Mapping[str, str]],
        timeout_s: float,
    ) -> Reply:
        method, target, body, headers = request
        connection.timeout = timeout_s
        if connection.sock is not None:
            connection.sock.settimeout(timeout_s)
        try:
            connection.request(method, target, body, dict(headers))
            response = connection.getresponse()
            reply = Reply(response.status, response.headers, response.read())
        except BaseException:
            connection.close()
            raise
        if response.will_close:
            connection.close()
        else:
            self._open[key] = connection
        return reply


def read_place(url: str) -> SplitResult:
    """Raises `StartupError` unless it is an http or https URL with a host."""
    try:
        place = urlsplit(url)
        if place.scheme in ("http", "https") and place.hostname and place.port != 0:
            return place
    except ValueError:
        pass
    raise _no_url(url)


def _no_url(url: str) -> StartupError:
    return StartupError(f"{url!r} is not a URL that can be called; expected something like http://127.0.0.1:8080")


def _connect(place: SplitResult) -> HTTPConnection:
    kind = HTTPSConnection if place.scheme == "https" else HTTPConnection
    return kind(place.hostname or "", place.port, timeout=TIMEOUT_S)
