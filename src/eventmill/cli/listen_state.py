"""How far `eventmill listen` has come, in a file: written whole and synced before the next event, and held by one."""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import msgspec

from eventmill.cli.remote import Failed
from eventmill.client.checkpoints import replace_durable


class ListenState(msgspec.Struct, frozen=True):
    registration_id: str
    forward_to: str
    position: str
    """Everything up to here was taken by the receiver."""
    taken: int = 0
    """Events so far."""


class StateFile:
    """Open for one process at a time; the lock ends with the process, however it ends."""

    def __init__(self, path: Path) -> None:
        """Raises `Failed` when it cannot be used, or another process has it."""
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock: IO[str] = path.with_name(f"{path.name}.lock").open("w")
        except OSError as error:
            raise Failed(f"{path} cannot be written: {error.strerror or error}; name another with --state") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise Failed(
                f"another `eventmill listen` keeps its place in {path}; give this one a --state of its own"
            ) from None

    def close(self) -> None:
        """Others may have it now."""
        self._lock.close()

    def read(self) -> ListenState | None:
        """None: there is none yet. Raises `Failed` for a file that holds something else."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=ListenState)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Failed(
                f"{self.path} is not a state of `eventmill listen` ({error}); name another with --state"
            ) from None

    def write_durable(self, state: ListenState) -> None:
        """On disk when it returns; a crash leaves the old state or the new one."""
        try:
            replace_durable(self.path, msgspec.json.encode(state))
        except OSError as error:
            raise Failed(f"{self.path} cannot be written: {error.strerror or error}") from None


def default_path(environ: Mapping[str, str], registration_id: str, forward_to: str) -> Path:
    """In the user's state directory; each pair of registration and receiver has its own."""
    base = environ.get("XDG_STATE_HOME") or f"{environ.get('HOME', '.')}/.local/state"
    digest = hashlib.sha256(forward_to.encode()).hexdigest()[:8]
    return Path(base) / "eventmill" / "listen" / f"{registration_id}-{digest}.json"
