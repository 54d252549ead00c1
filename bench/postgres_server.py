"""A PostgreSQL server of a bench, in the temporary directory, with settings of a small production server."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from processes import cpu_of_tree_s

from tests.e2e.harness.database import DatabaseServer

SETTINGS = {
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "wal_keep_size": "0",
    "autovacuum_naptime": "1min",
}
"""fsync and synchronous_commit stay on."""
_CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'eventmill%'"


class BenchServer:
    """With one database, which is empty at first."""

    def __init__(self, server: DatabaseServer) -> None:
        self._server = server
        self.dsn = server.dsn

    def cpu_s(self) -> float:
        """Of all its processes so far."""
        return cpu_of_tree_s(int((self._server.data / "postmaster.pid").read_text().split()[0]))

    def connections(self) -> int:
        """Of gateways."""
        return int(asyncio.run(self._server.execute(_CONNECTIONS)))


@contextmanager
def postgres() -> Iterator[BenchServer]:
    with DatabaseServer.new("bench") as server:
        server.settings |= SETTINGS
        server.start()
        server.make_database()
        yield BenchServer(server)
