"""Passwords on the command line: out of sight for others, and out of what is shown to be copied."""

from __future__ import annotations

import subprocess
import sys

import pytest

from eventmill.cli.hidden_arguments import without_passwords

SCRIPT = """
import sys
from pathlib import Path
from eventmill.cli.hidden_arguments import hide_passwords
hide_passwords(sys.argv)
print(sys.argv[1])
print(Path("/proc/self/cmdline").read_bytes().split(bytes(1))[-3:-1])
"""


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://user:se%40cret@db:5432/x", "postgresql://user:***@db:5432/x"),
        ("postgresql://user:s/e:c@ret@db/x", "postgresql://user:***@db/x"),
        (
            "postgresql://user@db/x?password=secret&sslmode=require",
            "postgresql://user@db/x?password=***&sslmode=require",
        ),
        ("postgresql://user@db/x", "postgresql://user@db/x"),
        ("http://127.0.0.1:8080/user:name", "http://127.0.0.1:8080/user:name"),
    ],
)
def test_what_is_shown_has_no_password(url: str, shown: str) -> None:
    """However it was written, and whether it was written as it should be; what is none stays."""
    assert without_passwords(url) == shown


def test_others_do_not_see_it() -> None:
    """The program reads it still; the list of processes has stars."""
    command = [sys.executable, "-c", SCRIPT, "postgresql://user:secret@db/x", "last"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    read, listed = done.stdout.splitlines()
    assert read == "postgresql://user:secret@db/x"
    assert listed == "[b'postgresql://user:******@db/x', b'last']"
