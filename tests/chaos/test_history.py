"""The history checker finds each kind of fault, and nothing in a history without any."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest

from tests.e2e.harness.history import Attempt, Delivery, Entry, History, Kind, Recipient, Verdict, check

ORG = "1001"
TOPICS = frozenset({"low", "high"})


def attempt(number: int, topic: str = "low", *, acknowledged: bool = True, org: str = ORG) -> Attempt:
    """Number n is sent at second n and answered half a second later."""
    return Attempt(f"e{number}", org, topic, float(number), number + 0.5, acknowledged)


def recipient(name: str, *ids: str, topics: frozenset[str] = TOPICS, hook: bool = True) -> Recipient:
    """All in the journal, and delivered a second after they were sent."""
    entries = [Entry(id, f"1.0.7.20261123.{id[1:]}") for id in ids]
    deliveries = [Delivery(id, int(id[1:]) + 1.0) for id in ids]
    return Recipient(name, ORG, topics, entries, deliveries if hook else None)


def clean() -> History:
    """Four events, the last of them never acknowledged but kept, and three registrations."""
    attempts = [attempt(1), attempt(2, "high"), attempt(3), attempt(4, acknowledged=False)]
    all_four = ("e1", "e2", "e3", "e4")
    low = recipient("low only", "e1", "e3", "e4", topics=frozenset({"low"}))
    return History(attempts, [recipient("one", *all_four), recipient("two", *all_four, hook=False), low])


def kinds(history: History) -> set[Kind]:
    return {fault.kind for fault in check(history).faults}


def test_a_clean_history_has_no_faults() -> None:
    """An unanswered event may be there or not; a repeated delivery is counted, not blamed."""
    history = clean()
    assert kinds(history) == set()
    for each in history.recipients:
        each.journal = [entry for entry in each.journal if entry.event_id != "e4"]
        if each.deliveries is not None:
            each.deliveries = [*(d for d in each.deliveries if d.event_id != "e4"), Delivery("e1", 9.0)]
    verdict = check(history)
    assert verdict.faults == ()
    assert (verdict.acknowledged, verdict.unanswered, verdict.kept_unanswered) == (3, 1, 0)
    assert (verdict.deliveries, verdict.repeated) == (7, 2)


def lose(history: History) -> None:
    for each in history.recipients:
        each.journal = [entry for entry in each.journal if entry.event_id != "e3"]


def store_twice(history: History) -> None:
    for each in history.recipients:
        each.journal.append(Entry("e1", "1.0.7.20261123.9"))


def store_unanswered_twice(history: History) -> None:
    history.recipients[0].journal.append(Entry("e4", "1.0.7.20261123.9"))


def store_for_a_stranger(history: History) -> None:
    history.recipients[2].journal.insert(1, Entry("e2", "1.0.7.20261123.2"))


def invent(history: History) -> None:
    for each in history.recipients:
        each.journal.append(Entry("e9", "1.0.7.20261123.9"))


def tear(history: History) -> None:
    history.recipients[1].journal.pop()


def deliver_not(history: History) -> None:
    history.recipients[2].deliveries = []


def deliver_what_is_not_kept(history: History) -> None:
    for each in history.recipients:
        each.journal.pop()


def deliver_to_a_stranger(history: History) -> None:
    assert history.recipients[2].deliveries is not None
    history.recipients[2].deliveries.append(Delivery("e2", 9.0))


def stand_still(history: History) -> None:
    for each in history.recipients:
        each.journal[-1] = Entry("e4", each.journal[-2].position)


def count_as_text(history: History) -> None:
    """9 comes after 10 for whoever compares letters."""
    for each in history.recipients:
        numbers = iter(["10", "9", "91", "92"])
        each.journal = [Entry(entry.event_id, f"1.0.7.20261123.{next(numbers)}") for entry in each.journal]


def number_differently(history: History) -> None:
    history.recipients[1].journal[-1] = Entry("e4", "1.0.7.20261123.5")


def swap(history: History) -> None:
    """Nobody could say who was first, but the journals disagree."""
    history.attempts[0] = history.attempts[0]._replace(ended_s=9.0)
    ids = ("e2", "e1", "e3", "e4")
    numbers = count(1)
    history.recipients[1].journal = [Entry(id, f"1.0.7.20261123.{next(numbers)}") for id in ids]


def overtake(history: History) -> None:
    """All journals agree that the first came last."""
    for each in history.recipients:
        first, *others = each.journal
        each.journal = [*others, Entry(first.event_id, "1.0.7.20261123.8")]


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (lose, {Kind.LOST, Kind.PHANTOM}),
        (store_twice, {Kind.TWICE, Kind.LATE}),
        (store_unanswered_twice, {Kind.TWICE, Kind.POSITION}),
        (store_for_a_stranger, {Kind.STRANGE}),
        (invent, {Kind.STRANGE}),
        (tear, {Kind.TORN}),
        (deliver_not, {Kind.UNDELIVERED}),
        (deliver_what_is_not_kept, {Kind.PHANTOM}),
        (deliver_to_a_stranger, {Kind.STRANGE}),
        (stand_still, {Kind.POSITION}),
        (count_as_text, {Kind.POSITION}),
        (number_differently, {Kind.POSITION}),
        (swap, {Kind.ORDER, Kind.POSITION}),
        (overtake, {Kind.LATE}),
    ],
)
def test_each_fault_is_found(spoil: Callable[[History], None], found: set[Kind]) -> None:
    """A history with one fault is told from a clean one, and the fault is called what it is."""
    history = clean()
    spoil(history)
    assert kinds(history) == found


def test_organizations_are_apart() -> None:
    """Another organization's event is strange in a journal, whatever its topic; orders are not compared across."""
    history = clean()
    history.attempts.append(attempt(5, org="1002"))
    assert kinds(history) == set()
    history.recipients[1].journal.append(Entry("e5", "1.0.7.20261123.5"))
    assert kinds(history) == {Kind.STRANGE}
    history = clean()
    history.recipients.append(Recipient("foreign", "1002", TOPICS, list(reversed(history.recipients[1].journal))))
    assert {fault.where for fault in check(history).faults} == {"journal of foreign"}


