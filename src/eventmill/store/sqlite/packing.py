"""How lanes and positions are packed into blobs. Pure; the layouts are on disk, so they only grow new tags.

A list of positions is `tag, first position (u64)` and then: for a run its count (u32), else the distances from the
first position in 1, 2, 4 or 8 bytes each, little-endian. A list that does not ascend keeps its order in full u64s.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import pairwise

_RUN, _U8, _U16, _U32, _U64, _UNORDERED = range(6)
_FORMATS = {_U8: "B", _U16: "H", _U32: "I", _U64: "Q", _UNORDERED: "Q"}
_WIDTHS = {_U8: 1, _U16: 2, _U32: 4, _U64: 8, _UNORDERED: 8}
_HEAD = struct.Struct("<BQ")
_RUN_FORM = struct.Struct("<BQI")


def pack_lanes(lanes: Sequence[int]) -> bytes:
    """Four bytes each: lane numbers come from a counter that starts at 1001 and cannot pass 2^32."""
    return struct.pack(f"<{len(lanes)}I", *lanes)


def unpack_lanes(blob: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(blob) >> 2}I", blob)


def pack_seqs(seqs: Sequence[int]) -> bytes:
    """Any positions, in their order."""
    if len(seqs) > 1 and any(a >= b for a, b in pairwise(seqs)):
        return _HEAD.pack(_UNORDERED, 0) + struct.pack(f"<{len(seqs)}Q", *seqs)
    return pack_ascending(seqs)


def pack_ascending(seqs: Sequence[int]) -> bytes:
    """Positions known to ascend strictly (not checked)."""
    if not seqs:
        return b""
    first, count = seqs[0], len(seqs)
    span = seqs[-1] - first
    if span == count - 1:
        return _RUN_FORM.pack(_RUN, first, count)
    tag = _U8 if span < 1 << 8 else _U16 if span < 1 << 16 else _U32 if span < 1 << 32 else _U64
    return _HEAD.pack(tag, first) + struct.pack(f"<{count}{_FORMATS[tag]}", *[seq - first for seq in seqs])


def unpack_seqs(blob: bytes) -> Sequence[int]:
    if not blob:
        return ()
    tag, first = _HEAD.unpack_from(blob)
    if tag == _RUN:
        return range(first, first + int(_RUN_FORM.unpack(blob)[2]))
    distances = struct.unpack_from(f"<{count_seqs(blob)}{_FORMATS[tag]}", blob, _HEAD.size)
    return [first + distance for distance in distances]


def count_seqs(blob: bytes) -> int:
    if not blob:
        return 0
    if blob[0] == _RUN:
        return int(_RUN_FORM.unpack(blob)[2])
    return (len(blob) - _HEAD.size) // _WIDTHS[blob[0]]
