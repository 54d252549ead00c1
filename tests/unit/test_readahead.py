"""`eventmill.flow.readahead`: which pages made in advance are given out, and how many are kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from eventmill.errors import StoreUnavailable
from eventmill.flow.readahead import KEPT_MAX, KEPT_S, Page, PageKey, ReadAhead
from eventmill.model import Lane

pytestmark = pytest.mark.anyio

NOW_S = 1000.0
FULL = Page(b"{}", "1.1.0.20260301.2", 2, is_full=True)
SHORT = Page(b"{}", "1.1.0.20260301.1", 1, is_full=False)


def key(after: int = 0) -> PageKey:
    return PageKey(Lane(1001), "5c1d", 1, after, 2)


def making(page: Page | None) -> Callable[[], Coroutine[Any, Any, Page | None]]:
    async def make() -> Page | None:
        return page

    return make


async def unavailable() -> Page | None:
    raise StoreUnavailable("closed")


async def test_full_page_is_given_once() -> None:
    """Who comes second reads for itself: the page may be evicted or long gone."""
    ahead = ReadAhead()
    ahead.start(key(), making(FULL), NOW_S)

    assert [await ahead.take(key()), await ahead.take(key())] == [FULL, None]


@pytest.mark.parametrize("page", [SHORT, None])
async def test_page_that_may_grow_is_not_given(page: Page | None) -> None:
    """Events appended after it was made belong into a page that was not full."""
    ahead = ReadAhead()
    ahead.start(key(), making(page), NOW_S)

    assert await ahead.take(key()) is None


async def test_other_key_gets_nothing() -> None:
    """A page is for one place, limit, client and generation."""
    ahead = ReadAhead()
    ahead.start(key(), making(FULL), NOW_S)

    assert await ahead.take(key()._replace(generation=2)) is None


async def test_failure_meets_who_asks() -> None:
    """The reader is told what it would have been told without reading ahead."""
    ahead = ReadAhead()
    ahead.start(key(), unavailable, NOW_S)

    with pytest.raises(StoreUnavailable):
        await ahead.take(key())


async def test_failure_that_nobody_asks_for_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    """A page in advance is no promise: asyncio has nothing to complain about."""
    ahead = ReadAhead()
    ahead.start(key(), unavailable, NOW_S)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del ahead

    assert caplog.records == []


async def test_pages_about_to_be_taken_are_not_driven_out() -> None:
    """With more readers than room, the first ones keep their pages and the others read for themselves."""
    ahead = ReadAhead()
    for after in range(KEPT_MAX + 1):
        ahead.start(key(after), making(FULL), NOW_S)

    taken = [await ahead.take(key(after)) for after in range(KEPT_MAX + 1)]

    assert taken == [FULL] * KEPT_MAX + [None]


async def test_forgotten_page_makes_room() -> None:
    """A reader that went away does not hold its place for ever."""
    ahead = ReadAhead()
    for after in range(KEPT_MAX):
        ahead.start(key(after), making(FULL), NOW_S)

    ahead.start(key(KEPT_MAX), making(FULL), NOW_S + KEPT_S)

    assert [await ahead.take(key(after)) for after in (0, 1, KEPT_MAX)] == [None, FULL, FULL]
