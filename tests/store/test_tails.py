"""`store.sqlite.tails`: what a tail tells of a lane by itself, without a look at the chunks."""

from __future__ import annotations

import random

from eventmill.store.sqlite.tails import TailIndex


def test_a_tail_tells_all_above_what_it_holds() -> None:
    """From where it reaches down to; below that, and of a lane without a tail or with an empty one, it cannot know."""
    tails = TailIndex()
    tails.extend(7, [40, 42, 50])
    tails.extend(8, [])
    assert list(tails.all_after(7, 40) or ()) == [42, 50]
    assert list(tails.all_after(7, 41) or ()) == [42, 50]
    found = tails.all_after(7, 50)
    assert found is not None and list(found) == []
    assert tails.all_after(7, 39) is None
    assert tails.all_after(8, 1) is None
    assert tails.all_after(9, 1) is None


def test_chunks_hide_nothing_from_it() -> None:
    """Wherever a lane's positions are cut into chunks and a tail, its answer is that of all positions together."""
    chance = random.Random(5)
    for _ in range(200):
        seqs = sorted(chance.sample(range(1, 200), 30))
        cut, after = chance.randrange(len(seqs)), chance.randrange(200)
        tails = TailIndex()
        tails.replace(1, seqs[cut:])
        found = tails.all_after(1, after)
        assert found is None or list(found) == [each for each in seqs if each > after]
