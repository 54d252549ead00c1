"""A data directory as one file: taken beside a running store, and good to begin another with."""

from __future__ import annotations

import io
import shutil
import sqlite3
import tarfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from eventmill.errors import GatewayError, Reason, StartupError
from eventmill.store.sqlite.archive import pack, unpack
from eventmill.store.sqlite.restore import lay_aside, take_up
from tests.http.world import running

pytestmark = [pytest.mark.anyio, pytest.mark.on_files]


async def test_a_snapshot_begins_another_gateway(tmp_path: Path) -> None:
    """Registrations, journals and keys are there; the first one's journal positions go on."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    async with running(first) as world:
        topic = await world.topic()
        registration = await world.register(topic, delivery_type="journal", webhook_url=...)
        await world.publish(topic, "kept")
        data = Path(world.parts.config.data)
        taken = pack(data)
        await world.publish(topic, "later")
    file = tmp_path / "snapshot.tar.gz"
    file.write_bytes(taken)
    assert unpack(file, second / data.relative_to(first))
    async with running(second) as world:
        assert [each["id"] for each in await world.journal(registration)] == ["kept"]
        assert await world.publish(topic, "next") == 200
        assert [each["id"] for each in await world.journal(registration)] == ["kept", "next"]


def test_what_is_there_stays(tmp_path: Path) -> None:
    """A directory that holds data is not touched."""
    (tmp_path / "state.db").write_bytes(b"mine")
    assert not unpack(tmp_path / "not-even-there", tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["state.db"]


def test_what_is_no_snapshot_is_refused(tmp_path: Path) -> None:
    """Files of other names, paths out of the directory, no archive at all: nothing is written."""
    file = tmp_path / "made.tar.gz"
    for name in ("../state.db", "/etc/state.db", "segments/../../x", "other"):
        held = io.BytesIO()
        with tarfile.open(fileobj=held, mode="w:gz") as archive:
            for each in ("state.db", name):
                archive.addfile(tarfile.TarInfo(each), io.BytesIO())
        file.write_bytes(held.getvalue())
        with pytest.raises(StartupError, match="no snapshot"):
            unpack(file, tmp_path / "data")
    file.write_bytes(b"no archive")
    with pytest.raises(StartupError, match="cannot be read"):
        unpack(file, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def folder(within: Path, name: str) -> Path:
    made = within / name
    made.mkdir()
    return made


@dataclass(frozen=True)
class Past:
    """Of a gateway that has ended."""

    data: Path
    snapshot: bytes
    registration: Any

    async def events(self, where: Path) -> list[str]:
        """Ids in the journal of its registration, in a gateway that runs in this folder."""
        async with running(where) as world:
            return [each["id"] for each in await world.journal(self.registration)]


async def past_of(where: Path, event: str) -> Past:
    """A gateway that ran in this folder and got one event."""
    async with running(where) as world:
        topic = await world.topic()
        registration = await world.register(topic, delivery_type="journal", webhook_url=...)
        await world.publish(topic, event)
        data = Path(world.parts.config.data)
        return Past(data, pack(data), registration)


async def test_a_snapshot_takes_the_place_of_what_is_there(tmp_path: Path) -> None:
    """At the next start, which finds nothing but it; what was there is put away; the start after that finds no more."""
    first, second = folder(tmp_path, "first"), folder(tmp_path, "second")
    wanted, other = await past_of(first, "wanted"), await past_of(second, "other")
    await lay_aside(wanted.snapshot, other.data)
    assert await other.events(second) == ["other"]
    assert take_up(other.data)
    assert await wanted.events(second) == ["wanted"]
    assert (other.data / "before-restore" / "state.db").exists()
    assert not take_up(other.data)


async def test_a_restore_that_broke_off_goes_on(tmp_path: Path) -> None:
    """Killed when the old state was gone, and the segments had moved already."""
    first, second = folder(tmp_path, "first"), folder(tmp_path, "second")
    wanted, other = await past_of(first, "wanted"), await past_of(second, "other")
    await lay_aside(wanted.snapshot, other.data)
    break_off(other.data)
    assert take_up(other.data)
    assert await wanted.events(second) == ["wanted"]


def break_off(data: Path) -> None:
    (data / "state.db").unlink()
    shutil.rmtree(data / "segments")
    (data / "restore" / "segments").rename(data / "segments")


async def test_what_no_gateway_can_begin_with_is_not_laid_aside(tmp_path: Path) -> None:
    """No archive, and a state of a version to come: refused in one line, and nothing stays behind."""
    past = await past_of(folder(tmp_path, "first"), "wanted")
    for body in (b"nonsense", of_later_version(past.snapshot, folder(tmp_path, "later"))):
        with pytest.raises(GatewayError) as caught:
            await lay_aside(body, past.data)
        assert caught.value.reason is Reason.INVALID_BODY
        assert "\n" not in caught.value.message and str(tmp_path) not in caught.value.message
    assert not take_up(past.data)
    assert not list(past.data.glob("restore*"))


def of_later_version(snapshot: bytes, where: Path) -> bytes:
    file = where / "snapshot.tar.gz"
    file.write_bytes(snapshot)
    assert unpack(file, where)
    with closing(sqlite3.connect(where / "state.db")) as connection:
        connection.execute("PRAGMA user_version = 9999")
    return pack(where)
