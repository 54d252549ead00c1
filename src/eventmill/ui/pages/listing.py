"""Lists by key: a page begins after what the one before ended with, so that nothing is counted and nothing skipped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def page_of(items: Sequence[T], after: str, limit: int, key: Callable[[T], str]) -> list[T]:
    """Those after the one with the key `after`; from the first when it is empty, or no longer there."""
    start = next((at + 1 for at, each in enumerate(items) if key(each) == after), 0) if after else 0
    return list(items[start : start + limit])


def next_after(items: Sequence[T], shown: Sequence[T], key: Callable[[T], str]) -> str:
    """Where the next page begins; empty: there is none."""
    return key(shown[-1]) if shown and key(shown[-1]) != key(items[-1]) else ""
