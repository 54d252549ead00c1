"""The gallery of filters keeps what it promises."""

from __future__ import annotations

import pytest

from eventmill.core.ruler import compile_filter
from eventmill.flow.filters import filter_misses
from eventmill.ui.filter_gallery import GALLERY, Pattern


@pytest.mark.parametrize("pattern", GALLERY, ids=lambda each: each.key)
def test_each_pattern_does_what_it_says(pattern: Pattern) -> None:
    """Its first event passes, its second one is kept back, for a reason."""
    wanted = compile_filter(pattern.filter)
    assert not filter_misses(wanted, pattern.passes.encode())
    assert filter_misses(wanted, pattern.misses.encode())


def test_patterns_have_keys_of_their_own() -> None:
    """Which the addresses of pages hold."""
    assert len({each.key for each in GALLERY}) == len(GALLERY) >= 17
