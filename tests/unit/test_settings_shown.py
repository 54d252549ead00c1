"""Settings as the console shows them."""

from __future__ import annotations

import pytest

from eventmill.config import Config
from eventmill.ui.settings_shown import shown_settings


@pytest.mark.parametrize(
    "store",
    [
        "postgresql://eventmill:secret@db/events",
        "postgresql://eventmill:se,secret@db/events",
        "postgresql://eventmill:se secret@db/events",
        "postgresql://eventmill:s@c/secret@db/events",
        "postgresql://db/events?user=eventmill&password=my secret",
        "postgresql://db/events?password=secret&sslpassword=secret",
    ],
)
def test_no_part_of_a_password_is_shown(store: str) -> None:
    """However it is written; the database can still be told."""
    (shown,) = [each.value for each in shown_settings(Config(store=store), {}) if each.name == "store"]
    assert "secret" not in shown
    assert "db/events" in shown
