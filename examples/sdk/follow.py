"""Reads the journal of a registration from where it stopped last, and goes on with new events when some have expired.

eval "$(eventmill env)"; python examples/sdk/follow.py REGISTRATION_ID position.json
"""

from __future__ import annotations

import asyncio
import sys

from eventmill.client import AsyncClient, FileCheckpoint, Reading


async def main(registration_id: str, file: str, *, until_idle: bool) -> None:
    reading = Reading(checkpoint=FileCheckpoint(file), on_expired="oldest", until_idle=until_idle)
    async with AsyncClient.from_env() as client:
        registration = await client.get_registration(registration_id)
        async for entry in client.read_journal(registration, reading):
            print(entry["event"]["data"])


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], until_idle="--until-idle" in sys.argv))
