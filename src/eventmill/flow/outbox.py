"""The notices that are stored, as one process knows them; and which of them it may send the mail of.

Written to by any number of processes: each write says which version it is about, and is refused when another was first.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from eventmill.clock import Clock
from eventmill.errors import StaleVersion
from eventmill.flow.presiding import Presided
from eventmill.model import Notice
from eventmill.store.control import ControlOp, ControlStore, Replace, Versioned
from eventmill.store.drift import Drifting

_CHANGES_PER_READ = 1000
_CLAIM_MORE_MS = 30_000
"""A claim is good for so much longer than a mail may take: machines' clocks differ."""


class NoticeStore(ControlStore, Presided, Drifting, Protocol):
    """What is asked of the store here."""


class Waiting(msgspec.Struct):
    """A stored notice, and what this process knows of its mail."""

    notice: Notice
    version: int
    tries: int = 0
    due_ms: int = 0
    free_ms: int = 0
    """Machine time until which another process's claim is respected."""


class Outbox:
    """`mail_ms`: how long the sending of a mail may take."""

    def __init__(self, store: NoticeStore, clock: Clock, mail_ms: int) -> None:
        self._store = store
        self._clock = clock
        self._claim_ms = mail_ms + _CLAIM_MORE_MS
        self._epoch = -1
        self._waiting: dict[str, Waiting] = {}
        """By id, oldest first."""

    def waiting(self) -> list[Waiting]:
        """Oldest first."""
        return list(self._waiting.values())

    async def gather(self) -> None:
        """Know what is stored. What was done and could not be noted there yet stays done."""
        epoch = await self._store.epoch()
        if epoch == self._epoch:
            return
        if self._epoch < 0 or await self._has_changed():
            term = await self._store.presidency()
            found = [self._known(each, term) for each in await self._store.scan("notice")]
            found.sort(key=lambda each: each.notice.at_ms)
            self._waiting = {each.notice.id: each for each in found}
        self._epoch = epoch

    async def _has_changed(self) -> bool:
        after = self._epoch
        while changes := await self._store.changes(after, _CHANGES_PER_READ):
            if changes[0].epoch != after + 1 or any(each.kind == "notice" for each in changes):
                return True
            after = changes[-1].epoch
        return False

    def _known(self, stored: Versioned, term: int) -> Waiting:
        """What is known of it, brought up to what is stored."""
        known = self._waiting.get(stored.id)
        if known is not None and known.version == stored.version:
            return known
        notice = msgspec.json.decode(stored.doc, type=Notice)
        is_own = term and notice.claimed_by == term
        free_ms = notice.claimed_ms + self._claim_ms if notice.claimed_ms and not is_own else 0
        if known is None:
            return Waiting(notice, stored.version, free_ms=free_ms)
        told = tuple(dict.fromkeys((*notice.told, *known.notice.told)))
        known.notice, known.version = msgspec.structs.replace(notice, told=told), stored.version
        known.free_ms = free_ms
        return known

    def is_anothers(self, waiting: Waiting) -> bool:
        """Whether another process is sending its mail, as far as is known."""
        return waiting.free_ms > self._shared_ms()

    async def claim(self, waiting: Waiting) -> bool:
        """Before each try. False when another process was first, or the notice is gone."""
        term, now_ms = await self._store.presidency(), self._shared_ms()
        notice = msgspec.structs.replace(waiting.notice, claimed_by=term, claimed_ms=now_ms)
        claim = Replace("notice", notice.org, notice.id, msgspec.json.encode(notice), waiting.version, None)
        if not await self.write(waiting, claim):
            return False
        waiting.notice, waiting.free_ms = notice, 0
        return True

    def _shared_ms(self) -> int:
        """The wall time of all nodes."""
        return self._clock.machine_ms() - self._store.clock_ahead_ms()

    async def write(self, waiting: Waiting, op: ControlOp) -> bool:
        """Replace or delete it. False: another process wrote it since it was read, or it is gone; it is read again."""
        written: list[Versioned] = []
        is_done = True
        try:
            written = await self._store.write([op])
        except StaleVersion:
            is_done = False
        if written:
            waiting.version = written[0].version
        else:
            self._waiting.pop(waiting.notice.id, None)
        return is_done
