"""One process at a time writes in a data directory."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from eventmill.errors import StartupError


class DirectoryLock:
    """Held until `release` or the end of the process, however it ends. Not inherited by programs that are started."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def acquire(self) -> None:
        """Makes the directory, readable by its owner only, when missing. Raises `StartupError`."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StartupError(
                f"data directory {self._path.parent} cannot be written: {error}; "
                "name another with --data or change its permissions"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise StartupError(
                f"data directory {self._path.parent} is in use by process {holder}; "
                "stop it, or name another directory with --data"
            ) from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        self._descriptor = descriptor

    def release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
