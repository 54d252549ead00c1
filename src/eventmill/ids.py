"""Identifiers, from injected randomness: event ids (UUIDv7, RFC 9562), delivery ids, request ids.

Randomness is drawn in blocks: one `os.urandom` per id costs more than a whole publish may.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from uuid import UUID

_BLOCK_BYTES = 4096


class IdSource:
    """Not thread-safe; each event loop owns one."""

    def __init__(self, entropy: Callable[[int], bytes] = os.urandom) -> None:
        self._entropy = entropy
        self._block = b""
        self._at = 0

    def random(self, count: int) -> bytes:
        """`count` random bytes (at most one block)."""
        end = self._at + count
        if end > len(self._block):
            self._block = self._entropy(_BLOCK_BYTES)
            self._at, end = 0, count
        piece = self._block[self._at : end]
        self._at = end
        return piece

    def share(self) -> float:
        """From 0 to just below 1."""
        return int.from_bytes(self.random(6), "big") / (1 << 48)

    def event_id(self, now_ms: int) -> bytes:
        """A UUIDv7 as 16 bytes; `now_ms` is its time part."""
        tail = bytearray(self.random(10))
        tail[0] = 0x70 | (tail[0] & 0x0F)
        tail[2] = 0x80 | (tail[2] & 0x3F)
        return now_ms.to_bytes(6, "big") + bytes(tail)

    def uuid(self) -> str:
        """A random UUIDv4 in text form."""
        return str(UUID(bytes=self.random(16), version=4))

    def request_id(self) -> str:
        """32 alphanumerics, as the real service puts into `x-request-id`."""
        return self.random(16).hex()


def uuid_bytes(text: str) -> bytes | None:
    """The 16 bytes of a UUID in its usual text, in either case; None for anything else."""
    if len(text) != 36 or not text.isascii():
        return None
    try:
        raw = bytes.fromhex(text.replace("-", ""))
    except ValueError:
        return None
    return raw if len(raw) == 16 and uuid_text(raw) == text.lower() else None


def uuid_text(raw: bytes) -> str:
    """16 bytes as the usual 8-4-4-4-12 text."""
    h = raw.hex()
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"
