"""The journal's unwritten tails: per lane the newest positions, which are not in a chunk yet.

Filled by one thread, read by another: every step here is one operation under the interpreter lock. Readers look here
first and in the chunks after, and drop what they saw twice; so a flush in between loses nothing.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence


class TailIndex:
    def __init__(self) -> None:
        self._tails: dict[int, array[int]] = {}

    def after(self, lane: int, after: int) -> Sequence[int]:
        """A copy of the lane's tail above `after`, ascending."""
        tail = self._tails.get(lane)
        if tail is None:
            return ()
        return tail[bisect_right(tail, after) :]

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
