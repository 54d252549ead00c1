"""How far this machine's clock and the database's have drifted apart: measured now and then, told once.

Leases of slots and of the presidency need none of this: they are judged by the database's clock alone. Here is what
goes by wall clocks.
"""

from __future__ import annotations

import structlog

from eventmill import telemetry

_log = structlog.get_logger()
CLOCKS_DIFFER_S = 60
"""By more than this no start, and nothing expires."""
_REFUSES_S = 3600
"""Ahead by more than this no publishing. Times in a journal never fall, so that one event from tomorrow would date all
after it, of whichever node, and keep them for so much longer."""


class Drift:
    def __init__(self, database: str) -> None:
        self._database = database
        self._was_adrift = False
        self.ahead_ms = 0
        """Of this machine's clock; never more than was proven: a slow answer proves little."""

    def note(self, asked_ms: int, server_ms: int, answered_ms: int) -> None:
        """The database's time, and this machine's before and after it was asked for."""
        earliest, latest = sorted((asked_ms - server_ms, answered_ms - server_ms))
        self.ahead_ms = min(max(self.ahead_ms, earliest), latest)

    def tell(self) -> None:
        """In the log, when the clocks have come apart or together again."""
        is_adrift = bool(self.doubt())
        if is_adrift and not self._was_adrift:
            _log.warning(telemetry.CLOCK_ADRIFT, cause=self.doubt(), ahead_s=round(self.ahead_ms / 1000, 1))
        if self._was_adrift and not is_adrift:
            _log.info(telemetry.CLOCK_IN_TIME, ahead_s=round(self.ahead_ms / 1000, 1))
        self._was_adrift = is_adrift

    def doubt(self) -> str:
        """Empty as long as the clocks are near each other."""
        if abs(self.ahead_ms) <= CLOCKS_DIFFER_S * 1000:
            return ""
        which = "ahead of" if self.ahead_ms > 0 else "behind"
        return f"this machine's clock is {abs(self.ahead_ms) / 1000:.0f} s {which} that of {self._database}"

    def refusal(self) -> str:
        """Why no events are taken; empty when they are."""
        return self.doubt() if self.ahead_ms > _REFUSES_S * 1000 else ""


class DriftReads:
    """Implements `store.drift.Drifting`."""

    _drift: Drift

    def clock_ahead_ms(self) -> int:
        return self._drift.ahead_ms

    def clock_doubt(self) -> str:
        return self._drift.doubt()
