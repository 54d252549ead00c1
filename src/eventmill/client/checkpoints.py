"""Where a journal reader keeps its position: in memory, in a file, or with the gateway under a name.

`FileCheckpoint` survives the loss of power: the file is replaced whole, and on disk before the call returns.
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class Checkpoint(Protocol):
    """What a reader asks of any place; a row of your own database makes another. Calls may block."""

    def load(self) -> str | None:
        """The position saved last; None: there is none."""

    def save(self, position: str) -> None:
        """Returns when it is saved."""


@dataclass
class MemoryCheckpoint:
    """For a reader that begins where it likes each time it is started."""

    position: str | None = None

    def load(self) -> str | None:
        return self.position

    def save(self, position: str) -> None:
        self.position = position


class FileCheckpoint:
    """One position in one file, for one reader at a time."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        # An asynchronous reader that is cancelled while it saves saves once more when it is closed.
        self._saving = threading.Lock()

    def load(self) -> str | None:
        """Raises `ValueError` for a file that is something else: starting over silently would repeat all of it."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            found = json.loads(content)
        except ValueError:
            found = None
        if not isinstance(found, dict) or not isinstance(found.get("position"), str):
            raise ValueError(f"{self.path} holds no journal position; remove it to begin as `Reading` says")
        return str(found["position"])

    def save(self, position: str) -> None:
        """Raises `OSError` when it cannot be written: the position saved before is still there then."""
        with self._saving:
            replace_durable(self.path, json.dumps({"position": position}).encode())


def replace_durable(path: Path, content: bytes) -> None:
    """On disk when it returns; a crash leaves the old file or the new one. Raises `OSError`."""
    written = path.with_name(path.name + ".new")
    with written.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    written.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


@dataclass(frozen=True)
class Cursor:
    """A named cursor that the gateway keeps, so that a reader can go on from another machine. Not with Adobe's service.

    Two readers at once would move it to and fro; that is what its leases are for (`docs/journal.md`).
    """

    name: str
