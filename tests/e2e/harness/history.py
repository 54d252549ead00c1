"""Whether a gateway kept its word: judges what publishers, journals and webhooks saw. Knows nothing of its code.

Each attempt to publish carries an event id of its own, so that an attempt that got no answer may be there once or not
at all. Times are those of one monotonic clock. Positions are compared as the dotted numbers that they are.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import combinations, pairwise
from typing import NamedTuple

_EXAMPLES = 5


class Attempt(NamedTuple):
    """One publish of one event."""

    event_id: str
    org: str
    topic: str
    sent_s: float
    ended_s: float
    acknowledged: bool
    """Answered as accepted. Otherwise it was refused, or nobody knows."""


class Entry(NamedTuple):
    """An event as a journal showed it."""

    event_id: str
    position: str


class Delivery(NamedTuple):
    event_id: str
    at_s: float


@dataclass
class Recipient:
    """A registration, and what came of it."""

    name: str
    org: str
    topics: frozenset[str]
    journal: list[Entry] = field(default_factory=list)
    """Every entry, in the order of the pages."""
    deliveries: list[Delivery] | None = None
    """In order of arrival; none for a registration without a webhook."""


@dataclass
class History:
    """All that was seen, from before the first fault until everything had come to rest."""

    attempts: list[Attempt] = field(default_factory=list)
    recipients: list[Recipient] = field(default_factory=list)


class Kind(Enum):
    """What can be wrong."""

    LOST = "acknowledged, but not in a matching journal"
    TWICE = "more than once in a journal"
    STRANGE = "in a journal or delivered, though never published to it"
    TORN = "in one matching journal, but not in another"
    UNDELIVERED = "acknowledged, but never delivered"
    PHANTOM = "delivered, but not in the journal"
    POSITION = "positions do not advance, or differ between journals"
    ORDER = "two journals of an organization show events in a different order"
    LATE = "behind an event that was sent only after it had been acknowledged"


class Fault(NamedTuple):
    kind: Kind
    where: str
    events: int
    examples: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.where}: {self.events} x {self.kind.value}, such as {', '.join(self.examples)}"


class Gap(NamedTuple):
    """A time without any acknowledged publish."""

    begin_s: float
    length_s: float


@dataclass(frozen=True)
class Verdict:
    faults: tuple[Fault, ...]
    acknowledged: int
    unanswered: int
    """Attempts that were not acknowledged."""
    kept_unanswered: int
    """Of those, the ones that are there."""
    deliveries: int
    repeated: int
    """Deliveries beyond the first of their event."""
    longest_wait_s: float
    """From an acknowledgement to the first delivery of its event."""
    gaps: tuple[Gap, ...]
    """Longest first."""

    @property
    def longest_gap_s(self) -> float:
        return self.gaps[0].length_s if self.gaps else 0.0

    def out_of_service_s(self, from_s: float = 1.0) -> float:
        """Sum of the gaps that are at least so long."""
        return sum(gap.length_s for gap in self.gaps if gap.length_s >= from_s)

    def __str__(self) -> str:
        figures = (
            f"{self.acknowledged} acknowledged, {self.unanswered} not ({self.kept_unanswered} of them kept), "
            f"{self.deliveries} deliveries ({self.repeated} repeated, longest wait {self.longest_wait_s:.1f} s), "
            f"without service {self.out_of_service_s():.1f} s, at most {self.longest_gap_s:.1f} s at a time"
        )
        return "\n".join((figures, *map(str, self.faults)))


def check(history: History) -> Verdict:
    """Everything that is wrong, and what is counted though it is allowed."""
    attempts = {attempt.event_id: attempt for attempt in history.attempts}
    assert len(attempts) == len(history.attempts), "each attempt needs an event id of its own"
    faults = [fault for recipient in history.recipients for fault in _check_recipient(recipient, attempts)]
    faults += _check_together(history, attempts)
    kept = {entry.event_id for recipient in history.recipients for entry in recipient.journal}
    unanswered = {attempt.event_id for attempt in history.attempts if not attempt.acknowledged}
    delivered = [recipient.deliveries for recipient in history.recipients if recipient.deliveries is not None]
    return Verdict(
        faults=tuple(faults),
        acknowledged=len(attempts) - len(unanswered),
        unanswered=len(unanswered),
        kept_unanswered=len(unanswered & kept),
        deliveries=sum(map(len, delivered)),
        repeated=sum(len(each) - len({delivery.event_id for delivery in each}) for each in delivered),
        longest_wait_s=max((_longest_wait_s(each, attempts) for each in delivered), default=0.0),
        gaps=_gaps(history.attempts),
    )


def _check_recipient(recipient: Recipient, attempts: dict[str, Attempt]) -> Iterator[Fault]:
    wanted = {
        attempt.event_id
        for attempt in attempts.values()
        if attempt.org == recipient.org and attempt.topic in recipient.topics
    }
    acknowledged = {event_id for event_id in wanted if attempts[event_id].acknowledged}
    ids = [entry.event_id for entry in recipient.journal]
    name = f"journal of {recipient.name}"
    yield from _faults(Kind.LOST, name, acknowledged - set(ids))
    yield from _faults(Kind.TWICE, name, (event_id for event_id, count in Counter(ids).items() if count > 1))
    yield from _faults(Kind.STRANGE, name, set(ids) - wanted)
    positions = [_number(entry.position) for entry in recipient.journal]
    backwards = [f"{id} at {entry.position}" for id, entry in zip(ids[1:], recipient.journal[1:], strict=True)]
    advancing = [later > earlier for earlier, later in pairwise(positions)]
    yield from _faults(Kind.POSITION, name, (text for text, good in zip(backwards, advancing, strict=True) if not good))
    yield from _faults(Kind.LATE, name, _late([attempts[event_id] for event_id in ids if event_id in attempts]))
    if recipient.deliveries is None:
        return
    delivered = {delivery.event_id for delivery in recipient.deliveries}
    name = f"webhook of {recipient.name}"
    yield from _faults(Kind.UNDELIVERED, name, acknowledged - delivered)
    yield from _faults(Kind.STRANGE, name, delivered - wanted)
    yield from _faults(Kind.PHANTOM, name, delivered & wanted - set(ids))


def _late(journal: Sequence[Attempt]) -> Iterator[str]:
    """Those acknowledged before one was sent that the journal shows earlier."""
    last_sent_s = float("-inf")
    for attempt in journal:
        if attempt.acknowledged and attempt.ended_s < last_sent_s:
            yield attempt.event_id
        last_sent_s = max(last_sent_s, attempt.sent_s)


def _check_together(history: History, attempts: dict[str, Attempt]) -> Iterator[Fault]:
    """What only shows when journals of one organization are laid side by side."""
    for one, other in combinations(history.recipients, 2):
        if one.org != other.org or not one.topics & other.topics:
            continue
        name = f"journals of {one.name} and {other.name}"
        mine, theirs = ({entry.event_id: entry.position for entry in each.journal} for each in (one, other))
        shared = one.topics & other.topics
        both = {each.event_id for each in attempts.values() if each.org == one.org and each.topic in shared}
        half = (mine.keys() ^ theirs.keys()) & both
        yield from _faults(Kind.TORN, name, half)
        common = mine.keys() & theirs.keys()
        yield from _faults(Kind.POSITION, name, (id for id in common if mine[id] != theirs[id]))
        orders = [[id for id in journal if id in common] for journal in (mine, theirs)]
        yield from _faults(Kind.ORDER, name, (a for a, b in zip(*orders, strict=True) if a != b))


def _faults(kind: Kind, where: str, found: Iterable[str]) -> Iterator[Fault]:
    examples = sorted(found)
    if examples:
        yield Fault(kind, where, len(examples), tuple(examples[:_EXAMPLES]))


def _number(position: str) -> tuple[int, ...]:
    return tuple(int(part) for part in position.split("."))


def _longest_wait_s(deliveries: Sequence[Delivery], attempts: dict[str, Attempt]) -> float:
    first: dict[str, float] = defaultdict(lambda: float("inf"))
    for delivery in deliveries:
        first[delivery.event_id] = min(first[delivery.event_id], delivery.at_s)
    known = ((attempts[event_id], at_s) for event_id, at_s in first.items() if event_id in attempts)
    return max((at_s - attempt.ended_s for attempt, at_s in known if attempt.acknowledged), default=0.0)


def _gaps(attempts: Sequence[Attempt]) -> tuple[Gap, ...]:
    """Between acknowledgements, from the first attempt's start to the last one's end."""
    if not attempts:
        return ()
    times_s = sorted(attempt.ended_s for attempt in attempts if attempt.acknowledged)
    begin_s = min(attempt.sent_s for attempt in attempts)
    end_s = max(attempt.ended_s for attempt in attempts)
    gaps = [Gap(earlier, later - earlier) for earlier, later in pairwise([begin_s, *times_s, end_s])]
    return tuple(sorted(gaps, key=lambda gap: gap.length_s, reverse=True))
