"""Everything that `make soak` does to a cluster at length, in twenty seconds: what was acknowledged is there and came.

Real nodes over a primary and a synchronous standby. What happened is judged by `harness.history`, which knows nothing
of the gateway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos import strikes
from tests.chaos.trial import trial

pytestmark = pytest.mark.anyio

LEASE_S = 6.0
"""Shorter than by default. A node that stands still for longer has lost its slots, and finds that out afterwards."""


async def test_a_cluster_under_fire(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """One node stands still past its lease while others are killed, cut off and lose connections in mid-commit, and the
    primary is gone: every acknowledged event is in each matching journal once, in one order, and was delivered; only
    the owner of a slot moved its cursors, and publishers were told nothing but 200 and 503."""
    async with trial(tmp_path, seed=6, lease_s=LEASE_S) as one:
        paused = asyncio.create_task(strikes.pause(one.cluster, 0, LEASE_S + 3))
        one.nodes.kill(1)
        ended = await strikes.terminate_connections(one.primary, 2.0, one.chance)
        ended += await strikes.drop_commits(one.relays[2], 2.0, share=0.03)
        await one.nodes.until_all_run()
        await strikes.cut_off(one.ways[2], 2.0)
        await one.fail_over(after_s=0.5)
        await paused
        verdict = await one.end(within_s=30.0)
        record_property("chaos", str(verdict))
        assert not verdict.faults, f"{verdict}\n{one.cluster.log_tails()}"
        assert not one.wrong_moves
        assert set(one.load.answers) <= {200, 503, 0}, one.answers
        assert ended, "no connection was lost: this proved less than it says"
