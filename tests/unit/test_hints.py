"""`store.postgres.hints`: what nodes tell each other of their appends."""

from __future__ import annotations

import pytest

from eventmill.store.postgres.hints import APPENDED, MOVED, Hint, Untold, read_hint


def test_appends_are_told_together() -> None:
    """Of each shard the highest head, of all the slots; once."""
    untold = Untold()
    assert not untold
    untold.note_appended({1: 5, 2: 9}, {3})
    untold.note_appended({1: 4, 7: 1}, {1023})
    assert untold
    channel, text = untold.take()
    assert (channel, read_hint(text)) == (APPENDED, Hint({1: 5, 2: 9, 7: 1}, (3, 1023)))
    assert not untold


def test_anything_covers_appends() -> None:
    """Who looks at everything needs no list."""
    untold = Untold()
    untold.note_appended({1: 5}, {3})
    untold.note_anything()
    channel, text = untold.take()
    assert (channel, read_hint(text)) == (MOVED, None)
    assert not untold


def test_a_payload_is_never_too_long() -> None:
    """However many slots and shards there are: then it says less."""
    untold = Untold()
    untold.note_appended(dict.fromkeys(range(256), 1 << 40), set(range(1024)))
    _, text = untold.take()
    hint = read_hint(text)
    assert len(text.encode()) < 8000
    assert hint is not None and hint.slots is None
    untold.note_appended(dict.fromkeys(range(256), 1 << 60), set(range(700, 956)))
    assert len(untold.take()[1].encode()) < 8000


@pytest.mark.parametrize("text", ["", "anything", "[]", '{"slots":[1]}', '{"heads":5}'])
def test_what_is_not_understood_means_anything(text: str) -> None:
    """Nodes of other versions speak on the same channel."""
    assert read_hint(text) is None
