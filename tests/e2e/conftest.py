"""Fixtures of the end-to-end tests: a real gateway in dev mode and its `eventmill env`."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from tests.e2e.gateway import Gateway
from tests.e2e.harness.engines import start_server

StartGateway = Callable[..., Gateway]

_started = pytest.StashKey[list[Gateway]]()


@pytest.fixture(scope="session", autouse=True)
def _database_server() -> None:
    start_server()


@pytest.fixture
def start_gateway(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StartGateway]:
    """Start gateways with flags and variables of the test's choice: `start_gateway("--dev", variables={...})`."""
    yield from _starter(request.node, tmp_path)


@pytest.fixture(scope="module")
def start_shared_gateway(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StartGateway]:
    """As `start_gateway`, for a gateway that all tests of a module talk to."""
    yield from _starter(request.node, tmp_path_factory.mktemp("shared"))


def _starter(node: pytest.Item | pytest.Collector, directory: Path) -> Iterator[StartGateway]:
    gateways = node.stash.setdefault(_started, [])

    def start(*flags: str, variables: dict[str, str] | None = None) -> Gateway:
        gateway = Gateway(directory / f"gateway-{len(gateways)}", flags, variables or {})
        gateways.append(gateway)
        return gateway.start()

    yield start
    for gateway in gateways:
        gateway.close()


@pytest.fixture
def gateway(start_gateway: StartGateway) -> Gateway:
    """A gateway as `eventmill serve --dev` starts it, on a port and a data directory of its own."""
    return start_gateway("--dev")


@pytest.fixture
def env(gateway: Gateway) -> dict[str, str]:
    """What `eventmill env --json` prints for `gateway`."""
    return gateway.env()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test shows the end of its gateways' logs."""
    report = yield
    if report.failed:
        for gateway in [gateway for node in item.listchain() for gateway in node.stash.get(_started, [])]:
            report.sections.append((f"log of the gateway on port {gateway.port}", gateway.log_tail()))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Figures that tests recorded (`record_property`) are shown, not only asserted."""
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{report.nodeid}: {name}: {value}")
