"""The loop of a stage: its step again and again, whatever the store refuses meanwhile.

Only what the store raises is survived; any other error is a fault of ours, and ends the task that runs the stage. What
fails again and again is said once, and once more when it is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from eventmill import telemetry
from eventmill.errors import StaleVersion, StoreUnavailable

log = structlog.get_logger()

Step = Callable[[], Awaitable[object]]


class Passes:
    """The passes of one stage."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._failing_since_s: float | None = None

    async def make(self, step: Step) -> bool:
        """One pass; False when the store failed it, or another write came first."""
        now_s = asyncio.get_running_loop().time
        began_s = now_s()
        try:
            await step()
        except (StoreUnavailable, StaleVersion) as error:
            if self._failing_since_s is None:
                self._failing_since_s = began_s
                log.warning(telemetry.STAGE_FAILED, stage=self._stage, cause=error.message)
            return False
        if self._failing_since_s is not None:
            log.info(telemetry.STAGE_RESUMED, stage=self._stage, seconds=round(now_s() - self._failing_since_s, 1))
            self._failing_since_s = None
        return True


async def repeat(stage: str, step: Step, pause_s: float) -> None:
    """Never returns. A failing pass is repeated with the next one, `pause_s` later."""
    passes = Passes(stage)
    while True:
        await passes.make(step)
        await asyncio.sleep(pause_s)
