"""docs/fidelity.md shows the suites of the official clients that there are, each in its pinned version."""

from __future__ import annotations

from tests.e2e import test_aio_cli, test_java_sdk, test_js_sdk
from tests.e2e.harness.fidelity import PAGE, tables_of

SUITES = {
    test_js_sdk.SDK: ("Providers and event metadata", "Publishing and journal", "Registrations", "Signatures"),
    test_java_sdk.IDENTITY: ("Tokens and signatures",),
    test_java_sdk.SERVICES: ("Providers and event metadata", "Publishing and journal"),
    test_aio_cli.CLI: (
        "Console",
        "Console: creation and download",
        "Event metadata",
        "Login",
        "Providers",
        "Registrations",
    ),
    test_aio_cli.EVENTS_PLUGIN: ("Hooks of `aio app`",),
}


def test_page_shows_the_suites_that_there_are() -> None:
    """Also where a client is not installed, so that a new version cannot leave the page behind."""
    expected = {(client.heading, f"### {title}") for client, titles in SUITES.items() for title in titles}
    tables = tables_of(PAGE.read_text("utf-8"))
    assert set(tables) == expected
    assert all(tables.values())
