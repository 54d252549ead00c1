"""The loop of `eventmill listen`: reads a journal from a saved place, hands each event on, saves the place, goes on.

The place moves only when the receiver took the event, or refused it for good: so a crash, of either side, loses
nothing, and repeats one event, or one batch, at most.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import msgspec

from eventmill.cli.forwarding import Delivery, Entry, Forwarder, Outcome, takes_batches
from eventmill.cli.journals import Busy, Page, journal_start, pause, read_page
from eventmill.cli.listen_state import ListenState, StateFile
from eventmill.cli.places import Json
from eventmill.cli.remote import Failed
from eventmill.cli.session import Session
from eventmill.cli.wire import NoAnswer
from eventmill.config import MIB
from eventmill.core.envelope import fit_batch

_BATCH_EVENTS_MAX = 20
_BATCH_BYTES_MAX = 2 * MIB
"""A gateway's default."""
_SEEK = "seek:"
"""Opens a place that is a time, in seconds since 1970."""
_RETRY_AFTER_S = (1, 2, 4, 8, 15)
_REPLAY_SEEKS = ("-PT10M", "-PT1H", "-PT6H", "-P1D", None)
"""How far back the last events are looked for; None: to the oldest."""


class Report(NamedTuple):
    """What became of one attempt."""

    delivery: Delivery
    outcome: Outcome
    attempt: int
    again_in_s: float
    """0: there is no further attempt."""
    is_replay: bool


class Listening:
    def __init__(
        self, session: Session, registration: Json, journal: str, forwarder: Forwarder, state: StateFile
    ) -> None:
        self._session = session
        self._registration = registration
        self._journal = journal
        self._forwarder = forwarder
        self._state = state
        self._batches = takes_batches(registration)
        self.on_report: Callable[[Report], None] = lambda _: None
        self.on_trouble: Callable[[str], None] = lambda _: None
        """Hears of a gateway that does not answer, once each time; empty: it answers again."""
        self.attempts_max = 0
        """Attempts per event, after which it is passed over; 0: until it is taken."""

    def begin(self, since: str | None, seek_s: float | None) -> ListenState:
        """The state to go on from: what was asked for, else what was saved, else the journal's end; saved already."""
        saved = self._state.read()
        if saved is not None and since is None and seek_s is None:
            return saved
        if seek_s is not None:
            # The place before the first of them has no position: so it is a time, until one was taken.
            since = f"{_SEEK}{time.time() - seek_s:.0f}"
        elif since is None:
            since = _since(self._read(journal_start(self._journal, latest="true")).next_url)
        state = ListenState(
            self._registration["registration_id"], self._forwarder.url, since, saved.taken if saved else 0
        )
        self._state.write_durable(state)
        return state

    def run(self, state: ListenState, limit: int | None) -> ListenState:
        """Goes on until `limit` events were taken. Raises `Expired` when the place is too old, `Failed`, `Refused`."""
        done = 0
        url = self._url_after(state.position)
        while limit is None or done < limit:
            page = self._read(url, wait=True)
            for entries in self._deliveries(list(_entries(page))[: None if limit is None else limit - done]):
                self._deliver(self._forwarder.make(self._registration, entries))
                taken = state.taken + len(entries)
                state = msgspec.structs.replace(state, position=entries[-1].position, taken=taken)
                self._state.write_durable(state)
                done += len(entries)
            if done == limit:
                return state
            url = page.next_url
            pause(page.pause_s)
        return state

    def replay(self, count: int, until: str) -> int:
        """The last `count` events up to the place `until` once more; how many there were. The place does not move."""
        replay_id = str(uuid4())
        entries = self._last_entries(count, until)
        for each in self._deliveries(entries):
            self._deliver(self._forwarder.make(self._registration, each, replay_id), is_replay=True)
        return len(entries)

    def _deliveries(self, entries: list[Entry]) -> Iterator[list[Entry]]:
        """One by one, or in the batches that a gateway would make of them."""
        while entries:
            sizes = [len(entry.event) for entry in entries]
            count = fit_batch(sizes, events_max=_BATCH_EVENTS_MAX, bytes_max=_BATCH_BYTES_MAX) if self._batches else 1
            yield entries[:count]
            entries = entries[count:]

    def _last_entries(self, count: int, until: str) -> list[Entry]:
        for seek in _REPLAY_SEEKS:
            found: deque[Entry] = deque(maxlen=count)
            page = self._read(journal_start(self._journal, seek=seek))
            has_reached = False
            while page.events and not has_reached:
                for entry in _entries(page):
                    found.append(entry)
                    if entry.position == until:
                        has_reached = True
                        break
                page = page if has_reached else self._read(page.next_url)
            if (has_reached and len(found) == count) or seek is None:
                return list(found)
        return []

    def _deliver(self, delivery: Delivery, *, is_replay: bool = False) -> None:
        attempt = 0
        while True:
            outcome = self._forwarder.post(delivery, attempt)
            attempt += 1
            gives_up = bool(self.attempts_max) and attempt >= self.attempts_max
            again_in_s = float(_RETRY_AFTER_S[min(attempt, len(_RETRY_AFTER_S)) - 1])
            if outcome.is_success or not outcome.is_retried or gives_up:
                again_in_s = 0.0
            self.on_report(Report(delivery, outcome, attempt, again_in_s, is_replay))
            if not again_in_s:
                return
            time.sleep(again_in_s)

    def _read(self, url: str, *, wait: bool = False) -> Page:
        """However long the gateway is away."""
        is_away = False
        while True:
            try:
                page = read_page(self._session, url, wait=wait)
            except NoAnswer as error:
                if not is_away:
                    self.on_trouble(str(error))
                is_away = True
                time.sleep(1.0)
                continue
            except Busy as busy:
                pause(busy.pause_s)
                continue
            if is_away:
                self.on_trouble("")
            return page

    def _url_after(self, position: str) -> str:
        if not position.startswith(_SEEK):
            return journal_start(self._journal, since=position)
        ago_s = max(1, round(time.time() - float(position.removeprefix(_SEEK))))
        return journal_start(self._journal, seek=f"-PT{ago_s}S")


class _Entry(msgspec.Struct, frozen=True):
    position: str
    event: msgspec.Raw


class _Body(msgspec.Struct, frozen=True):
    events: list[_Entry]


def _entries(page: Page) -> Iterator[Entry]:
    """With the bytes of the events as the journal has them: they are what a signature is over."""
    if page.body:
        for each in msgspec.json.decode(page.body, type=_Body).events:
            yield Entry(each.position, bytes(each.event))


def _since(next_url: str) -> str:
    found = parse_qs(urlsplit(next_url).query).get("since")
    if not found:
        raise Failed(f"the journal's next link has no position: {next_url}")
    return found[0]
