"""A resolver for tests: the names that it is told, and no others."""

from __future__ import annotations

import asyncio
import socket

from aiohttp.abc import AbstractResolver, ResolveResult


class Names(AbstractResolver):
    """Each name has the answers to its look-ups, one after the other; the last one stays. An answer is the addresses,
    in order. A name without answers is never answered."""

    def __init__(self, names: dict[str, list[tuple[str, ...]]] | None = None) -> None:
        self._names: dict[str, list[tuple[str, ...]]] = {"127.0.0.1": [("127.0.0.1",)], **(names or {})}
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        answers = self._names.get(host)
        if answers is None:
            raise socket.gaierror(socket.EAI_NONAME, "not a known name")
        if not answers:
            await asyncio.get_running_loop().create_future()
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            ResolveResult(
                hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=socket.AI_NUMERICHOST
            )
            for address in addresses
        ]

    async def close(self) -> None:
        pass
