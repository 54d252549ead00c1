"""SQLite engine: who may open a data directory, what stops a start, and what storage failures do."""

from __future__ import annotations

import os
import resource
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from eventmill.errors import Reason, StartupError, StoreUnavailable
from eventmill.model import Credential
from eventmill.store.control import Create
from eventmill.store.seal import Sealer
from eventmill.store.sqlite.layout import Layout
from eventmill.store.sqlite.snapshot import read_documents
from eventmill.store.sqlite.store import SqliteStore
from eventmill.store.work import TraceRecord
from tests.store.builders import (
    ORG,
    START_MS,
    Stores,
    append,
    commit,
    event,
    journal,
    open_lane,
    positions,
    progress,
    trace,
    tried,
)
from tests.store.conftest import open_sqlite

pytestmark = pytest.mark.anyio


@pytest.fixture
def only(tmp_path: Path) -> Stores:
    return Stores(open_sqlite, tmp_path / "data")


async def refused_start(stores: Stores) -> str:
    with pytest.raises(StartupError) as caught:
        await SqliteStore(stores.config(), stores.clock).open()
    return str(caught.value)


async def test_one_process_at_a_time(only: Stores) -> None:
    """A second store on the directory is refused with the holder's process id; after the close it may start."""
    async with only.opened():
        message = await refused_start(only)
        assert f"in use by process {os.getpid()}" in message
        assert "--data" in message
    async with only.opened():
        pass


async def test_the_directory_is_private(only: Stores) -> None:
    """Nobody but the owner reads events and sealed secrets."""
    async with only.opened() as store:
        await append(store, [])
        assert stat.S_IMODE(only.data.stat().st_mode) == 0o700
        for path in only.data.rglob("*"):
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


async def test_a_place_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    """The message names the directory and the remedy."""
    (tmp_path / "file").write_text("")
    message = await refused_start(Stores(open_sqlite, tmp_path / "file" / "data"))
    assert "cannot be written" in message
    assert "--data" in message


@pytest.mark.parametrize("file", ["state.db", "segments/20260101-1.db"])
async def test_a_newer_format_stops_the_start(only: Stores, file: str) -> None:
    """A file of a newer version is not touched; the message says which and what to do; the lock is free again."""
    async with only.opened() as store:
        await append(store, [])
    with closing(sqlite3.connect(only.data / file)) as connection:
        connection.execute("PRAGMA user_version = 99")
    message = await refused_start(only)
    assert "format 99" in message
    assert "name another data directory" in message
    assert "in use" not in await refused_start(only)


@pytest.mark.parametrize("file", ["state.db", "segments/20260101-1.db"])
async def test_a_damaged_file_stops_the_start(only: Stores, file: str) -> None:
    """A file that is no database is named, not overwritten."""
    async with only.opened() as store:
        await append(store, [])
    (only.data / file).write_bytes(b"no database" * 1000)
    assert "cannot be opened" in await refused_start(only)
    assert (only.data / file).read_bytes().startswith(b"no database")


async def test_secrets_are_sealed_on_disk(only: Stores) -> None:
    """The secret of a stored credential is in none of the files' bytes, and opens again with the key."""
    sealer = Sealer(bytes(range(32)))
    secret = b"p8e-very-secret-value"
    async with only.opened() as store:
        sealed = sealer.seal(secret, "credential:4001")
        document = Credential(
            id="4001", org=ORG, project_id="2", workspace_id="3", name="n", client_id="c", sealed_secret=sealed
        )
        await store.write([Create("credential", ORG, "4001", document.sealed_secret.encode())])
        stored = await store.get("credential", ORG, "4001")
        assert stored is not None
        assert sealer.unseal(stored.doc.decode(), "credential:4001") == secret
        for path in only.data.rglob("*"):
            assert path.is_dir() or secret not in path.read_bytes()


async def test_documents_are_read_beside_a_running_gateway(only: Stores) -> None:
    """Another process reads the catalogue without the lock; a directory without a gateway is named."""
    async with only.opened() as store:
        await store.write([Create("project", ORG, "1", b"a"), Create("project", ORG, "2", b"b")])
        assert read_documents(only.data, "project") == [b"a", b"b"]
    assert read_documents(only.data, "project") == [b"a", b"b"]
    with pytest.raises(StartupError, match="no gateway has its data"):
        read_documents(only.data / "elsewhere", "project")


