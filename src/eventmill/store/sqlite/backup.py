"""A data directory copied beside a running gateway, and put back where none has been yet. The original stays as it is.

Finished segments change no more; the state file is copied before the one that is written, because recovery knows state
that is behind the segments, as after a crash. But never behind in the catalogue: a lane that only the segment knew
would be given to another registration. So state and current segment are copied anew until the catalogue stood still.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from eventmill.errors import Exit, StartupError
from eventmill.store.migrate import check_format, load_migrations
from eventmill.store.sqlite.connect import open_reader
from eventmill.store.sqlite.queries import load_queries
from eventmill.store.sqlite.segments import list_segments, sync_directory

_STATE, _SEGMENTS, _KEY = "state.db", "segments", "seal.key"
_ROUNDS = 20
_SQL = load_queries("state")


class Copied(msgspec.Struct, frozen=True):
    place: str
    segments: int
    bytes: int
    sealing_key: bool
    """Whether the key is in it that opens its secrets."""


def back_up(data: Path, place: Path, *, key: bool) -> Copied:
    """`place` must not exist; it is there when all of it is. Raises `StartupError`."""
    if not (data / _STATE).exists():
        raise StartupError(f"no gateway has its data in {data}; name its directory with --data")
    if place.exists():
        raise StartupError(f"{place} exists already; name a directory that does not")
    with _unfinished(place) as copy, _explained(f"{data} cannot be copied to {place}"):
        (copy / _SEGMENTS).mkdir(mode=0o700)
        _copy_files(data, copy)
        if key and (data / _KEY).exists():
            _copy_plain(data / _KEY, copy / _KEY)
    return _look_at(place)


def put_back(place: Path, data: Path) -> Copied:
    """`data` must hold no gateway's data. Raises `StartupError`."""
    if not (place / _STATE).is_file():
        raise StartupError(
            f"{place} is no backup: it holds no {_STATE}; name the directory that `eventmill backup` made"
        )
    if (data / _STATE).exists() or any((data / _SEGMENTS).glob("*")):
        raise StartupError(f"{data} holds a gateway's data; name an empty directory with --data, or move that away")
    _check_sound(place)
    kept, theirs = data / _KEY, place / _KEY
    if kept.exists() and theirs.exists() and kept.read_bytes() != theirs.read_bytes():
        raise StartupError(f"{kept} is another key than the backup's; move it away, or name an empty directory")
    with _explained(f"{place} cannot be put back to {data}"):
        (data / _SEGMENTS).mkdir(mode=0o700, parents=True, exist_ok=True)
        for segment in list_segments(place / _SEGMENTS):
            _copy_plain(segment.path, data / _SEGMENTS / segment.path.name)
        if theirs.exists() and not kept.exists():
            _copy_plain(theirs, kept)
        sync_directory(data / _SEGMENTS)
        # Last: a directory without it is still a new one, should this break off.
        unfinished = data / f"{_STATE}.new"
        _copy_plain(place / _STATE, unfinished)
        unfinished.rename(data / _STATE)
        sync_directory(data)
    return _look_at(data)


def _copy_files(data: Path, copy: Path) -> None:
    names = _names(data)
    finished = names[:-1]
    for name in finished:
        _copy_segment(data, copy, name)
    for _ in range(_ROUNDS):
        _copy_database(data / _STATE, copy / _STATE)
        catalogue = _catalogue(copy / _STATE)
        current = [name for name in _names(data) if name not in finished]
        for name in current:
            _copy_segment(data, copy, name)
        if catalogue == _catalogue(data / _STATE) and current == [n for n in _names(data) if n not in finished]:
            return
    raise StartupError(
        f"{data}: the catalogue, or the day, kept changing while it was copied; try again when fewer changes are made",
        Exit.UNAVAILABLE,
    )


def _names(data: Path) -> list[str]:
    return [segment.path.name for segment in list_segments(data / _SEGMENTS)]


def _catalogue(state: Path) -> tuple[object, ...]:
    """Changes whenever a document does, or a number was given out."""
    with closing(open_reader(state)) as connection:
        numbers = [connection.execute(_SQL["last_number"], (name,)).fetchone() for name in ("lane", "tenant")]
        return (connection.execute(_SQL["last_change"]).fetchone(), *numbers)


def _copy_segment(data: Path, copy: Path, name: str) -> None:
    """One that retention has dropped meanwhile is left out."""
    try:
        _copy_database(data / _SEGMENTS / name, copy / _SEGMENTS / name)
    except sqlite3.OperationalError:
        if (data / _SEGMENTS / name).exists():
            raise
        (copy / _SEGMENTS / name).unlink(missing_ok=True)


def _copy_database(path: Path, to: Path) -> None:
    """As of one moment, with what is in its write-ahead log."""
    to.unlink(missing_ok=True)
    os.close(os.open(to, os.O_WRONLY | os.O_CREAT, 0o600))
    with closing(open_reader(path)) as source, closing(sqlite3.connect(to)) as target:
        source.backup(target)
    _sync(to)


def _copy_plain(path: Path, to: Path) -> None:
    os.close(os.open(to, os.O_WRONLY | os.O_CREAT, 0o600))
    shutil.copyfile(path, to)
    _sync(to)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_sound(place: Path) -> None:
    with _explained(f"{place} is damaged"):
        for path in (place / _STATE, *(segment.path for segment in list_segments(place / _SEGMENTS))):
            with closing(open_reader(path)) as connection:
                (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
                if found != "ok":
                    raise StartupError(f"{path} is damaged: {found}; take another backup")
                if path.name == _STATE:
                    check_format(connection, load_migrations(__package__, "sql/state"), str(path))


def _look_at(place: Path) -> Copied:
    segments = [segment.path for segment in list_segments(place / _SEGMENTS)]
    size = sum(path.stat().st_size for path in (place / _STATE, *segments))
    return Copied(str(place), len(segments), size, (place / _KEY).exists())


@contextmanager
def _unfinished(place: Path) -> Iterator[Path]:
    """A directory that gets its name at the end, or is gone."""
    unfinished = place.with_name(f"{place.name}.unfinished")
    try:
        if unfinished.exists():
            shutil.rmtree(unfinished)  # of a run that was killed
        unfinished.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise StartupError(f"{place} cannot be made: {error}; name another place") from error
    try:
        yield unfinished
        for directory in (unfinished / _SEGMENTS, unfinished):
            sync_directory(directory)
        unfinished.rename(place)
        sync_directory(place.absolute().parent)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise StartupError(f"{what}: {error}; check that there is room and that the files are whole") from error
