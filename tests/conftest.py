"""What every test starts from: no settings from the developer's shell, asyncio, bounded property tests."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("eventmill", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("eventmill")

KEPT_VARIABLES = {"EVENTMILL_E2E", "EVENTMILL_E2E_STORE", "EVENTMILL_HTTP_STORE", "EVENTMILL_TEST_PG_BIN"}
"""`EVENTMILL_E2E=full` asks the end-to-end tests for their full numbers, `EVENTMILL_E2E_STORE` says what they run on;
`EVENTMILL_HTTP_STORE=postgres` has those of the wire API run on PostgreSQL, of which the last names a directory."""


def pytest_configure() -> None:
    for name in list(os.environ):
        if name.startswith("EVENTMILL_") and name not in KEPT_VARIABLES:
            del os.environ[name]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
