"""Remembers which events were handled, in bounded memory: deliveries are at least once, handlers want once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from eventmill.client.documents import Event


class UnderWay(Exception):
    """The event is being handled at this moment, by an earlier attempt: whether it was handled is not known yet."""


class Deduplicator:
    """Forgets the oldest ids beyond `size_max`, and all of them with the process. May be shared by threads."""

    def __init__(self, size_max: int = 100_000) -> None:
        if size_max < 1:
            raise ValueError("size_max must be at least 1")
        self._size_max = size_max
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._under_way: set[str] = set()
        self._lock = threading.Lock()

    def add(self, event_id: str) -> bool:
        """Whether it is new; from now on it is not."""
        with self._lock:
            is_new = event_id not in self._seen
            self._seen[event_id] = None
            self._seen.move_to_end(event_id)
            if len(self._seen) > self._size_max:
                self._seen.popitem(last=False)
            return is_new

    def forget(self, event_id: str) -> None:
        """It was not handled after all: the next time it is new again."""
        with self._lock:
            self._seen.pop(event_id, None)

    @contextmanager
    def once(self, event_id: str) -> Iterator[bool]:
        """Gives whether it is new; forgets it again when the block fails, so that the retry is handled.

        Raises `UnderWay` while the block of another thread or task has not ended: that it is not new would be believed
        by the service, and the event lost if that block fails."""
        with self._lock:
            if event_id in self._under_way:
                raise UnderWay(f"event {event_id} is being handled")
            self._under_way.add(event_id)
        try:
            is_new = self.add(event_id)
            try:
                yield is_new
            except BaseException:
                if is_new:
                    self.forget(event_id)
                raise
        finally:
            with self._lock:
                self._under_way.discard(event_id)


def event_id(event: Event) -> str:
    """What stays the same on each delivery of an event: the service's `eventid`, else source and id of the CloudEvent
    (CloudEvents 1.0.2 §3.1: together unique); empty when there is neither."""
    own = event.get("eventid") or event.get("event_id")
    if own:
        return str(own)
    return f"{event['source']} {event['id']}" if "source" in event and "id" in event else ""