def test_times_without_service() -> None:
    """Gaps run from acknowledgement to acknowledgement; unanswered attempts do not end them."""
    answered = [1, 2, 8, 9]
    history = History([attempt(number, acknowledged=number in answered) for number in range(1, 13)])
    verdict = check(history)
    assert [gap.length_s for gap in verdict.gaps[:2]] == [6.0, 3.0]
    assert verdict.gaps[0].begin_s == 2.5
    assert (verdict.longest_gap_s, verdict.out_of_service_s(2.0)) == (6.0, 9.0)


def test_waiting_for_a_delivery() -> None:
    """The first delivery of an event ends its wait."""
    history = clean()
    assert history.recipients[0].deliveries is not None
    history.recipients[0].deliveries += [Delivery("e1", 50.0)]
    assert check(history).longest_wait_s == 0.5
    history.recipients[0].deliveries = [d for d in history.recipients[0].deliveries if d.event_id != "e2"]
    history.recipients[0].deliveries += [Delivery("e2", 12.5)]
    assert check(history).longest_wait_s == 10.0


def test_a_verdict_reads_well() -> None:
    """Its text names the figures and each fault with examples."""
    history = clean()
    lose(history)
    verdict: Verdict = check(history)
    assert "3 acknowledged, 1 not (1 of them kept)" in str(verdict)
    assert "journal of one: 1 x acknowledged, but not in a matching journal, such as e3" in str(verdict)


def test_ids_are_told_apart() -> None:
    """Two attempts under one id could hide a repetition from the checker: it refuses them."""
    with pytest.raises(AssertionError, match="an event id of its own"):
        check(History([attempt(1), attempt(1)]))
