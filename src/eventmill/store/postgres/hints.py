"""What nodes tell each other by notifications: that anything may have moved, or how far some shards' logs have come.

Hints only, of commits that are visible by then. Pure; the text is read by nodes of other versions: what a node does not
understand tells it that anything may have moved.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

MOVED, APPENDED, FREED = "eventmill", "eventmill_log", "eventmill_slots"
"""Channels: of whatever may have moved, which all listen to; of appends alone; of slots to take or to give up."""
ANYTHING = ""
_BYTES_MAX = 7000
"""PostgreSQL takes no payload of 8,000 bytes."""
_SLOTS_MAX = 256


class Hint(msgspec.Struct, frozen=True):
    """Something was appended, and nothing else is spoken of."""

    heads: dict[int, int]
    """By shard, of those appended to."""
    slots: tuple[int, ...] | None = None
    """Of the lanes that have a new event; None: any."""


_decoder = msgspec.json.Decoder(Hint)


def read_hint(text: str) -> Hint | None:
    """None: anything may have moved."""
    try:
        return _decoder.decode(text)
    except msgspec.DecodeError:
        return None


class Untold:
    """What this node has done and told nobody yet."""

    def __init__(self) -> None:
        self._anything = False
        self._heads: dict[int, int] = {}
        self._slots: set[int] = set()

    def __bool__(self) -> bool:
        return self._anything or bool(self._heads)

    def note_anything(self) -> None:
        self._anything = True

    def note_appended(self, heads: Mapping[int, int], slots: Collection[int]) -> None:
        for shard, head in heads.items():
            self._heads[shard] = max(head, self._heads.get(shard, 0))
        self._slots.update(slots)

    def take(self) -> tuple[str, str]:
        """All of it: a channel, and what to say there."""
        heads, slots, anything = self._heads, self._slots, self._anything
        self._heads, self._slots, self._anything = {}, set(), False
        if anything:
            return MOVED, ANYTHING
        named = tuple(sorted(slots)) if len(slots) <= _SLOTS_MAX else None
        text = msgspec.json.encode(Hint(heads, named)).decode()
        return (APPENDED, text) if len(text) <= _BYTES_MAX else (MOVED, ANYTHING)
