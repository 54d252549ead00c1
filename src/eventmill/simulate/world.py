"""The world: stories begin, go on side by side, and come out as one stream of events in the order of their time.

Everything follows from seed and start. Each story throws dice of its own, so that leaving channels out changes nothing
about the events of the others.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterator
from random import Random
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from eventmill.core.envelope import format_time
from eventmill.simulate.activity import tell_activity
from eventmill.simulate.batch import tell_batch
from eventmill.simulate.customer import tell_customer
from eventmill.simulate.moment import (
    ACTIVITY_STATE_CHANGE,
    DATASET_INGESTION,
    DELIVERY_STATUS,
    JOURNEY_STEP,
    PROFILE_UPDATE,
    REPORT_SUITE_CHANGE,
    SEGMENT_EVALUATION,
    TIME_MEMBER,
    WORKFLOW_EXECUTION,
    Story,
    wait_s,
)
from eventmill.simulate.report_suite import tell_report_suite
from eventmill.simulate.workflow import tell_workflow


class SimulatedEvent(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    """A UUID: the CloudEvents `id`."""
    channel: str
    story: str
    """Events of one story happen in this order; those of two stories owe each other nothing."""
    time_ms: int
    body: dict[str, Any]
    """`event.body` of the channel's payload."""


class _Kind(NamedTuple):
    """Stories of a kind begin at random, typically this far apart."""

    name: str
    typical_gap_s: float
    channels: frozenset[str]
    tell: Callable[[Random, int], Story]


_KINDS = (
    _Kind("customer", 15, frozenset({PROFILE_UPDATE, JOURNEY_STEP, DELIVERY_STATUS}), tell_customer),
    _Kind("batch", 60, frozenset({DATASET_INGESTION, SEGMENT_EVALUATION}), tell_batch),
    _Kind("workflow", 90, frozenset({WORKFLOW_EXECUTION}), tell_workflow),
    _Kind("activity", 180, frozenset({ACTIVITY_STATE_CHANGE}), tell_activity),
    _Kind("report-suite", 240, frozenset({REPORT_SUITE_CHANGE}), tell_report_suite),
)
_FIRST_GAP_MS = 1000
"""The first story of each kind begins so long after that of the kind before: nobody waits minutes for a rare one."""

_BEGINNING = -1


class _Entry(NamedTuple):
    """Something that will happen. The first four make the order, which no selection of channels changes."""

    time_ms: int
    kind: int
    number: int
    """Of the story, among those of its kind."""
    moment: int
    """Of the story; `_BEGINNING` when it has yet to be told."""
    event: SimulatedEvent | None


def run_world(seed: int, start_ms: int, channels: Collection[str]) -> Iterator[SimulatedEvent]:
    """Events of `channels`, at least one, in the order of their time and without end; they begin at `start_ms`."""
    wanted = frozenset(channels)
    gaps = [_make_dice(f"{seed}/{kind.name}") for kind in _KINDS]
    to_come = [
        _Entry(start_ms + _FIRST_GAP_MS * at, at, 1, _BEGINNING, None)
        for at, kind in enumerate(_KINDS)
        if kind.channels & wanted
    ]
    while True:
        entry = heapq.heappop(to_come)
        if entry.event is not None:
            yield entry.event
            continue
        kind = _KINDS[entry.kind]
        gap_ms = 1 + int(1000 * wait_s(gaps[entry.kind], kind.typical_gap_s))
        heapq.heappush(to_come, entry._replace(time_ms=entry.time_ms + gap_ms, number=entry.number + 1))
        for at, event in enumerate(_tell(seed, kind, entry.number, entry.time_ms)):
            if event.channel in wanted:
                heapq.heappush(to_come, _Entry(event.time_ms, entry.kind, entry.number, at, event))


def _tell(seed: int, kind: _Kind, number: int, begin_ms: int) -> Iterator[SimulatedEvent]:
    story = f"{kind.name}/{number}"
    dice = _make_dice(f"{seed}/{story}")
    time_ms = begin_ms
    for moment in kind.tell(dice, number):
        time_ms += int(1000 * moment.after_s)
        yield SimulatedEvent(
            id=str(UUID(int=dice.getrandbits(128), version=4)),
            channel=moment.channel,
            story=story,
            time_ms=time_ms,
            body={**moment.body, TIME_MEMBER[moment.channel]: format_time(time_ms)},
        )


def _make_dice(seed: str) -> Random:
    return Random(seed)  # noqa: S311  to be repeatable is the point
