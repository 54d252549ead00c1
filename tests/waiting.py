"""The one place where tests poll, for states that give no signal."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")
_PAUSE_S = 0.02
_WITHIN_S = 120.0 if os.environ.get("EVENTMILL_E2E_STORE") == "cluster" else 30.0
"""Longer where a dozen processes share the machine."""


@overload
async def eventually(look: Callable[[], Awaitable[T | None]], what: str, within_s: float = ...) -> T: ...
@overload
async def eventually(look: Callable[[], T | None], what: str, within_s: float = ...) -> T: ...
async def eventually(look: Callable[[], Any], what: str, within_s: float = _WITHIN_S) -> Any:
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
