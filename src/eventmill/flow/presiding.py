"""What one process does for all: a stage's step is made only while this process presides.

Each of these stages also bears being run by two processes for a moment: what it writes is refused when another was
first.
"""

from __future__ import annotations

from typing import Protocol

from eventmill.flow.stage import Step


class Presided(Protocol):
    async def presidency(self) -> int: ...


def while_presiding(store: Presided, step: Step) -> Step:
    async def step_or_not() -> None:
        if await store.presidency():
            await step()

    return step_or_not
