"""The gateways of these tests run on what EVENTMILL_E2E_STORE says, so that a run cannot pass on something else."""

from __future__ import annotations

import asyncio

import asyncpg

from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import call
from tests.e2e.harness.engines import MODE, NODES, store_of

_LIVING = "SELECT count(*)::integer FROM eventmill.node WHERE till > clock_timestamp()"


def test_what_the_gateway_runs_on(start_gateway: StartGateway) -> None:
    """Files in the data directory by default; else as many nodes as there should be are at work in its database."""
    gateway = start_gateway("--dev")
    assert len(gateway.processes) == NODES
    assert (gateway.data / "state.db").exists() == (MODE == "")
    if MODE:
        assert asyncio.run(_count_nodes(store_of(gateway.data))) == NODES
    for port in [gateway.port, *(port for port, _ in gateway.others)]:
        assert call("GET", f"http://127.0.0.1:{port}/readyz").status == 200


async def _count_nodes(store: str) -> int:
    connection = await asyncpg.connect(store)
    try:
        count: int = await connection.fetchval(_LIVING)
        return count
    finally:
        await connection.close()
