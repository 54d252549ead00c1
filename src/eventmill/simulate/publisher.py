"""Publishes simulated events over HTTP: at a given rate, with bounded concurrency, each story in its order.

A refusal that passes (429, 503) is waited for as the gateway asks; a lost connection is tried again for a while. So an
event may be stored twice when an answer gets lost, as with any publisher that wants it stored at least once.
"""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

import aiohttp
import msgspec

from eventmill.clock import Clock
from eventmill.simulate.channel import Channel
from eventmill.simulate.world import SimulatedEvent

Outcome = Literal["published", "unsubscribed", "refused"]
OUTCOMES: tuple[Outcome, ...] = ("published", "unsubscribed", "refused")
INTERRUPTED = "interrupted"

_WORKERS = 16
_QUEUED_MAX = 16
"""Events that wait per worker; the world stands still meanwhile."""
_ANSWER_WITHIN_S = 30.0
_WAITS_MAX = 60
"""Refusals that pass, in a row, before an event counts as refused."""
_WAIT_MAX_S = 60.0
_RECONNECT_AFTER_S = (0.1, 0.3, 1.0, 3.0)
"""Pauses after a lost connection; then the gateway counts as gone."""


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """What is published, and where."""

    events: Iterator[SimulatedEvent]
    channels: Mapping[str, Channel]
    ims_org_id: str
    ingress_url: str
    headers: Mapping[str, str]
    """Of every request: who publishes, for which organization."""
    rate: float
    """Events per second; 0: as fast as it goes."""


class Report(msgspec.Struct, kw_only=True):
    """What came of it so far."""

    counts: dict[str, Counter[Outcome]]
    """By channel."""
    reasons: dict[str, str] = {}
    """What the gateway said to the first refusal of each channel."""
    waits: int = 0
    """How often the gateway asked to come back later."""
    ended: str = ""
    """Why it stopped before its end, when it did."""

    def total(self, outcome: Outcome) -> int:
        return sum(counts[outcome] for counts in self.counts.values())


class Publishing:
    """One run; `stop` may be called at any time."""

    def __init__(self, stream: Stream, clock: Clock, on_outcome: Callable[[], None]) -> None:
        self._stream = stream
        self._clock = clock
        self._on_outcome = on_outcome
        self._stopped = asyncio.Event()
        self.report = Report(counts={name: Counter() for name in stream.channels})

    def stop(self, why: str = "") -> None:
        """What is under way is finished, what waits is dropped."""
        self.report.ended = self.report.ended or why
        self._stopped.set()

    async def run(self) -> Report:
        """Until the events end, or `stop`, or the gateway will not have any of them."""
        timeout = aiohttp.ClientTimeout(total=_ANSWER_WITHIN_S)
        headers = {**self._stream.headers, "content-type": "application/cloudevents+json"}
        connector = aiohttp.TCPConnector(limit=_WORKERS)
        async with aiohttp.ClientSession(timeout=timeout, headers=headers, connector=connector) as session:
            queues: list[asyncio.Queue[SimulatedEvent | None]] = [asyncio.Queue(_QUEUED_MAX) for _ in range(_WORKERS)]
            async with asyncio.TaskGroup() as owner:
                for queue in queues:
                    owner.create_task(self._work(queue, session))
                await self._feed(queues)
        return self.report

    async def _feed(self, queues: list[asyncio.Queue[SimulatedEvent | None]]) -> None:
        rate, started_s = self._stream.rate, self._clock.machine_s()
        for number, event in enumerate(self._stream.events):
            if rate:
                await self._pause(started_s + number / rate - self._clock.machine_s())
            if self._stopped.is_set():
                break
            # One story always goes the same way, so that no mail is opened before it was sent.
            await queues[zlib.crc32(event.story.encode()) % len(queues)].put(event)
        for queue in queues:
            await queue.put(None)

    async def _work(self, queue: asyncio.Queue[SimulatedEvent | None], session: aiohttp.ClientSession) -> None:
        while (event := await queue.get()) is not None:
            if self._stopped.is_set():
                continue
            outcome = await self._publish(event, session)
            if outcome is not None:
                self.report.counts[event.channel][outcome] += 1
                self._on_outcome()

    async def _publish(self, event: SimulatedEvent, session: aiohttp.ClientSession) -> Outcome | None:
        """None when the run was stopped before the gateway had decided."""
        body = self._stream.channels[event.channel].cloud_event(event, self._stream.ims_org_id)
        pauses = iter(_RECONNECT_AFTER_S)
        waits = 0
        while True:
            try:
                async with session.post(self._stream.ingress_url, data=body) as answer:
                    text = await answer.read()
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError):
                pause_s = next(pauses, None)
                if pause_s is None:
                    self.stop(f"nothing answers at {self._stream.ingress_url} any more")
                    return None
            else:
                if answer.status not in (429, 503) or waits == _WAITS_MAX:
                    return self._settle(event, answer.status, text)
                waits += 1
                self.report.waits += 1
                pause_s = _asked_pause_s(answer.headers.get("retry-after", ""))
            await self._pause(pause_s)
            if self._stopped.is_set():
                return None

    def _settle(self, event: SimulatedEvent, status: int, text: bytes) -> Outcome:
        if status == 200:
            return "published"
        if status == 204:
            return "unsubscribed"
        said = _message(status, text)
        self.report.reasons.setdefault(event.channel, said)
        if status in (401, 403):  # about the publisher, so the next event would fare no better
            self.stop(f"the gateway will not take events from here: {said}")
        return "refused"

    async def _pause(self, seconds: float) -> None:
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._stopped.wait()


def _asked_pause_s(retry_after: str) -> float:
    return min(float(retry_after), _WAIT_MAX_S) if retry_after.isdecimal() else 1.0


class _Refusal(msgspec.Struct):
    message: str


def _message(status: int, text: bytes) -> str:
    try:
        return f"{status}: {msgspec.json.decode(text, type=_Refusal).message}"
    except msgspec.DecodeError:
        return f"{status}, and not as a gateway would say it"
