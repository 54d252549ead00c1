"""Passwords, and waiting after failed sign-ins: `web.passwords`, `ui.lockout`; where forms lead: `ui.pages.home`."""

from __future__ import annotations

import pytest

from eventmill.ui.lockout import Lockout
from eventmill.ui.pages.home import safe_path
from eventmill.web.passwords import NOBODYS, check_password, hash_password


def test_passwords_are_checked_by_their_hash() -> None:
    """Any text; two with the same password differ by their salt; nobody's fits nothing."""
    stored = hash_password("pässword \u202e", b"0" * 16)
    assert check_password("pässword \u202e", stored) and not check_password("password", stored)
    assert stored != hash_password("pässword \u202e", b"1" * 16)
    assert not check_password("", NOBODYS)


def test_each_failure_beyond_the_limit_waits_longer() -> None:
    """From ten seconds, doubling, up to the setting; a success of the name starts afresh."""
    lockout, keys = Lockout(3, 60), ("name ann", "address 10.0.0.1")
    waits = []
    for _ in range(7):
        lockout.failed(keys, 100.0)
        waits.append(lockout.wait_s(keys, 100.0))
    assert waits == [0, 0, 10, 20, 40, 60, 60]
    assert lockout.wait_s(("name bob", "address 10.0.0.1"), 100.0) == 60
    assert lockout.wait_s(keys, 161.0) < 0
    lockout.succeeded("name ann")
    assert lockout.wait_s(("name ann",), 100.0) <= 0


@pytest.mark.parametrize(
    "wanted",
    ["", "/", "//evil.example", "https://evil.example", "/ui", "/ui//evil", "/ui/\\evil", "/ui/\r\nx: y", "/uix/", "é"],
)
def test_nobody_is_sent_elsewhere(wanted: str) -> None:
    """Whatever a form or a link says: a page of the console, or its first one."""
    assert safe_path(wanted) == "/ui/"


def test_pages_are_kept() -> None:
    """With their query."""
    assert safe_path("/ui/orgs/1001/search?q=a//b") == "/ui/orgs/1001/search?q=a//b"
