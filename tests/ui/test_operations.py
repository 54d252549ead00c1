"""Operations and the emulator: how they look, and what can be done there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.e2e.gateway import Gateway, call
from tests.ui.browser import NARROW, WIDE, Theme, tab
from tests.ui.conftest import PASSWORD
from tests.ui.lived import Lived, lived
from tests.ui.stocked import stock
from tests.ui.test_signing_in import sign_in
from tests.ui.webhook import webhook

ORG = "/ui/orgs/1001"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    """With events, a mail, somebody who may sign in, and faults that never strike: nothing is sent any more."""
    gateway = Gateway(tmp_path_factory.mktemp("operated") / "data", ("--dev",))
    try:
        gateway.start()
        with lived(gateway) as made:
            fault = {"registration_id": made.traced.ids["bus"], "kind": "latency", "latency_ms": 250, "times": 3}
            assert call("POST", f"{gateway.url}/_dev/faults", body=fault).status == 201
            user = {"name": "ann@acme.example", "password": PASSWORD, "role": "viewer", "organizations": ["1001"]}
            headers = {**made.traced.stocked.headers, "content-type": "application/json"}
            assert call("POST", f"{gateway.url}/console/users", headers, user).status == 201
            yield made
    finally:
        gateway.close()


def pages(running: Lived) -> dict[str, str]:
    """By a name for their pictures."""
    mails = running.api("/_dev/mailbox")
    return {
        "operations": f"{ORG}/operations",
        "keys": f"{ORG}/operations/keys",
        "changes": f"{ORG}/operations/changes",
        "settings": f"{ORG}/operations/settings",
        "settings-all": f"{ORG}/operations/settings?all=1",
        "users": f"{ORG}/operations/users",
        "emulator": f"{ORG}/emulator",
        "mail": f"{ORG}/emulator/mails/{mails[0]['id']}",
    }


@pytest.mark.parametrize(
    ("size", "theme"),
    [(WIDE, "light"), (WIDE, "dark"), (NARROW, "light"), (NARROW, "dark")],
    ids=["wide-light", "wide-dark", "narrow-light", "narrow-dark"],
)
def test_every_page_can_be_looked_at(browser: Browser, running: Lived, size: tuple[int, int], theme: Theme) -> None:
    """axe finds no serious fault, nothing sticks out, no script fails; the pictures are in `.make/screens`."""
    with tab(browser, running.gateway.url, size=size, theme=theme) as opened:
        for name, path in pages(running).items():
            opened.open(path)
            opened.check_fits()
            opened.check_accessible()
            opened.shoot(f"{name}-{size[0]}-{theme}")


def test_everything_can_be_read_without_scripts(browser: Browser, running: Lived) -> None:
    """Lanes by their wait, what was changed and by whom, the mail's text."""
    with tab(browser, running.gateway.url, script=False) as opened:
        for path in pages(running).values():
            assert opened.open(path).locator("h1").count() == 1, path
        page = opened.open(f"{ORG}/operations")
        assert page.get_by_role("region", name="Lanes").get_by_role("link", name="Stock to ERP").is_visible()
        page = opened.open(f"{ORG}/operations/changes")
        assert page.get_by_text("/events/1001/2001/3001/registrations").first.is_visible()
        page = opened.open(pages(running)["mail"])
        assert page.get_by_text("UNSTABLE").first.is_visible()