async def test_a_failed_write_stops_the_store(only: Stores) -> None:
    """After a write or sync failed nothing is acknowledged any more, publishing or else; what was acknowledged before
    is there after a restart, and nothing of the failed batch."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with only.opened() as store:
        lane = await open_lane(store)
        await append(store, [lane], 5)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
        try:
            calls = [store.append_durable([event([lane], await store.epoch(), body=b"x" * 400_000)]) for _ in range(5)]
            for call in calls:
                with pytest.raises(StoreUnavailable) as caught:
                    await call
                assert caught.value.reason is Reason.STORE_UNAVAILABLE
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        refusal = store.refusal()
        assert isinstance(refusal, StoreUnavailable)
        assert "restart" in refusal.message
        with pytest.raises(StoreUnavailable):
            await append(store, [lane])
        with pytest.raises(StoreUnavailable):
            await store.allocate("lane")
        with pytest.raises(StoreUnavailable):
            await commit(store, progress(lane, 1))
        assert await positions(store, lane) == [1, 2, 3, 4, 5]
    async with only.opened() as store:
        assert await positions(store, lane) == [1, 2, 3, 4, 5]
        assert await append(store, [lane]) == [6]


async def test_a_full_disk_refuses_until_there_is_space(only: Stores) -> None:
    """A batch that does not fit fails whole with its own reason; publishing is refused for a moment and then tried
    again; positions continue without a hole in any journal."""
    async with only.opened() as store:
        assert isinstance(store, SqliteStore)
        lane = await open_lane(store)
        await append(store, [lane], 3)
        writing = store._engine.log._connection
        assert writing is not None
        (pages,) = writing.execute("PRAGMA page_count").fetchone()
        writing.execute(f"PRAGMA max_page_count = {pages + 3}")
        epoch = await store.epoch()
        with pytest.raises(StoreUnavailable) as caught:
            await store.append_durable([event([lane], epoch, body=b"x" * 5000) for _ in range(8)])
        assert caught.value.reason is Reason.DISK_RESERVE_REACHED
        writing.execute("PRAGMA max_page_count = 1000000")
        assert isinstance(store.refusal(), StoreUnavailable)
        only.clock.at_s += 2
        assert store.refusal() is None
        assert await append(store, [lane]) == [4]
        assert await positions(store, lane) == [1, 2, 3, 4]


async def test_a_full_state_file_refuses_progress_only(only: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the state commit finds the disk full, the appends of its batch stay acknowledged, and the progress is
    refused whole: committed again it is there, once, and the trace ring turns on as if nothing had been."""
    monkeypatch.setattr("eventmill.store.sqlite.writer._STATE_RETRY_S", 0)
    async with only.opened(traces_kept=5) as store:
        assert isinstance(store, SqliteStore)
        lane = await open_lane(store)
        await commit(store, progress(lane, traces=tuple(trace(True, number) for number in range(5))))
        state = store._engine.state
        (pages,) = state.execute("PRAGMA page_count").fetchone()
        state.execute(f"PRAGMA max_page_count = {pages}")
        appended = store.append_durable([event([lane], await store.epoch())])
        large = TraceRecord(False, START_MS, (1,), b"x" * 20_000)
        work = progress(lane, 1, traces=(trace(True, 5), trace(True, 6), large), counts=(tried(2, 1),))
        with pytest.raises(StoreUnavailable) as caught:
            await commit(store, work)
        assert caught.value.reason is Reason.DISK_RESERVE_REACHED
        assert (await appended).first_seq == 1
        state.execute("PRAGMA max_page_count = 1000000")
        assert await commit(store, work) == frozenset()
        kept = [each for each in await store.traces(lane) if each.ok]
        assert kept == [trace(True, number) for number in (6, 5, 4, 3, 2)]
        assert await store.counts(lane, 0) == (2, 1)


async def test_a_disk_below_its_reserve_refuses(only: Stores) -> None:
    """Below the reserve publishing is refused with its own reason and a retry time, before anything is written."""
    async with only.opened(disk_reserve_bytes=1 << 62) as store:
        refusal = store.refusal()
        assert isinstance(refusal, StoreUnavailable)
        assert (refusal.reason, refusal.retry_after_s) == (Reason.DISK_RESERVE_REACHED, 5)
        with pytest.raises(StoreUnavailable):
            await store.append_durable([event([], 0)])
        assert (await store.head(0)).seq == 0
    async with only.opened() as store:
        assert store.refusal() is None


async def test_space_is_watched(only: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reserve is looked at once a second: falling below refuses, rising above accepts again."""
    real = os.statvfs(only.data.parent)
    free = [1 << 40]

    def statvfs(_: object) -> os.statvfs_result:
        fields = list(real)
        fields[1], fields[4] = 1, free[0]  # f_frsize, f_bavail
        return os.statvfs_result(fields)

    monkeypatch.setattr(os, "statvfs", statvfs)
    async with only.opened(disk_reserve_bytes=1000) as store:
        assert store.refusal() is None
        free[0] = 999
        assert store.refusal() is None
        only.clock.at_s += 1
        assert store.refusal() is not None
        free[0] = 1 << 40
        only.clock.at_s += 1
        assert store.refusal() is None


async def test_a_writer_that_falls_behind_refuses(tmp_path: Path) -> None:
    """The queue to the writer is bounded: beyond it publishing is refused at once instead of piling up."""
    stores = Stores(open_sqlite, tmp_path / "data")
    store = SqliteStore(stores.config(), stores.clock, Layout(queue_calls=3))
    await store.open()
    epoch = await store.epoch()
    calls = [store.append_durable([event([], epoch, body=b"x" * 100_000)]) for _ in range(200)]
    refused = [call for call in calls if call.done() and isinstance(call.exception(), StoreUnavailable)]
    assert refused
    for call in calls:
        if call not in refused:
            await call
    await store.close()


async def test_an_impossible_event_fails_alone_in_time(only: Stores) -> None:
    """An event that cannot be stored fails its batch and nothing else: the writer goes on, and what the batch would
    have introduced (here the event's origin) is introduced by the next one."""
    async with only.opened() as store:
        lane = await open_lane(store)
        with pytest.raises(StoreUnavailable):
            await append(store, [1 << 40])
        assert store.refusal() is None
        assert await append(store, [lane]) == [1]
        assert len(await journal(store, lane)) == 1


async def test_commits_are_synced(only: Stores) -> None:
    """Both files are written with a sync per commit, into a write-ahead log."""
    async with only.opened() as store:
        assert isinstance(store, SqliteStore)
        await append(store, [])
        for connection in (store._engine.state, store._engine.log._connection):
            assert connection is not None
            assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
