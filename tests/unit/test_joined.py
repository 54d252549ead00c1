"""One question for all who ask at the same time, and nobody gets an answer older than their question."""

from __future__ import annotations

import asyncio

import pytest

from eventmill.flow.joined import Joined

pytestmark = pytest.mark.anyio


class Store:
    """Answers with what it held when the question came, once it is let."""

    def __init__(self) -> None:
        self.held = self.asked = 0
        self.fails = False
        self.lets = asyncio.Event()

    async def question(self) -> int:
        self.asked += 1
        held = self.held
        await self.lets.wait()
        if self.fails:
            raise ConnectionError
        return held


async def begun(store: Store, asked: int) -> None:
    while store.asked < asked:
        await asyncio.sleep(0)


async def test_whoever_asks_at_the_same_time_shares_a_question() -> None:
    """A hundred at once are two questions: that of the first, and one for all the others."""
    store = Store()
    joined = Joined(store.question)
    asking = [asyncio.create_task(joined.ask()) for _ in range(100)]
    await begun(store, 1)
    store.lets.set()
    assert await asyncio.gather(*asking) == [0] * 100
    assert store.asked == 2


async def test_a_question_under_way_is_too_old_for_those_who_come_later() -> None:
    """What happened after it was put is in the answer to the next one, which all of them share."""
    store = Store()
    joined = Joined(store.question)
    first = asyncio.create_task(joined.ask())
    await begun(store, 1)
    store.held = 7
    later = [asyncio.create_task(joined.ask()) for _ in range(50)]
    await asyncio.sleep(0)
    assert store.asked == 1
    store.lets.set()
    assert await first == 0
    assert await asyncio.gather(*later) == [7] * 50
    assert store.asked == 2


async def test_a_failure_is_everybodys_and_the_next_one_asks_anew() -> None:
    """All who waited for it get the failure; it is not kept."""
    store = Store()
    store.fails = True
    store.lets.set()
    joined = Joined(store.question)
    answers = await asyncio.gather(*[joined.ask() for _ in range(3)], return_exceptions=True)
    assert [type(answer) for answer in answers] == [ConnectionError] * 3
    store.fails = False
    assert await joined.ask() == 0


@pytest.mark.parametrize("leaves", [0, 1, 2], ids=["who put it", "who is to put the next", "who waits for that"])
async def test_one_that_goes_away_takes_the_answer_from_nobody(leaves: int) -> None:
    """Whichever of them is cancelled: the others are answered, by a question put after they asked."""
    store = Store()
    joined = Joined(store.question)
    asking = [asyncio.create_task(joined.ask())]
    await begun(store, 1)
    store.held = 7
    asking += [asyncio.create_task(joined.ask()) for _ in range(3)]
    await asyncio.sleep(0)
    gone = asking.pop(leaves)
    gone.cancel()
    await asyncio.wait([gone])
    assert gone.cancelled()
    store.lets.set()
    answers = await asyncio.gather(*asking)
    assert answers == ([7] * 3 if leaves == 0 else [0, 7, 7])
    assert await joined.ask() == 7
