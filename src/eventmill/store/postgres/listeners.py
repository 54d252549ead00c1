"""Who of this process is told when something may have moved, and what the one who follows the log is told of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

Callback = Callable[[], None]


class Listeners:
    def __init__(self) -> None:
        self.of_changes: list[Callback] = []
        self.of_appends: list[Callback] = []
        self.of_documents: list[Callback] = []
        self._epoch = 0
        self._heads: dict[int, int] | None = None

    def hear_appends(self, callback: Callback) -> Callback:
        self.of_appends.append(callback)
        return lambda: self.of_appends.remove(callback)

    def tell_anything(self, epoch: int) -> None:
        """Whatever may have moved; the catalogue's epoch as it was seen last."""
        self._heads = None
        _call(self.of_changes)
        _call(self.of_appends)
        if epoch != self._epoch:
            self._epoch = epoch
            _call(self.of_documents)

    def tell_appended(self, heads: Mapping[int, int]) -> None:
        """The log of these shards."""
        if self._heads is not None:
            self._heads |= {shard: max(head, self._heads.get(shard, 0)) for shard, head in heads.items()}
        _call(self.of_changes)
        _call(self.of_appends)

    def tell_of_others(self) -> None:
        """Something was appended that is for no lane of this process."""
        _call(self.of_appends)

    def take_heads(self) -> dict[int, int] | None:
        """What was told since the last call; None: whatever may have moved."""
        heads, self._heads = self._heads, {}
        return heads


def _call(callbacks: list[Callback]) -> None:
    for callback in tuple(callbacks):
        callback()
