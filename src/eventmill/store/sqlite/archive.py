"""A data directory as one file: taken beside a running gateway, and unpacked where none has been yet. Dev mode's.

The state file is copied before the segments: recovery knows state that is behind the segments, as after a crash. The
key that seals the secrets is in it, so that the file is worth as much as the directory.
"""

from __future__ import annotations

import io
import os
import re
import sqlite3
import tarfile
import tempfile
from contextlib import closing
from pathlib import Path

from eventmill.errors import GatewayError, Reason, StartupError
from eventmill.store.sqlite.connect import open_reader

_STATE, _SEGMENTS, _KEY = "state.db", "segments", "seal.key"
_MEMBER = re.compile(rf"({re.escape(_STATE)}|{re.escape(_KEY)}|{_SEGMENTS}/\d{{8}}-\d+\.db)$")
BYTES_MAX = 1 << 30


def pack(data: Path) -> bytes:
    """Blocks; for a thread. Raises `TOO_LARGE` beyond what may be held in memory."""
    if sum(each.stat().st_size for each in (data / _STATE, *_segments(data))) > BYTES_MAX:
        message = f"{data} holds more than {BYTES_MAX >> 20} MiB: stop the gateway and copy the directory"
        raise GatewayError(Reason.TOO_LARGE, message)
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz", compresslevel=1) as archive, tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.db"

        def add(path: Path) -> None:
            _copy(path, copy)
            archive.add(copy, str(path.relative_to(data)))
            copy.unlink()

        add(data / _STATE)
        for path in _segments(data):
            add(path)
        key = data / _KEY
        if key.exists():
            archive.add(key, _KEY)
    return held.getvalue()


def _segments(data: Path) -> list[Path]:
    return sorted((data / _SEGMENTS).glob("*.db"))


def _copy(path: Path, to: Path) -> None:
    """As of one moment, with what is in its write-ahead log."""
    with closing(open_reader(path)) as source, closing(sqlite3.connect(to)) as target:
        source.backup(target)


def unpack(file: Path, data: Path) -> bool:
    """False: the directory has data already, and stays as it is. Raises `StartupError` for what is no snapshot."""
    if (data / _STATE).exists():
        return False
    try:
        with tarfile.open(file) as archive:
            members = archive.getmembers()
            strange = [each.name for each in members if not (each.isfile() and _MEMBER.match(each.name))]
            if strange or _STATE not in {each.name for each in members}:
                raise StartupError(f"{file} is no snapshot of a gateway: it holds {strange or 'no state'}")
            (data / _SEGMENTS).mkdir(mode=0o700, parents=True, exist_ok=True)
            # The state comes last: a directory without it is still a new one, should this break off.
            for member in sorted(members, key=lambda each: each.name == _STATE):
                content = archive.extractfile(member)
                assert content is not None, "a file"
                _write(data / member.name, content.read())
    except (OSError, tarfile.TarError) as error:
        raise StartupError(f"{file} cannot be read as a snapshot: {error}") from error
    return True


def _write(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as opened:
        opened.write(content)
