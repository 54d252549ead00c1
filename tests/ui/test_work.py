"""What people do: a first provider, an event type, an event; a credential and its secret; projects that come and go."""

from __future__ import annotations

import json

from playwright.sync_api import Browser

from tests.e2e.gateway import Gateway
from tests.ui.browser import tab
from tests.ui.content import CODE, HOSTILE


def test_a_newcomer_publishes(browser: Browser, dev: Gateway) -> None:
    """From `/` to an event that was taken, by buttons alone."""
    with tab(browser, dev.url) as opened:
        page = opened.open("/")
        page.get_by_role("link", name="Create a provider").click()
        page.get_by_label("Label").fill("Warehouse")
        page.get_by_role("button", name="Create provider").click()
        page.get_by_text("Give it an event type next").wait_for()
        page.get_by_role("link", name="Add an event type").click()
        page.get_by_label("Event code").fill(CODE)
        page.get_by_label("Label").fill("Stock low")
        page.get_by_label("Description").fill("Stock fell under its floor")
        page.get_by_label("Sample").fill('{"sku": "A1"}')
        page.get_by_role("button", name="Create event type").click()
        page.get_by_role("heading", name="Stock low").wait_for()
        assert '"sku"' in page.get_by_label("Sample event").inner_text()
        page.get_by_role("button", name="Publish").click()
        page.get_by_text("nobody subscribes to it").first.wait_for()


def test_refusals_keep_what_was_typed(browser: Browser, dev: Gateway) -> None:
    """The API's own words stand above the form, which still holds everything."""
    with tab(browser, dev.url) as opened:
        opened.expected = (400,)
        page = opened.open("/ui/orgs/1001/providers/new")
        page.get_by_label("Label").fill("Lager <1>")
        page.get_by_role("button", name="Create provider").click()
        page.get_by_role("alert").wait_for()
        assert "label" in page.get_by_role("alert").inner_text()
        assert page.get_by_label("Label").input_value() == "Lager <1>"


def test_a_secret_is_shown_once(browser: Browser, dev: Gateway) -> None:
    """On the page that makes it; never again, neither in the list nor by going back."""
    with tab(browser, dev.url) as opened:
        page = opened.open("/ui/orgs/1001/projects/2001/workspaces/3001/credentials/4001")
        page.get_by_role("button", name="New secret").click()
        secret = page.locator("dd code").nth(1).inner_text()
        assert secret.startswith("p8e-")
        page.get_by_role("link", name="I have copied it").click()
        assert secret not in page.content()
        assert page.get_by_text("signs deliveries").count() == 1
        assert page.get_by_role("button", name="Delete", exact=True).count() == 2
        page.get_by_role("button", name="Delete", exact=True).last.click()
        page.get_by_text("The secret is deleted").wait_for()


def test_a_project_names_what_keeps_it(browser: Browser, dev: Gateway) -> None:
    """A project with a provider says so before anybody tries; without it, it goes."""
    with tab(browser, dev.url) as opened:
        page = opened.open("/ui/orgs/1001/projects/new")
        page.get_by_label("Name").fill("Shop")
        page.get_by_role("button", name="Create project").click()
        project = page.url
        opened.open("/ui/orgs/1001/providers/new")
        page.get_by_label("Label").fill("Till")
        page.get_by_label("Workspace").select_option(label="Shop / Production")
        page.get_by_role("button", name="Create provider").click()
        page.goto(f"{project}/delete")
        assert "Till" in page.locator(".note").inner_text()
        assert page.get_by_role("button", name="Delete project").count() == 0
        opened.open("/ui/orgs/1001/providers")
        page.get_by_role("link", name="Till").click()
        page.get_by_role("link", name="Delete").click()
        page.get_by_role("button", name="Delete provider").click()
        page.goto(f"{project}/delete")
        page.get_by_role("button", name="Delete project").click()
        page.get_by_text("Project Shop is deleted").wait_for()


def test_the_project_file_is_downloaded(browser: Browser, dev: Gateway) -> None:
    """As a file, with what a program needs to sign in."""
    with tab(browser, dev.url) as opened:
        page = opened.open("/ui/orgs/1001/projects/2001")
        with page.expect_download() as started:
            page.get_by_role("link", name="Project file").click()
        path = started.value.path()
        assert started.value.suggested_filename == "workspace-2001-3001.json"
        assert json.loads(path.read_text())["project"]["id"] == "2001"


def test_hostile_samples_do_no_harm(browser: Browser, dev: Gateway) -> None:
    """Shown as text: no script runs, nothing is turned round, control characters have names, long text is folded."""
    with tab(browser, dev.url) as opened:
        page = opened.open("/ui/orgs/1001/providers/new")
        page.get_by_label("Label").fill("Stranger")
        page.get_by_role("button", name="Create provider").click()
        page.get_by_role("link", name="Add an event type").click()
        page.get_by_label("Event code").fill(CODE)
        page.get_by_label("Label").fill("Bad")
        page.get_by_label("Description").fill("Means harm")
        harmful = {name: text for name, text in HOSTILE.items() if name != "control"}
        page.get_by_label("Sample").fill(json.dumps(harmful))
        page.get_by_role("button", name="Create event type").click()
        page.wait_for_load_state()
        shown = page.get_by_label("Sample event")
        assert "<script>" in shown.inner_text() and page.title() == "com.acme.stock.low · Eventmill"
        assert "U+202E" in shown.inner_text() and "\u202e" not in shown.inner_text()
        assert "show all 40000 characters" in shown.inner_text()
        assert page.locator("main script, main img").count() == 0
        opened.check_fits()
        opened.check_accessible()
