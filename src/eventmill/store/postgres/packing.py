"""How lanes and positions are packed into columns. Pure; the layouts are stored, so they only grow."""

from __future__ import annotations

import struct
from collections.abc import Sequence


def pack_lanes(lanes: Sequence[int]) -> bytes:
    """Four bytes each: lane numbers come from a counter that starts at 1001 and cannot pass 2^32."""
    return struct.pack(f"<{len(lanes)}I", *lanes)


def unpack_lanes(blob: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(blob) >> 2}I", blob)


def pack_rest(seqs: Sequence[int]) -> bytes | None:
    """Of ascending positions the distances from the first, in as many bytes as the last one needs; None when they
    have no holes. First and last stand beside."""
    span = seqs[-1] - seqs[0]
    if span == len(seqs) - 1:
        return None
    first = seqs[0]
    return struct.pack(f"<{len(seqs)}{_form(span)}", *[seq - first for seq in seqs])


def unpack_posting(first: int, last: int, rest: bytes | None) -> Sequence[int]:
    if rest is None:
        return range(first, last + 1)
    form = _form(last - first)
    return [first + distance for distance in struct.unpack(f"<{len(rest) // _WIDTHS[form]}{form}", rest)]


def count_posting(first: int, last: int, rest: bytes | None) -> int:
    return last - first + 1 if rest is None else len(rest) // _WIDTHS[_form(last - first)]


_WIDTHS = {"B": 1, "H": 2, "I": 4}


def _form(span: int) -> str:
    return "B" if span < 1 << 8 else "H" if span < 1 << 16 else "I"
