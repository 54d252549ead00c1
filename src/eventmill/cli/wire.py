"""How every command reaches a gateway or another service: HTTP over connections that stay open, one per place.

Judges no status: whoever calls reads the answer. Redirects are not followed; a proxy is gone through where HTTPS_PROXY
says so, as other clients of these services do.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import SplitResult, urljoin, urlsplit

from eventmill.errors import StartupError

if TYPE_CHECKING:  # imported when something is sent: `eventmill env` and completion send nothing
    from http.client import HTTPConnection, HTTPMessage

    from eventmill.config import Config

TIMEOUT_S = 60.0
_ANSWER_BYTES_MAX = 256 * 1024 * 1024
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
        from http.client import BadStatusLine, HTTPException, InvalidURL

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
            raise _no_answer(place, error) from error

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
        from http.client import HTTPException

        method, target, body, headers = request
        connection.timeout = timeout_s
        if connection.sock is not None:
            connection.sock.settimeout(timeout_s)
        try:
            connection.request(method, target, body, dict(headers))
            response = connection.getresponse()
            reply = Reply(response.status, response.headers, response.read(_ANSWER_BYTES_MAX))
            if not response.isclosed() and response.read(1):
                raise HTTPException(f"it answers with more than {_ANSWER_BYTES_MAX:,} bytes")
        except BaseException:
            connection.close()
            raise
        if response.will_close:
            connection.close()
        else:
            self._open[key] = connection
        return reply


def local_url(config: Config) -> str:
    """Not the public base URL: that may lead through a proxy which only the outside can reach."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(config.host, config.host)  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{config.port}"


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


def _no_answer(place: SplitResult, error: Exception) -> NoAnswer:
    """With the remedy that fits the place: a gateway on this machine can be started."""
    from ssl import SSLCertVerificationError

    from eventmill.config import is_loopback

    why = getattr(error, "strerror", None) or str(error) or type(error).__name__
    where = f"{place.scheme}://{place.netloc}"
    if is_loopback(place.hostname or ""):
        return NoAnswer(
            f"no gateway answers at {where} ({why}); start one with: eventmill serve (--dev to try things out), "
            "or name another with --url, --port or --data"
        )
    remedy = "is the address right?"
    if isinstance(error, SSLCertVerificationError):
        remedy = "SSL_CERT_FILE may name a file of certificate authorities to trust"
    elif place.scheme == "https" and (proxy := _proxy_of(place)) is not None:
        remedy = f"the way leads through the proxy at {proxy.hostname}:{proxy.port or 80}, as HTTPS_PROXY says"
    return NoAnswer(f"nothing answers at {where} ({why}); {remedy}")


def _connect(place: SplitResult) -> HTTPConnection:
    from http.client import HTTPConnection, HTTPSConnection

    host = place.hostname or ""
    if place.scheme == "http":
        return HTTPConnection(host, place.port, timeout=TIMEOUT_S)
    proxy = _proxy_of(place)
    if proxy is None:
        return HTTPSConnection(host, place.port, timeout=TIMEOUT_S)
    connection = HTTPSConnection(proxy.hostname or "", proxy.port or 80, timeout=TIMEOUT_S)
    connection.set_tunnel(host, place.port)
    return connection


def _proxy_of(place: SplitResult) -> SplitResult | None:
    """What HTTPS_PROXY and NO_PROXY say of an https place; never a proxy on the way to this machine."""
    from eventmill.config import is_loopback

    host = (place.hostname or "").lower()
    text = _variable("HTTPS_PROXY")
    passed = [each.strip().lower().lstrip("*").lstrip(".") for each in _variable("NO_PROXY").split(",")]
    if not text or is_loopback(host) or any(each and f".{host}".endswith(f".{each}") for each in passed):
        return None
    return read_place(text if "://" in text else f"http://{text}")


def _variable(name: str) -> str:
    """The lower-case spelling counts first, as elsewhere."""
    return os.environ.get(name.lower()) or os.environ.get(name, "")
