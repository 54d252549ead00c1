"""`flow.lane`: what waits, what is under way and what may be committed, for one registration."""

from __future__ import annotations

import tracemalloc
from collections import deque

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from eventmill.flow.lane import Bodies, Lane, Unit
from eventmill.flow.traces import TraceDetail
from eventmill.model import Lane as LaneNumber
from eventmill.model import OrgId, Origin
from eventmill.store.log import StoredEvent
from eventmill.store.work import Ended, LaneRecord, RetryUnit

ORIGIN = Origin(OrgId("1001"), "p", "code", "provider", "Provider", "cloud_events_v1", "key")


def record(mark: int = 0, done: tuple[int, ...] = (), next_due_ms: int | None = None) -> LaneRecord:
    return LaneRecord(LaneNumber(1), OrgId("1001"), 0, "r", mark, done, False, None, next_due_ms)


def open_lane(mark: int = 0, done: tuple[int, ...] = (), pending_max: int = 100) -> Lane:
    lane = Lane(record(mark, done), Bodies(), in_flight_max=16, pending_max=pending_max, traces_kept=100)
    lane.reopen(record(mark, done))
    lane.fill([], 1, 0.0)
    return lane


def unit(*seqs: int, retry: RetryUnit | None = None) -> Unit:
    return Unit(tuple(StoredEvent(seq, 20261122, 0, bytes(16), ORIGIN, b"{}") for seq in seqs), len(seqs) > 1, retry)


def stored_unit(*seqs: int, due_ms: int = 60_000) -> RetryUnit:
    return RetryUnit(b"u" * 16, LaneNumber(1), seqs, len(seqs) > 1, 0, 1, due_ms, 503)


def trace(status: int) -> TraceDetail:
    return TraceDetail(
        delivery_id="d",
        event_code="code",
        client_id="key",
        url="http://127.0.0.1/",
        method="POST",
        request_headers=(),
        request_body=None,
        batch=False,
        status=status,
        response_headers=(),
        response_body=b"",
        duration_ms=1,
        started_ms=600_001,
        insights=(),
    )


def take(lane: Lane) -> Unit:
    return unit(lane.pending.pop(0))


@given(st.data())
def test_progress_never_covers_an_unsettled_position(data: st.DataObject) -> None:
    """Whatever the order of outcomes, mark and done together name exactly the settled positions."""
    lane = open_lane()
    seqs = sorted(data.draw(st.sets(st.integers(1, 60), min_size=1, max_size=25)))
    waiting = deque(seqs)
    under_way: list[Unit] = []
    settled: set[int] = set()
    while waiting or under_way:
        if waiting and (not under_way or data.draw(st.booleans())):
            seq = waiting.popleft()
            assert lane.offer(seq, 0.0)
            launched = take(lane)
            lane.launch(launched)
            under_way.append(launched)
        else:
            ended = under_way.pop(data.draw(st.integers(0, len(under_way) - 1)))
            lane.settle(ended)
            settled.update(ended.positions)
        progress = lane.progress(0.0)
        covered = {seq for seq in seqs if seq <= progress.mark} | set(progress.done)

        assert covered == settled
        assert all(seq > progress.mark for seq in progress.done)
        assert list(progress.done) == sorted(progress.done)


def test_positions_settled_before_a_takeover_are_not_taken_again() -> None:
    """A lane that starts with done positions above its mark skips exactly those."""
    lane = open_lane(mark=4, done=(6, 8))
    for seq in range(5, 10):
        lane.offer(seq, 0.0)

    assert list(lane.pending) == [5, 7, 9]


def test_a_full_lane_leaves_the_rest_in_the_journal() -> None:
    """Memory is bounded: beyond `pending_max` the lane is behind and continues from the journal where it stopped."""
    lane = open_lane(pending_max=3)
    for seq in range(1, 10):
        lane.offer(seq, 0.0)

    assert (list(lane.pending), lane.taken, lane.behind) == ([1, 2, 3], 3, True)
    take(lane)
    lane.fill([4], 1, 0.0)
    assert lane.behind, "a full page may have more after it"
    take(lane)
    lane.fill([], lane.room(), 0.0)
    assert not lane.behind
    assert lane.offer(10, 0.0)


def test_offers_overlapping_a_page_are_taken_once() -> None:
    """Log entries that a journal page already gave are ignored."""
    lane = open_lane()
    lane.behind = True
    lane.fill([3, 5], 10, 0.0)
    for seq in (3, 5, 6):
        lane.offer(seq, 0.0)

    assert list(lane.pending) == [3, 5, 6]


def test_shutting_forgets_what_was_never_attempted() -> None:
    """After a shut, progress stops before the first position that was not launched."""
    lane = open_lane()
    for seq in (1, 2, 3):
        lane.offer(seq, 0.0)
    first = take(lane)
    lane.launch(first)
    lane.shut()
    lane.settle(first)

    assert lane.progress(0.0).mark == 1
    assert not lane.offer(4, 0.0)


def test_reopening_after_a_gap_jumps_and_still_reports_stray_attempts() -> None:
    """Positions of a closed gap are not pushed; an attempt that was under way in it is reported as settled."""
    lane = open_lane()
    lane.offer(1, 0.0)
    stray = take(lane)
    lane.launch(stray)
    lane.shut()
    lane.reopen(record(mark=7))
    lane.fill([9], 10, 0.0)
    lane.settle(stray)
    progress = lane.progress(0.0)

    assert (progress.mark, progress.done, progress.settled) == (7, (), (1,))
    assert list(lane.pending) == [9]


