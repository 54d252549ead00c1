"""Takes a snapshot in place of what a data directory holds: checked and laid aside beside a running gateway, taken up
at its next start, before anything is open. What was there before stays until the next time. Dev mode's.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from eventmill.errors import GatewayError, Reason, StartupError
from eventmill.store.sqlite.archive import unpack
from eventmill.store.sqlite.schema import SqliteSchema

_COMING, _READY, _BEFORE = "restore.part", "restore", "before-restore"
_STATE, _LOGS = "state.db", ("state.db-wal", "state.db-shm")
_HELD = ("segments", "seal.key", *_LOGS, _STATE)
"""Of a data directory. The state comes last, and goes first: where it is tells how far a broken-off turn had come."""


async def lay_aside(snapshot: bytes, data: Path) -> None:
    """For `take_up`. Raises `INVALID_BODY` for what no gateway of this version can begin with."""
    part = data / _COMING
    try:
        await asyncio.to_thread(_unpack, snapshot, part)
        await SqliteSchema(str(part)).status()
    except StartupError as error:
        shutil.rmtree(part, ignore_errors=True)
        told = str(error).replace(str(_file(part)), "the body").replace(str(part), "the snapshot")
        message = told.partition(":\n")[0]  # what follows tells of each way to read an archive
        raise GatewayError(Reason.INVALID_BODY, message) from error
    shutil.rmtree(data / _READY, ignore_errors=True)
    part.rename(data / _READY)


def _unpack(snapshot: bytes, part: Path) -> None:
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(mode=0o700)
    _file(part).write_bytes(snapshot)
    unpack(_file(part), part)
    _file(part).unlink()


def _file(part: Path) -> Path:
    return part / "snapshot.tar.gz"


def take_up(data: Path) -> bool:
    """False: nothing was laid aside. Goes on where it broke off."""
    ready = data / _READY
    if not ready.exists():
        return False
    if (ready / _STATE).exists():
        if (data / _STATE).exists():
            _put_away(data)
        for name in _LOGS:
            (data / name).unlink(missing_ok=True)
        for name in _HELD:
            if (ready / name).exists():
                shutil.rmtree(data / name, ignore_errors=True)
                (ready / name).replace(data / name)
    shutil.rmtree(ready)
    return True


def _put_away(data: Path) -> None:
    before = data / _BEFORE
    shutil.rmtree(before, ignore_errors=True)
    before.mkdir(mode=0o700)
    for name in reversed(_HELD):
        if (data / name).exists():
            (data / name).rename(before / name)
