"""How many publishes one append waits for, and how long: decides, and does nothing.

What an append costs hardly depends on how much is in it. Those who publish one event after the other send again as
soon as they are answered, so without a pause the first of them would go alone and all others wait behind it; and with
several nodes, whose appends wait for each other's in the database, most of them would be that small. Who publishes
alone waits for nobody.
"""

from __future__ import annotations

_SHARE = 0.75
"""Of those who lately published at the same time."""
_KEPT = 0.7
"""How fast it is forgotten how many these were, per append."""
_LATELY_S = 0.1
_PAUSE_MAX_S = 0.01


class Gathering:
    def __init__(self) -> None:
        self._crowd = 0.0
        """How many publishes waited or were under way at the same time lately."""
        self._took_s = 0.0
        """What appends take."""
        self._last_s = 0.0

    @property
    def pause_s(self) -> float:
        """The first of a batch waits no longer: it would not have to be long to cost more than it saves."""
        return min(_PAUSE_MAX_S, self._took_s)

    def wanted(self, under_way: int, now_s: float) -> int:
        """So many publishes are enough to go at once, beside so many under way."""
        if now_s - self._last_s > _LATELY_S:
            return 1
        return under_way or int(_SHARE * self._crowd)

    def note_taken(self, present: int, now_s: float) -> None:
        """A batch goes; so many publishes wait or are under way, those in it included."""
        kept = _KEPT * self._crowd if now_s - self._last_s <= _LATELY_S else 0.0
        self._crowd, self._last_s = max(kept, present), now_s

    def note_answered(self, took_s: float) -> None:
        self._took_s += (took_s - self._took_s) / 8
