"""A running emulator as one file, and another one that begins with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.gateway import Gateway, auth_headers, call


@pytest.mark.on_files  # a seed is a copy of the files
def test_an_emulator_begins_where_another_was(tmp_path: Path) -> None:
    """What the first holds the second holds, credentials and tokens included; a second start changes nothing."""
    place = "/events/1001/2001/3001/providers"
    first = Gateway(tmp_path / "first", ("--dev",))
    try:
        first.start()
        headers = {**auth_headers(first.env()), "content-type": "application/json"}
        assert call("POST", first.url + place, headers, {"label": "Warehouse"}).status == 201
        taken = call("GET", f"{first.url}/_dev/snapshot")
        assert (taken.status, taken.headers["content-type"]) == (200, "application/gzip")
    finally:
        first.close()
    file = tmp_path / "snapshot.tar.gz"
    file.write_bytes(taken.body)
    second = Gateway(tmp_path / "second", ("--dev", "--seed", str(file)))
    try:
        for _ in range(2):
            second.start()
            listed = call("GET", f"{second.url}/events/1001/providers", headers)
            assert "Warehouse" in listed.body.decode()
            second.stop()
    finally:
        second.close()
