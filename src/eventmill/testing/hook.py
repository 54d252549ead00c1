"""A webhook for tests that do not run an event loop: `receiver` and `behaviours` on a thread of their own.

Passes challenges, and answers 200 until it is told otherwise. Judges nothing.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from eventmill.testing.behaviours import answering, response
from eventmill.testing.described import described, listed
from eventmill.testing.receiver import Behaviour, Connection, Received, Receiver, receiving


class Hook:
    """A webhook that listens. `running` makes one."""

    def __init__(self, receiver: Receiver, loop: asyncio.AbstractEventLoop) -> None:
        self._receiver = receiver
        self._loop = loop
        self._arrived = threading.Condition()
        self._behaviour = answering(response())
        self._open: set[Connection] = set()
        receiver.on_request = self._note

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Hook]:
        """Listens on a loopback port while the block runs."""
        started: list[Hook] = []
        is_up, stop = threading.Event(), asyncio.Event()

        async def serve() -> None:
            loop = asyncio.get_running_loop()

            async def behave(connection: Connection) -> None:
                await started[0]._behave(connection)

            async with receiving(behave, passes_challenges=True) as receiver:
                started.append(cls(receiver, loop))
                is_up.set()
                await stop.wait()

        thread = threading.Thread(target=lambda: asyncio.run(serve()), name="eventmill-hook", daemon=True)
        thread.start()
        is_up.wait()
        try:
            yield started[0]
        finally:
            started[0]._loop.call_soon_threadsafe(stop.set)
            thread.join()

    @property
    def url(self) -> str:
        return self._receiver.url

    @property
    def requests(self) -> list[Received]:
        """What came so far, challenges left out."""
        with self._arrived:
            return list(self._receiver.requests)

    @property
    def events(self) -> list[dict[str, Any]]:
        """Of all requests, those that it answered badly too."""
        return [event for request in self.requests for event in events_of(request)]

    def behave(self, behaviour: Behaviour) -> None:
        """From now on, whatever connections are open: `answering(response(status="503 Busy"))`, `resetting()`, …"""
        self._behaviour = behaviour
        self._loop.call_soon_threadsafe(self._drop_connections)

    def wait_for_request(
        self, matching: Callable[[Received], bool] | None = None, count: int = 1, within_s: float = 30.0
    ) -> Received:
        """The `count`-th request that matches, which may be there already; challenges are none. Raises
        `AssertionError`."""
        ends_s = time.monotonic() + within_s
        with self._arrived:
            while True:
                found = [each for each in self._receiver.requests if matching is None or matching(each)]
                if len(found) >= count:
                    return found[count - 1]
                left_s = ends_s - time.monotonic()
                if left_s <= 0:
                    came = listed("requests in all", [_described(each) for each in self._receiver.requests])
                    raise AssertionError(f"{len(found)} of {count} requests within {within_s:g} s; {came}")
                self._arrived.wait(left_s)

    async def _behave(self, connection: Connection) -> None:
        self._open.add(connection)
        try:
            await self._behaviour(connection)
        finally:
            self._open.discard(connection)

    def _drop_connections(self) -> None:
        for connection in self._open:
            connection.writer.transport.abort()

    def _note(self, _request: Received) -> None:
        with self._arrived:
            self._arrived.notify_all()


def _described(request: Received) -> str:
    try:
        events = "; ".join(described(event) for event in events_of(request))
    except (ValueError, AttributeError):
        events = f"{len(request.body)} bytes that are no events"
    return f"{request.method} {request.path} {events}"


def events_of(request: Received) -> list[dict[str, Any]]:
    """One, or those of a batch."""
    parsed = json.loads(request.body)
    return parsed if isinstance(parsed, list) else [parsed]
