"""Messages over a socket pair between two processes: length-prefixed msgpack frames, one end in each event loop."""

from __future__ import annotations

import asyncio
import struct
from typing import Generic, TypeVar, cast

import msgspec

_LENGTH = struct.Struct("<I")

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
