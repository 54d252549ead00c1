"""Every page: it fits, in both themes and on a telephone; nobody is shut out; nothing leaves the machine."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from tests.ui.browser import NARROW, WIDE, Theme, tab
from tests.ui.conftest import Filled


@pytest.mark.parametrize(
    ("size", "theme"),
    [(WIDE, "light"), (WIDE, "dark"), (NARROW, "light"), (NARROW, "dark")],
    ids=["wide-light", "wide-dark", "narrow-light", "narrow-dark"],
)
def test_every_page_can_be_looked_at(browser: Browser, filled: Filled, size: tuple[int, int], theme: Theme) -> None:
    """axe finds no serious fault, nothing sticks out, no script fails; the pictures are in `.make/screens`."""
    with tab(browser, filled.url, size=size, theme=theme) as opened:
        opened.expected = (404,)
        for name, path in filled.content.pages.items():
            opened.open(path)
            opened.check_fits()
            opened.check_accessible()
            opened.shoot(f"{name}-{size[0]}-{theme}")


def test_everything_can_be_read_without_scripts(browser: Browser, filled: Filled) -> None:
    """Links, figures and forms are there; only copy buttons and live figures need a script."""
    with tab(browser, filled.url, script=False) as opened:
        opened.expected = (404,)
        for path in filled.content.pages.values():
            assert opened.open(path).locator("h1").count() == 1, path
        page = opened.open("/ui/orgs/1001/providers?q=warehouse")
        assert page.get_by_role("link", name="Warehouse").is_visible()
        assert page.locator("button.copy:visible").count() == 0


def test_keyboard_reaches_the_content_first(browser: Browser, filled: Filled) -> None:
    """The first stop of the tabulator is the link past the navigation, and it leads there."""
    with tab(browser, filled.url) as opened:
        page = opened.open("/ui/orgs/1001")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to content"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"


def test_theme_and_times_stay_as_chosen(browser: Browser, filled: Filled) -> None:
    """At once on this page, and on the next."""
    with tab(browser, filled.url) as opened:
        page = opened.open("/ui/orgs/1001")
        page.get_by_label("You and how things look").click()
        with page.expect_response(lambda answer: "/ui/preferences" in answer.url):
            page.get_by_role("button", name="Dark").click()
        assert page.locator("html").get_attribute("data-theme") == "dark"
        opened.open("/ui/orgs/1001/projects")
        assert page.locator("html").get_attribute("data-theme") == "dark"


def test_theme_can_be_chosen_without_scripts(browser: Browser, filled: Filled) -> None:
    """The same by a form, which leads back to where one was."""
    with tab(browser, filled.url, script=False) as opened:
        page = opened.open("/ui/orgs/1001/projects")
        page.get_by_label("You and how things look").click()
        page.get_by_role("button", name="Dark").click()
        assert page.url.endswith("/projects")
        assert page.locator("html").get_attribute("data-theme") == "dark"


def test_figures_renew_themselves(browser: Browser, filled: Filled) -> None:
    """An event that is published now is counted on an overview that is open already."""
    with tab(browser, filled.url) as opened:
        page = opened.open("/ui/orgs/1001")
        page.get_by_text("live", exact=True).wait_for()
        before = page.locator(".figure-value").first.inner_text()
        filled.content.publish(filled.gateway)
        expect(page.locator(".figure-value").first).not_to_have_text(before, timeout=20_000)


def test_finder_narrows_the_list_while_typing(browser: Browser, filled: Filled) -> None:
    """Without loading the page anew, and the address says what is shown."""
    with tab(browser, filled.url) as opened:
        page = opened.open("/ui/orgs/1001/providers")
        page.get_by_label("Filter by label").press_sequentially("returns")
        page.wait_for_url("**q=returns*")
        assert page.locator("article").count() == 1
        assert page.get_by_role("link", name="Returns desk").is_visible()
