"""Writes the audit trail of protected health information inside state transactions; nothing here commits."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence

from eventmill.core.attempts import unpack_attempts
from eventmill.store.log import NewEvent
from eventmill.store.sqlite.queries import InList, ManyRows, load_queries
from eventmill.store.work import Ended, LaneProgress

_SQL = load_queries("audit")
_PUT_EVENTS = ManyRows(_SQL["put_events"], 7)
_INSERT_RECORDS = ManyRows(_SQL["insert_records"], 10)
_EVENTS_IN = InList(_SQL["events_in"])

Happening = tuple[int, int, str, int]
"""Position, time, outcome, status."""


class PhiAudit:
    """One per writing process; used from the writer thread only."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._newest: int = 0
        self.reload()

    def reload(self) -> None:
        self._newest = self._connection.execute(_SQL["newest_event"]).fetchone()[0] or 0

    def note_received(self, events: Sequence[NewEvent], first_seq: int, now_ms: int) -> None:
        """Those of `events` that are audited; `first_seq` is the position that the first of all will get."""
        found = [(seq, event) for seq, event in enumerate(events, first_seq) if event.audit_id]
        rows = [(seq, event.org, *_about(event)) for seq, event in found]
        _PUT_EVENTS.run(self._connection, rows)
        records = [(event.org, now_ms, *_about(event), "", "received", 0) for _, event in found]
        _INSERT_RECORDS.run(self._connection, records)
        self._newest = max(self._newest, *(seq for seq, _ in found))

    def note_progress(self, progress: LaneProgress, registration_id: str) -> None:
        """Attempts and ends of audited events."""
        if self._newest and (progress.attempts or progress.ended):
            self._note(list(_happenings(progress)), registration_id)

    def note_ended(self, ended: Ended, registration_id: str) -> None:
        if self._newest:
            self._note([(seq, ended.at_ms, ended.outcome, ended.cause) for seq in ended.positions], registration_id)

    def drop_above(self, head_seq: int) -> None:
        """The positions after the head were not given out after all, and may come to be other events'."""
        if self._newest > head_seq:
            self._connection.execute(_SQL["drop_events_above"], (head_seq,))

    def drop_upto(self, seq: int) -> None:
        """These events are kept no longer."""
        self._connection.execute(_SQL["drop_events_upto"], (seq,))

    def drop_records(self, before_ms: int) -> None:
        self._connection.execute(_SQL["drop_records"], (before_ms,))

    def _note(self, happenings: Sequence[Happening], registration_id: str) -> None:
        known = self._find({seq for seq, *_ in happenings})
        rows = []
        for seq, at_ms, outcome, status in happenings:
            if seq in known:
                org, *about = known[seq]
                rows.append((org, at_ms, *about, registration_id, outcome, status))
        _INSERT_RECORDS.run(self._connection, rows)

    def _find(self, seqs: Iterable[int]) -> dict[int, tuple[object, ...]]:
        wanted = sorted(seqs)
        found: dict[int, tuple[object, ...]] = {}
        for at in range(0, len(wanted), InList.BATCH):
            for seq, *rest in _EVENTS_IN.run(self._connection, wanted[at : at + InList.BATCH]):
                found[seq] = tuple(rest)
        return found


def _about(event: NewEvent) -> tuple[object, ...]:
    origin = event.origin
    return event.event_id, event.audit_id, origin.provider_id, origin.event_code, origin.client_id


def _happenings(progress: LaneProgress) -> Iterator[Happening]:
    if progress.attempts:
        for each in unpack_attempts(progress.attempts):
            outcome = "delivered" if 200 <= each.status <= 299 else "failed"
            yield each.seq, each.at_ms + each.duration_ms, outcome, each.status
    for ended in progress.ended:
        for seq in ended.positions:
            yield seq, ended.at_ms, ended.outcome, ended.cause
