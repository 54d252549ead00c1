"""The packed form of delivery attempts, which every checkpoint writes per lane: 16 bytes an attempt.

Version 1, little-endian: the byte 1, the earliest time (8 bytes), then two 8-byte words per attempt:
`seq << 16 | status` and `milliseconds after the earliest time << 32 | duration_ms << 8 | retry`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import msgspec

_VERSION = 1
_HEAD = struct.Struct("<BQ")
_DURATION_MAX = (1 << 24) - 1
_RETRY_MAX = (1 << 8) - 1
_LATER_MAX = (1 << 32) - 1


class Attempt(msgspec.Struct, frozen=True):
    """One attempt to deliver one event; a batch attempt counts once for each of its events."""

    seq: int
    retry: int
    """0 on the first attempt."""
    status: int
    """HTTP status, or a 6xx trace code when there was none."""
    duration_ms: int
    at_ms: int
    """Business time of its start."""


def pack_attempts(attempts: Sequence[Attempt]) -> bytes:
    """Durations above 4.6 hours, retries above 255 and starts 49 days after the earliest are cut to these limits."""
    start_ms = min((attempt.at_ms for attempt in attempts), default=0)
    words = []
    for attempt in attempts:
        later = min(attempt.at_ms - start_ms, _LATER_MAX)
        words.append(attempt.seq << 16 | attempt.status)
        words.append(later << 32 | min(attempt.duration_ms, _DURATION_MAX) << 8 | min(attempt.retry, _RETRY_MAX))
    return _HEAD.pack(_VERSION, start_ms) + struct.pack(f"<{len(words)}Q", *words)


def seq_mark(seq: int) -> bytes:
    """Bytes that every block with an attempt of this position contains, and hardly any other: what to look for."""
    return struct.pack("<Q", seq << 16)[2:]


def unpack_attempts(block: bytes) -> list[Attempt]:
    """Attempts in the order they were packed. Raises `ValueError` for a block of another version."""
    version, start_ms = _HEAD.unpack_from(block)
    if version != _VERSION:
        raise ValueError(f"attempt block of version {version}; this release reads version {_VERSION}")
    pairs = struct.iter_unpack("<QQ", memoryview(block)[_HEAD.size :])
    return [
        Attempt(first >> 16, second & 0xFF, first & 0xFFFF, second >> 8 & 0xFFFFFF, start_ms + (second >> 32))
        for first, second in pairs
    ]
