"""The command line against a running gateway: found by its data directory and port."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.e2e.gateway import Gateway
from tests.e2e.harness.process import Finished, run_eventmill


async def run(gateway: Gateway, *words: str) -> Finished:
    where = ("--data", str(gateway.data), "--port", str(gateway.port))
    return await asyncio.to_thread(lambda: run_eventmill(*words, *where, directory=gateway.data.parent))


async def ok(gateway: Gateway, *words: str) -> str:
    """Standard output of a command that has to succeed."""
    done = await run(gateway, *words)
    assert done.code == 0, done.message
    return done.output


async def read(gateway: Gateway, *words: str) -> Any:
    return json.loads(await ok(gateway, *words, "--json"))
