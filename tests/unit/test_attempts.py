"""`eventmill.core.attempts`: the packed form keeps every attempt, is small, and names its version."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventmill.core.attempts import Attempt, pack_attempts, seq_mark, unpack_attempts

attempts = st.builds(
    Attempt,
    seq=st.integers(1, 2**48 - 1),
    retry=st.integers(0, 99),
    status=st.integers(100, 699),
    duration_ms=st.integers(0, 600_000),
    at_ms=st.integers(1_700_000_000_000, 1_700_000_000_000 + 2**32 - 1),
)


@given(block=st.lists(attempts, max_size=50))
def test_packing_loses_nothing(block: list[Attempt]) -> None:
    """Order and all fields come back, at 16 bytes an attempt."""
    packed = pack_attempts(block)

    assert unpack_attempts(packed) == block
    assert len(packed) == 9 + 16 * len(block)


def test_extremes_are_cut_not_refused() -> None:
    """A checkpoint must never fail over an odd attempt."""
    odd = Attempt(seq=1, retry=1000, status=604, duration_ms=10**9, at_ms=1_700_000_000_000 + 2**40)

    read = unpack_attempts(pack_attempts([Attempt(2, 0, 200, 5, 1_700_000_000_000), odd]))[1]

    assert (read.seq, read.status, read.retry, read.duration_ms) == (1, 604, 255, 2**24 - 1)
    assert read.at_ms == 1_700_000_000_000 + 2**32 - 1


def test_first_byte_is_the_version() -> None:
    """A block of a later release is refused instead of misread."""
    packed = pack_attempts([Attempt(1, 0, 200, 5, 1_700_000_000_000)])

    assert packed[0] == 1
    with pytest.raises(ValueError, match="attempt block of version 2"):
        unpack_attempts(b"\x02" + packed[1:])


def test_the_mark_of_a_position_is_in_its_blocks() -> None:
    """A block is found by the bytes of a position, wherever in it the attempt stands."""
    blocks = {seq: pack_attempts([Attempt(7, 0, 200, 1, 5), Attempt(seq, 1, 503, 2, 9)]) for seq in (1, 255, 1 << 40)}
    for seq, block in blocks.items():
        assert seq_mark(seq) in block
        assert seq_mark(7) in block
        assert seq_mark(9_999_999) not in block
