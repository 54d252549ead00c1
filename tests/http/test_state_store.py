"""The key cache of the JavaScript SDK's signature verifier: it answers, and nobody can put another key into it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.http.world import DELIVERY_KEY, TOKEN_KEY, key_pair, running

pytestmark = pytest.mark.anyio

BASIC = {"authorization": "Basic ZXZlbnRtaWxsOmV2ZW50bWlsbA=="}


def place(key_id: str = DELIVERY_KEY) -> str:
    return f"/containers/1001-shop-stage/data/pub-key-{key_id}.pem"


async def test_a_key_is_read(tmp_path: Path) -> None:
    """The verifier finds our public key at its first look, as text that lasts a day."""
    async with running(tmp_path) as world:
        answer = await world.call("GET", place(), headers=BASIC)
        machine_ms = world.parts.clock.machine_ms()

    assert (answer.status, answer.body.decode()) == (200, key_pair()[1])
    assert 0 < int(answer.header("x-key-expires-ms") or 0) - machine_ms <= 24 * 3600 * 1000


@pytest.mark.parametrize("key", ["pub-key-other.pem", "anything", f"pub-key-{TOKEN_KEY}.pem"])
async def test_other_names(key: str, tmp_path: Path) -> None:
    """404, which the verifier takes for "not cached yet"; the token key is no delivery key."""
    async with running(tmp_path) as world:
        read = await world.call("GET", f"/containers/ns/data/{key}", headers=BASIC)
        written = await world.call("PUT", f"/containers/ns/data/{key}", b"x", headers=BASIC)

    assert (read.status, written.status) == (404, 404)


async def test_writing_what_is_there(tmp_path: Path) -> None:
    """The verifier may put back what it fetched."""
    async with running(tmp_path) as world:
        answer = await world.call("PUT", place() + "?ttl=60", key_pair()[1].encode(), headers=BASIC)

    assert answer.status == 200


@pytest.mark.parametrize(("value", "status"), [(b"", 403), (b"another key", 403), (b"x" * 20_000, 413)])
async def test_no_other_key_gets_in(value: bytes, status: int, tmp_path: Path) -> None:
    """Whoever could write another key here could sign deliveries that the verifier accepts."""
    async with running(tmp_path) as world:
        refused = await world.call("PUT", place(), value, headers=BASIC)
        read = await world.call("GET", place(), headers=BASIC)

    assert refused.status == status
    assert read.body.decode() == key_pair()[1]
