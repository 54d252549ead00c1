"""The front's ends of the delivery children's socket pairs: grants slots, takes results, sends wake-ups, and frees the
slots of a child that goes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Sequence
from typing import Protocol

import msgspec
import structlog

from eventmill import telemetry
from eventmill.errors import GatewayError, StoreUnavailable
from eventmill.model import Lane
from eventmill.store.children import Beat, Drain, Heard
from eventmill.store.framed import FramedLink
from eventmill.store.sqlite.frames import AddTraces, Commit, FromChild, Granted, Result, Wake
from eventmill.store.work import SLOTS, SlotLease, TraceRecord, WorkCommit

_log = structlog.get_logger()
_WAKE_INTERVAL_S = 0.005
"""A wake-up per commit would cost the front a system call, and the child a look around, for a few events each."""


class LinkedStore(Protocol):
    """What the links ask of the front's store."""

    async def grant(self, slots: Sequence[int]) -> tuple[SlotLease, ...]: ...

    async def revoke(self, leases: Sequence[SlotLease]) -> None: ...

    def submit(self, work: WorkCommit) -> asyncio.Future[frozenset[int]]: ...

    def submit_traces(self, lane: Lane, traces: Sequence[TraceRecord]) -> asyncio.Future[None]: ...

    def wake_frame(self) -> Wake: ...


class ChildLink(FramedLink[FromChild]):
    """Lives in the front's event loop. `gone` is set when the child, or the store, closed its end."""

    def __init__(self, store: LinkedStore, heard: Heard) -> None:
        super().__init__(msgspec.msgpack.Decoder(FromChild))
        self._store = store
        self._heard = heard
        self._owes_wake = False
        self._resting = False
        self._answers: set[asyncio.Task[None]] = set()
        self.gone = asyncio.Event()

    def wake(self) -> None:
        """Coalesced while the child is behind, and to one every few milliseconds: the newest state is all it needs."""
        if self.paused or self._resting:
            self._owes_wake = True
            return
        self._owes_wake = False
        self._resting = True
        self.send(self._store.wake_frame())
        asyncio.get_running_loop().call_later(_WAKE_INTERVAL_S, self._rested)

    def _rested(self) -> None:
        self._resting = False
        if self._owes_wake:
            self.wake()

    def received(self, frame: FromChild) -> None:
        match frame:
            case Commit():
                self._answer(frame.call, self._store.submit(frame.work))
            case AddTraces():
                self._answer(frame.call, self._store.submit_traces(frame.lane, frame.traces))
            case Beat():
                self._heard(frame)

    def resumed(self) -> None:
        if self._owes_wake:
            self.wake()

    def ended(self) -> None:
        self.gone.set()

    def _answer(self, call: int, done: Awaitable[frozenset[int] | None]) -> None:
        task = asyncio.ensure_future(self._send_result(call, done))
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)

    async def _send_result(self, call: int, done: Awaitable[frozenset[int] | None]) -> None:
        try:
            lost = await done
        except GatewayError as error:
            self.send(Result(call, refusal=error.message, reason=error.reason.name))
        else:
            self.send(Result(call, lost or frozenset()))


class ChildLinks:
    """All links of a front."""

    def __init__(self, store: LinkedStore) -> None:
        self._store = store
        self._links: list[ChildLink] = []
        self._serving: set[asyncio.Task[None]] = set()
        self._draining = False

    def attach(self, sock: socket.socket, index: int, count: int, heard: Heard) -> None:
        task = asyncio.ensure_future(self._serve(sock, range(index, SLOTS, count), heard))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    def wake(self) -> None:
        for link in self._links:
            link.wake()

    def drain(self) -> None:
        self._draining = True
        for link in self._links:
            link.send(Drain())

    async def close(self) -> None:
        for link in self._links:
            link.close()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, sock: socket.socket, slots: Sequence[int], heard: Heard) -> None:
        link = ChildLink(self._store, heard)
        sock.setblocking(False)
        await asyncio.get_running_loop().create_unix_connection(lambda: link, sock=sock)
        self._links.append(link)
        if self._draining:  # it was starting when the others were told
            link.send(Drain())
        try:
            leases = await self._store.grant(slots)
            link.send(Granted(leases))
            link.wake()
            await link.gone.wait()
            await self._store.revoke(leases)
        except StoreUnavailable as error:
            _log.warning(telemetry.STAGE_FAILED, stage="delivery link", error=error.message)
        finally:
            self._links.remove(link)
            link.close()
