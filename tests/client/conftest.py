"""A gateway that checks tokens as production does, empty at the start of each test; clients of both kinds."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.client.either import Either
from tests.e2e.conftest import StartGateway, start_shared_gateway
from tests.e2e.gateway import Gateway, call

__all__ = ["start_shared_gateway"]


@pytest.fixture(scope="module")
def shared_gateway(start_shared_gateway: StartGateway) -> Gateway:
    return start_shared_gateway("--dev", "--auth", "strict", variables={"EVENTMILL_PUBLISH_REQUESTS_PER_5S": "0"})


@pytest.fixture(scope="module")
def printed_env(shared_gateway: Gateway) -> dict[str, str]:
    return shared_gateway.env()


@pytest.fixture
def gateway(shared_gateway: Gateway) -> Gateway:
    """Empty."""
    assert call("POST", f"{shared_gateway.url}/_dev/reset").status == 204
    return shared_gateway


@pytest.fixture
def env(gateway: Gateway, printed_env: dict[str, str]) -> dict[str, str]:
    """The variables that `eval "$(eventmill env)"` sets."""
    return {name.upper(): value for name, value in printed_env.items()}


@pytest.fixture(params=["blocking", "asynchronous"])
async def client(request: pytest.FixtureRequest, env: dict[str, str]) -> AsyncIterator[Either]:
    """One after the other."""
    async with Either(request.param, env) as client:
        yield client
