"""Long lists as they were last sent, for as long as nothing changes: making one costs far more than sending it."""

from __future__ import annotations

KEPT_BYTES_MAX = 32 * 1024 * 1024
"""Of all lists together; beyond it they are made anew."""

Epochs = tuple[int, int]
"""Of the store and of the catalogue: a list is made from both."""


class Listings:
    """Used from one event loop only."""

    def __init__(self) -> None:
        self._epochs: Epochs = (-1, -1)
        self._bodies: dict[str, bytes] = {}
        self._size_bytes = 0

    def find(self, epochs: Epochs, url: str) -> bytes | None:
        return self._bodies.get(url) if epochs == self._epochs else None

    def keep(self, epochs: Epochs, url: str, body: bytes) -> None:
        """`epochs` were read before the list was made."""
        if epochs != self._epochs or self._size_bytes + len(body) > KEPT_BYTES_MAX:
            self._epochs, self._bodies, self._size_bytes = epochs, {}, 0
        if len(body) <= KEPT_BYTES_MAX:
            self._size_bytes += len(body)
            self._bodies[url] = body
