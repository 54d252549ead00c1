"""The pytest plugin: a gateway, a client and a webhook as fixtures. Found by pytest once Eventmill is installed.

What the fixtures can do is in `eventmill.testing`, which is loaded when a test asks for one; see `docs/testing.md`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from eventmill.client import Client
    from eventmill.testing.gateway import Gateway
    from eventmill.testing.hook import Hook

_started = pytest.StashKey[list["Gateway"]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("eventmill")
    group.addoption(
        "--eventmill-scope",
        choices=("function", "session"),
        help="A gateway for each test, or one for all of them; as the setting eventmill_scope.",
    )
    parser.addini("eventmill_scope", "function (default): a gateway for each test; session: one for all", default="")
    parser.addini("eventmill_serve_flags", "more flags of `eventmill serve`", type="args", default=[])


def _scope(fixture_name: str, config: pytest.Config) -> str:
    found = str(config.getoption("--eventmill-scope") or config.getini("eventmill_scope") or "function")
    if found not in ("function", "session"):
        raise pytest.UsageError(f"eventmill_scope is {found!r}; expected function or session")
    return found


@pytest.fixture(scope=_scope)  # type: ignore[arg-type]
def eventmill(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway in dev mode, on a free port, its data in a temporary directory."""
    from eventmill.testing.gateway import Gateway

    flags = request.config.getini("eventmill_serve_flags")
    with Gateway.started(tmp_path_factory.mktemp("eventmill") / "data", *flags) as gateway:
        stash = request.session.stash.setdefault(_started, [])
        stash.append(gateway)
        yield gateway
        stash.remove(gateway)


@pytest.fixture
def eventmill_client(eventmill: Gateway) -> Client:
    """A client of that gateway: `eventmill.client`, with the gateway's tenant."""
    return eventmill.client


@pytest.fixture
def eventmill_env(eventmill: Gateway, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The variables of `eventmill env`, set for the length of the test: for code that reads its environment."""
    for name, value in eventmill.env.items():
        monkeypatch.setenv(name, value)
    return eventmill.env


@pytest.fixture
def eventmill_hook() -> Iterator[Hook]:
    """A webhook that passes challenges, answers 200, and keeps what comes."""
    from eventmill.testing.hook import Hook

    with Hook.running() as hook:
        yield hook


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test shows the end of the gateway's log."""
    report = yield
    if report.failed:
        for gateway in item.session.stash.get(_started, []):
            report.sections.append((f"log of the gateway at {gateway.url}", gateway.log()))
    return report
