"""Copies write-ahead logs into their databases, off the acknowledgement path.

A thread does passive checkpoints, which block nobody. Under steady load they never quite catch up, so a log would grow
without bound; when one is too long the writer thread restarts it between two commits, with little left to copy.
"""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import structlog

from eventmill import telemetry
from eventmill.store.sqlite.connect import PAGE_BYTES, open_existing
from eventmill.store.sqlite.engine import Engine
from eventmill.store.sqlite.layout import Layout

_log = structlog.get_logger()
_STATE_COMMIT_BYTES = 16 * 1024
"""A guess at what a state commit writes; it only paces the checkpoints."""


class Checkpointer:
    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._thread = threading.Thread(target=self._run, name="store-checkpointer", daemon=True)
        self._wake = threading.Event()
        self._busy = threading.Lock()
        """Held during a checkpoint: two at once would wait for each other."""
        self._targets: tuple[Path, ...] = ()
        self._too_long: set[Path] = set()
        self._connections: dict[Path, sqlite3.Connection] = {}
        self._stopping = False
        self._seen_bytes = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()
        self._thread.join()

    def pace(self, engine: Engine) -> None:
        """Called by the writer thread between commits: ask for a checkpoint, or restart a log that is too long."""
        written = engine.log.written_bytes + engine.state_commits * _STATE_COMMIT_BYTES
        if written - self._seen_bytes >= self._layout.wal_checkpoint_bytes:
            self._seen_bytes = written
            self._targets = engine.open_files()
            self._wake.set()
        if self._too_long and self._busy.acquire(blocking=False):
            try:
                too_long, self._too_long = self._too_long, set()
                engine.restart_wals(too_long)
            finally:
                self._busy.release()

    def _run(self) -> None:
        while not self._stopping:
            self._wake.wait()
            self._wake.clear()
            with self._busy:
                self._checkpoint(self._targets)
        for path in list(self._connections):
            self._connections.pop(path).close()

    def _checkpoint(self, targets: tuple[Path, ...]) -> None:
        for path in set(self._connections).difference(targets):
            self._finish(path)
        for path in targets:
            try:
                if path not in self._connections:
                    self._connections[path] = open_existing(path)
                _, frames, _ = self._connections[path].execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            except sqlite3.Error as error:
                # The commits are safe in the log; the next round tries again, and a sick disk stops the writer itself.
                _log.warning(telemetry.STAGE_FAILED, stage="checkpoint", file=str(path), error=str(error))
                continue
            if frames * PAGE_BYTES > self._layout.wal_bytes_max:
                self._too_long.add(path)

    def _finish(self, path: Path) -> None:
        """The last checkpoint of a segment that was rolled (or dropped, which then costs nothing)."""
        connection = self._connections.pop(path)
        try:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error as error:
            _log.warning(telemetry.STAGE_FAILED, stage="checkpoint", file=str(path), error=str(error))
        connection.close()
