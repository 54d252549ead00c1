"""The one place where tests poll, for states that give no signal."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")
_PAUSE_S = 0.02


@overload
async def eventually(look: Callable[[], Awaitable[T | None]], what: str, within_s: float = ...) -> T: ...
@overload
async def eventually(look: Callable[[], T | None], what: str, within_s: float = ...) -> T: ...
async def eventually(look: Callable[[], Any], what: str, within_s: float = 30.0) -> Any:
    """Look until the result is truthy and return it; `what` names what never came."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + within_s
    while True:
        found = look()
        result = await found if inspect.isawaitable(found) else found
        if result:
            return result
        assert loop.time() < deadline_s, f"not within {within_s} s: {what} (last seen: {result!r})"
        await asyncio.sleep(_PAUSE_S)
