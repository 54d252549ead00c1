"""Writes the audit trail of protected health information inside transactions; nothing here commits. That an event was
received is written by the append itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from eventmill.core.attempts import unpack_attempts
from eventmill.store.postgres.connect import Connection
from eventmill.store.postgres.queries import load_queries
from eventmill.store.postgres.rows import put_rows
from eventmill.store.work import Ended, LaneProgress

_SQL = load_queries("work")

Happening = tuple[int, str, int, int, str, int]
"""Shard, registration, position, time, outcome, status."""


def happenings_of(progress: LaneProgress, shard: int, registration_id: str) -> Iterator[Happening]:
    """Attempts and ends."""
    if progress.attempts:
        for each in unpack_attempts(progress.attempts):
            outcome = "delivered" if 200 <= each.status <= 299 else "failed"
            yield shard, registration_id, each.seq, each.at_ms + each.duration_ms, outcome, each.status
    for ended in progress.ended:
        yield from ends_of(ended, shard, registration_id)


def ends_of(ended: Ended, shard: int, registration_id: str) -> Iterator[Happening]:
    for seq in ended.positions:
        yield shard, registration_id, seq, ended.at_ms, ended.outcome, ended.cause


async def note_happenings(connection: Connection, happenings: Sequence[Happening]) -> None:
    """Those of audited events."""
    if not happenings:
        return
    places = sorted({(shard, seq) for shard, _, seq, *_ in happenings})
    shards, seqs = zip(*places, strict=True)
    known = {(row[0], row[1]): row[2:] for row in await connection.fetch(_SQL["audited_events"], shards, seqs)}
    records = []
    for shard, registration_id, seq, at_ms, outcome, status in happenings:
        about = known.get((shard, seq))
        if about is not None:
            org, *rest = about
            records.append((org, at_ms, *rest, registration_id, outcome, status))
    await put_rows(connection, _SQL["insert_records"], records)


async def drop_records(connection: Connection, before_ms: int) -> list[int]:
    """A piece of work, with nothing to tell."""
    await connection.execute(_SQL["drop_phi_audit"], before_ms)
    return []
