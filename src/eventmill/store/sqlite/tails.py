"""The journal's unwritten tails: per lane the newest positions, which are not in a chunk yet.

Filled by one thread, read by another: every step here is one operation under the interpreter lock. Readers look here
first and in the chunks after, and drop what they saw twice; so a chunk written in between loses nothing.

The packed form (in a segment's snapshot) is per lane `lane (u32), count (u32), positions (u64 each)`, little-endian.
"""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence

_HEAD = struct.Struct("<II")


class TailIndex:
    def __init__(self) -> None:
        self._tails: dict[int, array[int]] = {}

    def after(self, lane: int, after: int) -> Sequence[int]:
        """A copy of the lane's tail above `after`, ascending."""
        tail = self._tails.get(lane)
        if tail is None:
            return ()
        return tail[bisect_right(tail, after) :]

    def all_after(self, lane: int, after: int) -> Sequence[int] | None:
        """Every position of the lane above `after`, in chunks or not; None when that takes a look at the chunks: they
        hold what lies below the tail, so that a tail which reaches down to `after` tells all."""
        tail = self._tails.get(lane)
        if not tail:
            return None
        found = bisect_right(tail, after)
        return tail[found:] if found else None

    def size(self, lane: int) -> int:
        tail = self._tails.get(lane)
        return 0 if tail is None else len(tail)

    def extend(self, lane: int, seqs: Iterable[int]) -> None:
        tail = self._tails.get(lane)
        if tail is None:
            self._tails[lane] = array("q", seqs)
        else:
            tail.extend(seqs)

    def replace(self, lane: int, seqs: Sequence[int]) -> None:
        self._tails[lane] = array("q", seqs)

    def drop(self, lane: int) -> None:
        self._tails.pop(lane, None)

    def clear(self) -> None:
        self._tails = {}

    def items(self) -> list[tuple[int, array[int]]]:
        return list(self._tails.items())

    def pack(self) -> bytes:
        parts = []
        for lane, tail in self._tails.items():
            parts.append(_HEAD.pack(lane, len(tail)))
            parts.append(_little_endian(tail).tobytes())
        return b"".join(parts)

    def load(self, packed: bytes) -> None:
        """Take over the tails of `pack`."""
        at = 0
        while at < len(packed):
            lane, count = _HEAD.unpack_from(packed, at)
            at += _HEAD.size
            tail = array("q", packed[at : at + 8 * count])
            at += 8 * count
            self._tails[lane] = _little_endian(tail)


def _little_endian(tail: array[int]) -> array[int]:
    """To and from the order of the file."""
    if sys.byteorder == "big":
        tail = array("q", tail)
        tail.byteswap()
    return tail
