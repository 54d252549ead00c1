"""The loop of a stage: its step again and again, whatever the store refuses meanwhile.

Only what the store raises is survived; any other error is a fault of ours, and ends the task that runs the stage.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from eventmill import telemetry
from eventmill.errors import StaleVersion, StoreUnavailable

log = structlog.get_logger()

Step = Callable[[], Awaitable[object]]


async def repeat(stage: str, step: Step, pause_s: float) -> None:
    """Never returns. A failing pass is repeated with the next one, `pause_s` later."""
    while True:
        await try_step(stage, step)
        await asyncio.sleep(pause_s)


async def try_step(stage: str, step: Step) -> None:
    """One pass; when the store fails it, or another write came first, that is logged."""
    try:
        await step()
    except (StoreUnavailable, StaleVersion) as error:
        log.warning(telemetry.STAGE_FAILED, stage=stage, cause=error.message)
