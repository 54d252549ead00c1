"""What the front and a delivery child say to each other over their socket pair: length-prefixed msgpack frames."""

from __future__ import annotations

import asyncio
import struct
from typing import Generic, TypeVar, cast

import msgspec

from eventmill.errors import Reason
from eventmill.model import Lane
from eventmill.store.work import SlotLease, TraceRecord, WorkCommit

_LENGTH = struct.Struct("<I")


class Granted(msgspec.Struct, frozen=True, tag=True):
    """Front to child: the slots it holds from now on."""

    leases: tuple[SlotLease, ...]


class Wake(msgspec.Struct, frozen=True, tag=True):
    """Front to child: the head, the change epoch or the clock may have moved."""

    clock_offset_ms: int
    segments_version: int
    """Another number than before: the list of segment files changed."""


class Result(msgspec.Struct, frozen=True, tag=True):
    """Front to child: the end of a call; a refusal or the slots that were lost."""

    call: int
    lost: frozenset[int] = frozenset()
    refusal: str | None = None
    reason: str = Reason.STORE_UNAVAILABLE.name


class Drain(msgspec.Struct, frozen=True, tag=True):
    """Front to child: finish what is under way, then end."""


class Commit(msgspec.Struct, frozen=True, tag=True):
    """Child to front."""

    call: int
    work: WorkCommit


class AddTraces(msgspec.Struct, frozen=True, tag=True):
    """Child to front."""

    call: int
    lane: Lane
    traces: tuple[TraceRecord, ...]


FromFront = Granted | Wake | Result | Drain
FromChild = Commit | AddTraces

Received = TypeVar("Received")


class FramedLink(asyncio.Protocol, Generic[Received]):
    """One end of the socket pair. Subclasses take frames in `received` and learn of the end in `ended`."""

    def __init__(self, received: msgspec.msgpack.Decoder[Received]) -> None:
        self._decode = received.decode
        self._encoder = msgspec.msgpack.Encoder()
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self.paused = False
        """The other end reads more slowly than we write: hold back what can wait."""

    def received(self, frame: Received) -> None:
        """A frame came; raising here would end the link."""

    def ended(self) -> None:
        """The link is closed, by either end."""

    def resumed(self) -> None:
        """The other end has caught up."""

    def send(self, frame: msgspec.Struct) -> None:
        """Nothing is sent once the link has ended."""
        if self._transport is not None and not self._transport.is_closing():
            body = self._encoder.encode(frame)
            self._transport.write(_LENGTH.pack(len(body)) + body)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's derives from nothing

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended()

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self.resumed()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        at = 0
        while len(self._buffer) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer, at)
            end = at + _LENGTH.size + length
            if len(self._buffer) < end:
                break
            frame = self._decode(bytes(self._buffer[at + _LENGTH.size : end]))
            at = end
            self.received(frame)
        del self._buffer[:at]
