"""Sealing of secrets."""

from __future__ import annotations

import base64
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from eventmill.clock import SystemClock
from eventmill.config import Config
from eventmill.errors import StartupError
from eventmill.flow.keyring import ensure_keys, open_sealer
from eventmill.ids import IdSource
from eventmill.store.seal import Sealer, load_seal_key, read_seal_key
from eventmill.store.sqlite.store import SqliteStore

pytestmark = pytest.mark.anyio

KEY = bytes(range(32))


def test_a_sealed_value_opens_with_its_context_only() -> None:
    """A sealed value copied into another document, or opened with another key, does not open."""
    sealed = Sealer(KEY).seal(b"secret", "credential:1")
    assert Sealer(KEY).unseal(sealed, "credential:1") == b"secret"
    for sealer, context in ((Sealer(KEY), "credential:2"), (Sealer(bytes(32)), "credential:1")):
        with pytest.raises(StartupError, match="cannot be opened with this key"):
            sealer.unseal(sealed, context)


@pytest.mark.parametrize("text", ["", "plain", "s2.abcd", "s1.", "s1.????", "s1.QUJD"])
def test_what_was_not_sealed_does_not_open(text: str) -> None:
    """Plain, foreign and damaged texts are refused, not returned."""
    with pytest.raises(StartupError):
        Sealer(KEY).unseal(text, "x")


def test_sealing_twice_differs() -> None:
    """Equal secrets are not recognisable as equal."""
    assert Sealer(KEY).seal(b"a", "x") != Sealer(KEY).seal(b"a", "x")


def test_the_key_file_is_made_once_and_private(tmp_path: Path) -> None:
    """The first start makes the key, readable by its owner only; the next ones read the same."""
    config = Config(data=str(tmp_path / "data"))
    key = load_seal_key(config)
    assert len(key) == 32
    assert load_seal_key(config) == key
    path = tmp_path / "data" / "seal.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["seal.key"]


def test_first_starts_at_once_agree(tmp_path: Path) -> None:
    """Nodes that make the key in one directory at the same time, with the same process id in their containers or not,
    all go on with the same one, and leave nothing else behind."""
    config = Config(data=str(tmp_path / "data"))
    with ThreadPoolExecutor(8) as threads:
        keys = set(threads.map(lambda _: load_seal_key(config), range(32)))
    assert len(keys) == 1
    assert [each.name for each in (tmp_path / "data").iterdir()] == ["seal.key"]


def test_reading_makes_no_key(tmp_path: Path) -> None:
    """A command, or a node that comes to a database in use, must not go on with a key of its own."""
    with pytest.raises(StartupError, match=r"seal\.key does not exist; set EVENTMILL_SEAL_KEY"):
        read_seal_key(Config(data=str(tmp_path / "data"), store="postgresql://x"))
    assert not (tmp_path / "data").exists()


async def test_another_key_stops_the_start(tmp_path: Path) -> None:
    """Before anything is sealed with it; the message says which of the two is meant, and what to do."""
    config = Config(data=str(tmp_path / "data"))
    store = SqliteStore(config, SystemClock())
    await store.open()
    try:
        sealer = await open_sealer(store, config)
        await ensure_keys(store, sealer, SystemClock(), IdSource())
        again = await open_sealer(store, config)
        assert again.unseal(sealer.seal(b"secret", "x"), "x") == b"secret"
        other = Config(data=config.data, seal_key=base64.b64encode(KEY).decode())
        with pytest.raises(StartupError, match="sealed with another key than that of EVENTMILL_SEAL_KEY"):
            await open_sealer(store, other)
    finally:
        await store.close()


def test_a_configured_key_wins(tmp_path: Path) -> None:
    """With EVENTMILL_SEAL_KEY no file is made."""
    config = Config(data=str(tmp_path), seal_key=base64.b64encode(KEY).decode())
    assert load_seal_key(config) == KEY
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["not base64!", base64.b64encode(b"short").decode()])
def test_an_unusable_key_stops_the_start(tmp_path: Path, text: str) -> None:
    """The message names where the key came from."""
    with pytest.raises(StartupError, match="EVENTMILL_SEAL_KEY"):
        load_seal_key(Config(data=str(tmp_path), seal_key=text))
    (tmp_path / "seal.key").write_text(text)
    with pytest.raises(StartupError, match=r"seal\.key"):
        load_seal_key(Config(data=str(tmp_path)))
