"""What a store knows of this machine's clock where machines share it: how far it is from the clock of all."""

from __future__ import annotations

from typing import Protocol


class Drifting(Protocol):
    def clock_ahead_ms(self) -> int:
        """How far this machine's wall clock is ahead of the one that all nodes share, as far as is known; negative when
        it is behind. 0 where there are no other nodes."""

    def clock_doubt(self) -> str:
        """Why the time must not be relied upon here, for people; empty when it may be. While there is a doubt nothing
        may be deleted because of its age: this clock may be the wrong one, or the other."""
