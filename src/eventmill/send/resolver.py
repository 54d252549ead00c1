"""Name lookups for outbound dials, in daemon threads of their own.

A name server that hangs then holds up neither the loop's shared executor nor the end of the process. Judges no address:
that is `netguard`'s, at the dial.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress

from aiohttp.abc import AbstractResolver, ResolveResult

LOOKUPS_MAX = 256
"""Lookups under way at once. The connector asks once per name, however many requests wait for it."""


class ThreadResolver(AbstractResolver):
    """`getaddrinfo` without AI_ADDRCONFIG, because a host without a network must still resolve `localhost`."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(LOOKUPS_MAX)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Raises `OSError` (`socket.gaierror`) when the name has no address."""
        async with self._slots:
            loop = asyncio.get_running_loop()
            found: asyncio.Future[list[ResolveResult]] = loop.create_future()
            threading.Thread(target=_look_up, args=(loop, found, host, port, family), daemon=True).start()
            return await found

    async def close(self) -> None:
        """Nothing to release: the threads end with their lookups."""


def _look_up(
    loop: asyncio.AbstractEventLoop,
    found: asyncio.Future[list[ResolveResult]],
    host: str,
    port: int,
    family: socket.AddressFamily,
) -> None:
    def settle() -> None:
        if found.done():
            return
        if failure is None:
            found.set_result(results)
        else:
            found.set_exception(failure)

    results: list[ResolveResult] = []
    failure: OSError | None = None
    try:
        infos = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        results = [
            ResolveResult(
                hostname=host, host=str(address[0]), port=port, family=kind, proto=protocol, flags=socket.AI_NUMERICHOST
            )
            for kind, _, protocol, _, address in infos
        ]
    except OSError as error:
        failure = error
    except UnicodeError:
        failure = socket.gaierror(socket.EAI_NONAME, "not a host name")
    with suppress(RuntimeError):  # the loop closed meanwhile
        loop.call_soon_threadsafe(settle)
