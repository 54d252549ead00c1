"""How far a long command is, in one line on a terminal that is written over; nothing anywhere else."""

from __future__ import annotations

import sys

from eventmill.clock import Clock

_EVERY_S = 0.1
_BAR_WIDTH = 30
_CLEAR_LINE = "\r\x1b[K"


class Progress:
    """On standard error, so that standard output stays for the result."""

    def __init__(self, noun: str, total: int, clock: Clock) -> None:
        """`total` 0: without a known end."""
        self._noun = noun
        self._total = total
        self._clock = clock
        self._shown = sys.stderr.isatty()
        self._started_s = clock.machine_s()
        self._drawn_s = 0.0
        self._done = 0

    def step(self, count: int = 1) -> None:
        self._done += count
        now_s = self._clock.machine_s()
        if self._shown and now_s - self._drawn_s >= _EVERY_S:
            self._drawn_s = now_s
            sys.stderr.write(_CLEAR_LINE + self._line(now_s - self._started_s))
            sys.stderr.flush()

    def end(self) -> None:
        """Leave the line as it was before."""
        if self._shown:
            sys.stderr.write(_CLEAR_LINE)
            sys.stderr.flush()

    def _line(self, took_s: float) -> str:
        pace = f"{self._done / max(took_s, 0.001):,.0f}/s"
        if not self._total:
            return f"  {self._done:,} {self._noun}   {pace}   Ctrl-C ends it"
        filled = min(_BAR_WIDTH, _BAR_WIDTH * self._done // self._total)
        return f"  {'█' * filled}{'░' * (_BAR_WIDTH - filled)}  {self._done:,} of {self._total:,} {self._noun}   {pace}"
