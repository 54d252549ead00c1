"""Filters take turns with whatever else the process does, however much they have to look at."""

from __future__ import annotations

import asyncio
import json

from eventmill.core.ruler import compile_filter
from eventmill.flow.filters import LaneFilters
from eventmill.model import Lane


def test_others_get_their_turn() -> None:
    """While a thousand values are held against hundreds of filters, some of them wanting their own view of the event,
    another task goes on; and the verdicts are those of each filter."""
    networks = {Lane(at): compile_filter(f'{{"data":{{"x":[{{"cidr":"10.{at}.0.0/16"}}]}}}}') for at in range(200)}
    text = '{"recipientclientid":["c7"],"data":{"x":[{"suffix":"q998"}]}}'
    recipients = {Lane(200 + at): compile_filter(text) for at in range(20)}
    clients = {lane: f"c{lane - 200}" for lane in recipients}
    filters = LaneFilters([Lane(999)], {**networks, **recipients}, clients)
    body = json.dumps({"data": {"x": [*[f"q{at}" for at in range(999)], "10.7.8.9"]}})[:-1].encode()

    async def run() -> tuple[int, tuple[Lane, ...]]:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        found = await filters.passing(body, legacy_fields=True)
        counting.cancel()
        return turns, found

    turns, found = asyncio.run(run())
    assert turns > 1
    assert found == (Lane(7), Lane(207), Lane(999))