def test_reopening_without_a_gap_repeats_nothing() -> None:
    """A lane re-read from its journal skips what is under way or settled."""
    lane = open_lane()
    for seq in (1, 2, 3, 4):
        lane.offer(seq, 0.0)
    slow, quick = take(lane), take(lane)
    lane.launch(slow)
    lane.launch(quick)
    lane.settle(quick)
    lane.shut()
    lane.reopen(record(mark=0))
    lane.fill([seq for seq in (1, 2, 3, 4) if seq > lane.taken], 10, 0.0)

    assert list(lane.pending) == [3, 4]


def test_a_failed_first_attempt_becomes_a_unit_before_the_mark_passes() -> None:
    """The commit that moves the mark carries the unit, and the unit is busy until that commit is durable."""
    lane = open_lane()
    lane.offer(1, 0.0)
    failed = take(lane)
    lane.launch(failed)
    lane.settle(failed, put=stored_unit(1))
    progress = lane.progress(0.0)

    assert (progress.mark, progress.put_units) == (1, (stored_unit(1),))
    assert set(lane.busy_units) == {b"u" * 16}
    lane.committed(progress)
    assert (set(lane.busy_units), lane.next_due_ms) == (set(), 60_000)


def test_a_retry_that_loses_members_is_stored_anew() -> None:
    """What is left of it is another unit, as a stored one keeps its members; the old one ends in the same commit."""
    lane = open_lane(mark=5)
    again = unit(2, retry=stored_unit(2))
    lane.launch(again)
    rest = msgspec.structs.replace(stored_unit(2), unit_id=b"v" * 16)
    lane.settle(again, put=rest, ended=[Ended((3,), "refused", 400, 1)])
    progress = lane.progress(0.0)
    lane.committed(progress)

    assert (progress.put_units, progress.end_units) == ((rest,), (b"u" * 16,))
    assert (set(lane.busy_units), lane.next_due_ms) == (set(), rest.due_ms)


def test_an_ended_retry_is_removed_and_listed() -> None:
    """A retry that is given up ends its unit and is recorded with its cause; the mark is not its business."""
    lane = open_lane(mark=5)
    again = unit(2, retry=stored_unit(2))
    lane.launch(again)
    lane.settle(again, ended=[Ended((2,), "gave_up", 503, 1)])
    progress = lane.progress(0.0)

    assert progress.end_units == (b"u" * 16,)
    assert progress.ended == (Ended((2,), "gave_up", 503, 1),)
    assert progress.mark == 5
    lane.committed(progress)
    assert not lane.busy_units


def test_counts_and_traces_follow_the_outcome() -> None:
    """2xx counts as success, everything else as failure, at the attempt's start."""
    lane = open_lane()
    for status in (200, 204, 302, 503, 602):
        lane.note_attempt(unit(1), trace(status))
    progress = lane.progress(10.0)

    assert sum(count.ok for count in progress.counts) == 2
    assert sum(count.failed for count in progress.counts) == 3
    assert {count.at_ms for count in progress.counts} == {trace(200).started_ms}
    assert sorted(record.ok for record in progress.traces) == [False, False, False, True, True]


def test_a_busy_lane_keeps_only_the_last_traces() -> None:
    """More attempts than the ring holds cost no more than the ring, and are written once a second."""
    lane = Lane(record(), Bodies(), in_flight_max=16, pending_max=10, traces_kept=30)
    lane.progress(100.0)
    for _ in range(200):
        lane.note_attempt(unit(1), trace(200))

    assert lane.progress(100.1).traces == ()
    assert lane.has_late_traces(101.1)
    assert len(lane.progress(101.1).traces) == 30


def test_what_was_shut_begins_slowly() -> None:
    """A new lane has its whole window; one that is opened again has a place, and doubles from there."""
    lane = open_lane()
    assert lane.window.size == 16
    lane.shut()
    lane.reopen(record())
    assert lane.window.size == 1
    for _ in range(3):
        lane.window.succeeded()
    assert lane.window.size == 4


def test_bodies_are_counted_from_the_read_to_the_end_of_the_attempt() -> None:
    """Over all lanes: of events read ahead, under way, or dropped because the lane was shut."""
    bodies = Bodies()
    first, second = (Lane(record(), bodies, in_flight_max=16, pending_max=10, traces_kept=1) for _ in range(2))
    for lane in (first, second):
        lane.reopen(record())
        lane.fill([1, 2, 3], 9, 0.0)
        lane.fetch([1, 2, 3], list(unit(1, 2, 3).events))
    assert bodies.held_bytes == 12
    launched = Unit(first.take_fetched(1), False, None)
    first.launch(launched)
    retried = unit(9, retry=stored_unit(9))
    first.launch(retried)
    assert bodies.held_bytes == 14
    second.shut()
    assert bodies.held_bytes == 8
    first.land(launched)
    first.land(retried)
    assert (bodies.held_bytes, first.in_flight) == (4, 0)
    first.reopen(record())
    assert bodies.held_bytes == 0


def test_an_idle_lane_is_small() -> None:
    """There may be ten thousand in a process, nearly all of them idle."""
    tracemalloc.start(1)
    try:
        lanes = [open_lane() for _ in range(200)]
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held / len(lanes) < 1100
