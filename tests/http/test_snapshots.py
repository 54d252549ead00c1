"""A data directory as one file: taken beside a running store, and good to begin another with."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from eventmill.errors import StartupError
from eventmill.store.sqlite.archive import pack, unpack
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