def test_the_clock_and_faults_are_moved_by_forms(browser: Browser, dev: Gateway) -> None:
    """A fault is set and listed, a delivery suffers it, and an hour later the retry has arrived."""
    with webhook() as hook, tab(browser, dev.url) as opened:
        stocked = stock(dev, hook)
        page = opened.open(f"{ORG}/emulator")
        assert page.get_by_text("Empty. Mails go here").is_visible()
        page.get_by_label("Status").fill("503")
        page.get_by_role("button", name="Set fault").click()
        page.get_by_text("status 503").wait_for()
        opened.expected = (400,)
        page.get_by_label("Attempts").fill("many")
        page.get_by_role("button", name="Set fault").click()
        page.get_by_role("alert").wait_for()
        stocked.publish("suffers", {"sku": "A1"})
        opened.open(f"{ORG}/search?status=scheduled")
        assert page.locator("main tbody tr").count() == 1
        opened.open(f"{ORG}/emulator")
        assert page.get_by_text("status 503").count() == 0
        page.get_by_role("button", name="1 hour").click()
        page.get_by_role("status").wait_for()
        opened.open(f"{ORG}/search?status=delivered")
        assert page.locator("main tbody tr").count() == 1


def test_starting_afresh_is_asked_about(browser: Browser, dev: Gateway) -> None:
    """And leaves nothing but the tenants."""
    with webhook() as hook, tab(browser, dev.url) as opened:
        stock(dev, hook)
        page = opened.open(f"{ORG}/emulator")
        page.on("dialog", lambda dialog: dialog.accept())
        page.get_by_role("button", name="Reset").click()
        page.get_by_role("status").wait_for()
        page = opened.open(f"{ORG}/registrations")
        assert page.get_by_text("No registration yet").is_visible()


def test_a_snapshot_is_restored(browser: Browser, dev: Gateway, tmp_path: Path) -> None:
    """What is none is refused beside the file; a snapshot brings back what a fresh start took."""
    with webhook() as hook, tab(browser, dev.url) as opened:
        stock(dev, hook)
        snapshot, other = tmp_path / "snapshot.tar.gz", tmp_path / "other.gz"
        snapshot.write_bytes(call("GET", f"{dev.url}/_dev/snapshot").body)
        other.write_bytes(b"nonsense")
        assert call("POST", f"{dev.url}/_dev/reset").status == 204
        page = opened.open(f"{ORG}/emulator")
        page.on("dialog", lambda dialog: dialog.accept())
        opened.expected, opened.awaited = (400,), "/readyz"
        page.get_by_label("Snapshot to restore").set_input_files(other)
        page.get_by_role("button", name="Restore", exact=True).click()
        page.get_by_text("That did not work. the body cannot be read as a snapshot").wait_for()
        page.get_by_label("Snapshot to restore").set_input_files(snapshot)
        page.get_by_role("button", name="Restore", exact=True).click()
        page.wait_for_url(f"{dev.url}{ORG}", timeout=60_000)
        page = opened.open(f"{ORG}/registrations")
        assert page.get_by_role("link", name="Stock to ERP").is_visible()


def test_people_are_added_and_change_their_passwords(browser: Browser, strict: Gateway) -> None:
    """By an admin; the new one signs in, and has another password from then on."""
    with tab(browser, strict.url) as opened:
        page = sign_in(opened, "admin")
        opened.open(f"{ORG}/operations/users")
        page.get_by_label("Name", exact=True).fill("ben")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Add").click()
        page.get_by_role("status").wait_for()
        assert page.get_by_role("combobox", name="Role of ben").input_value() == "viewer"
    with tab(browser, strict.url) as opened:
        page = sign_in(opened, "ben")
        opened.open("/ui/password")
        opened.check_accessible()
        opened.shoot("password-1280-light")
        page.get_by_label("Present password").fill(PASSWORD)
        page.get_by_label("New password").fill("another long one")
        page.get_by_role("button", name="Change password").click()
        page.get_by_role("status").wait_for()


def test_a_viewer_is_offered_no_change(browser: Browser, strict: Gateway) -> None:
    """Nor settings and users, which are the operator's."""
    with tab(browser, strict.url) as opened:
        page = sign_in(opened, "viewer")
        for path in ("operations", "operations/keys", "operations/changes", "emulator"):
            opened.open(f"{ORG}/{path}")
            assert page.locator("main form[method=post], main form[data-upload]").count() == 0, path
            assert page.get_by_role("link", name="Settings").count() == 0, path
