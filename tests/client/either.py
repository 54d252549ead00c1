"""Both clients behind one awaited face, so that each scenario is written once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any

from eventmill.client import Client, JournalEntry, Patience, Reading, Registration
from eventmill.client.asynchronous import AsyncClient

QUICK = Patience(retries=2, timeout_s=30)


class Either:
    """`kind` is `blocking` or `asynchronous`; any other method is the client's own, awaited."""

    def __init__(self, kind: str, env: Mapping[str, str], patience: Patience = QUICK) -> None:
        self.client: Any = (Client if kind == "blocking" else AsyncClient).from_env(env, patience)
        self.is_blocking = kind == "blocking"

    async def __aenter__(self) -> Either:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        await self.call("close")

    def __getattr__(self, name: str) -> Any:
        async def called(*values: Any, **named: Any) -> Any:
            return await self.call(name, *values, **named)

        return called

    async def call(self, name: str, *values: Any, **named: Any) -> Any:
        method = getattr(self.client, name)
        return await (asyncio.to_thread(method, *values, **named) if self.is_blocking else method(*values, **named))

    async def read(self, journal: str | Registration, reading: Reading) -> AsyncIterator[JournalEntry]:
        """`read_journal`, whichever it is."""
        entries = self.client.read_journal(journal, reading)
        if not self.is_blocking:
            async for entry in entries:
                yield entry
            return
        try:
            while (found := await asyncio.to_thread(next, entries, None)) is not None:
                yield found
        finally:
            entries.close()

    async def take(self, count: int, journal: str | Registration, reading: Reading) -> list[str]:
        """The CloudEvents ids of the first events, then the reader is closed."""
        ids: list[str] = []
        entries = self.read(journal, reading)
        async for entry in entries:
            ids.append(entry["event"]["id"])
            if len(ids) == count:
                break
        await entries.aclose()  # type: ignore[attr-defined]
        return ids
