"""Carries out steps while the caller waits: HTTP over connections that stay open, one thread each at a time.

Decides nothing. Redirects and proxies are not followed.
"""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Generator
from functools import partial
from http.client import BadStatusLine, HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, IncompleteRead
from typing import Any, TypeVar
from urllib.parse import urlsplit

from eventmill.client.errors import NoAnswer
from eventmill.client.exchange import ANSWER_BYTES_MAX, Answer, Do, Given, Send, Step, Steps, Wait

T = TypeVar("T")
_IDLE_MAX = 8


class BlockingTransport:
    """May be shared by threads: a connection is one request's at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: dict[tuple[str, str], list[HTTPConnection]] = {}

    def run(self, steps: Steps[T]) -> T:
        """All steps; what they come to."""
        return run_steps(self, steps)

    def carry_out(self, step: Step) -> Given:
        match step:
            case Send():
                try:
                    return self._send(step)
                except NoAnswer as error:
                    return error
            case Wait(seconds):
                time.sleep(seconds)
            case Do(function):
                function()
        return None

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, {}
        for connection in [each for several in idle.values() for each in several]:
            connection.close()

    def _send(self, send: Send) -> Answer:
        place = urlsplit(send.url)
        key = place.scheme, place.netloc
        try:
            connection = self._take(key)
            if connection is not None:
                try:
                    return self._exchange(key, connection, send)
                except (ConnectionError, BadStatusLine):
                    pass  # it was closed while it was idle; nothing of the request was taken
            kind = {"http": HTTPConnection, "https": HTTPSConnection}.get(place.scheme)
            if kind is None or not place.hostname:
                raise NoAnswer(f"{send.url!r} is not a URL that can be called")
            return self._exchange(key, kind(place.hostname, place.port, timeout=send.timeout_s), send)
        except (OSError, HTTPException, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise NoAnswer(f"{place.scheme}://{place.netloc}: {why}") from error

    def _exchange(self, key: tuple[str, str], connection: HTTPConnection, send: Send) -> Answer:
        place = urlsplit(send.url)
        target = (place.path or "/") + (f"?{place.query}" if place.query else "")
        ends_s = time.monotonic() + send.timeout_s
        connection.timeout = send.timeout_s
        if connection.sock is not None:
            connection.sock.settimeout(send.timeout_s)
        connection.response_class = partial(_answer_until, ends_s)  # type: ignore[assignment]
        try:
            connection.request(send.method, target, send.body, dict(send.headers))
            with connection.getresponse() as response:  # else one that is broken off keeps its socket
                body = _read_whole(response)
        except BaseException:
            connection.close()
            raise
        headers: dict[str, str] = {}
        for name, value in response.getheaders():
            before = headers.get(name.lower())
            headers[name.lower()] = value if before is None else f"{before}, {value}"
        if response.will_close:
            connection.close()
        else:
            self._give_back(key, connection)
        return Answer(response.status, headers, body)

    def _take(self, key: tuple[str, str]) -> HTTPConnection | None:
        with self._lock:
            idle = self._idle.get(key)
            return idle.pop() if idle else None

    def _give_back(self, key: tuple[str, str], connection: HTTPConnection) -> None:
        with self._lock:
            idle = self._idle.setdefault(key, [])
            if len(idle) < _IDLE_MAX:
                idle.append(connection)
                return
        connection.close()


def run_steps(transport: BlockingTransport, steps: Generator[Step, Given, T]) -> T:
    given: Given = None
    while True:
        try:
            step = steps.send(given)
        except StopIteration as stop:
            result: T = stop.value
            return result
        given = transport.carry_out(step)


class _InTime(io.RawIOBase):
    """What comes from a socket, up to a time: http.client bounds each read alone, so that an answer that drips would
    never end. Stands in for the socket too, of which http.client asks nothing but a file."""

    def __init__(self, sock: socket.socket, ends_s: float) -> None:
        """`ends_s`: machine time, as `time.monotonic` counts it."""
        self._sock = sock
        self._file = sock.makefile("rb", buffering=0)
        self._ends_s = ends_s

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left_s = self._ends_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(left_s)
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()


def _answer_until(ends_s: float, sock: socket.socket, **named: Any) -> HTTPResponse:
    return HTTPResponse(_InTime(sock, ends_s), **named)  # type: ignore[arg-type]


def _read_whole(response: HTTPResponse) -> bytes:
    """Raises `HTTPException` for a body that ends before its length, or never: half a page must not pass for one."""
    body = response.read(ANSWER_BYTES_MAX + 1)
    if len(body) > ANSWER_BYTES_MAX:
        raise HTTPException(f"more than {ANSWER_BYTES_MAX} bytes")
    if response.length:
        raise IncompleteRead(body, response.length)
    return body
