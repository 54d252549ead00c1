"""Signing in: with a password, as one of three roles, and not too often with a wrong one."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path

from playwright.sync_api import Browser, Page

from tests.e2e.gateway import Gateway
from tests.ui.browser import NARROW, Tab, tab
from tests.ui.conftest import PASSWORD, add_user


def sign_in(opened: Tab, name: str, password: str = PASSWORD, path: str = "/ui/") -> Page:
    page = opened.open(path)
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    return page


def test_the_form_can_be_used_by_everybody(browser: Browser, strict: Gateway) -> None:
    """axe finds no serious fault, on a telephone either."""
    for size, theme in (((1280, 800), "light"), (NARROW, "dark")):
        with tab(browser, strict.url, size=size, theme="dark" if theme == "dark" else "light") as opened:
            opened.open("/ui/")
            opened.check_accessible()
            opened.check_fits()
            opened.shoot(f"sign-in-{size[0]}-{theme}")


def test_leads_to_what_was_asked_for(browser: Browser, strict: Gateway) -> None:
    """And never to another site; signing out ends the session, whose cookie is worth nothing then."""
    with tab(browser, strict.url) as opened:
        opened.expected = (401,)
        page = sign_in(opened, "admin", path="/ui/orgs/1001/projects")
        assert page.url == f"{strict.url}/ui/orgs/1001/projects"
        cookies = page.context.cookies()
        session = next(each for each in cookies if "session" in str(each.get("name")))
        assert session.get("httpOnly") and session.get("sameSite") == "Lax"
        page.get_by_label("You and how things look").click()
        page.get_by_role("button", name="Sign out").click()
        page.context.add_cookies([{**session}])  # type: ignore[typeddict-item]
        opened.open("/ui/orgs/1001")
        assert "/ui/sign-in" in page.url
        page = sign_in(opened, "admin", path="/ui/sign-in?next=//evil.example/")
        assert page.url.startswith(strict.url)


def test_a_viewer_sees_and_changes_nothing(browser: Browser, strict: Gateway) -> None:
    """No page offers a change, and a page that one would need is refused."""
    with tab(browser, strict.url) as opened:
        opened.expected = (403,)
        page = sign_in(opened, "viewer")
        for path in ("/projects", "/projects/2001", "/providers", "/projects/2001/workspaces/3001/credentials/4001"):
            opened.open(f"/ui/orgs/1001{path}")
            assert page.locator("main form[method=post]").count() == 0, path
            assert page.get_by_role("link", name=re.compile("New|Edit|Delete|Project file")).count() == 0, path
        opened.open("/ui/orgs/1001/providers/new")
        assert page.get_by_text("This needs the role developer").is_visible()


def test_a_wrong_password_has_to_wait(browser: Browser, tmp_path: Path) -> None:
    """After some, the right one is not looked at either, until the time is over."""
    variables = {"EVENTMILL_SIGN_IN_FAILURES_MAX": "1"}
    gateway = Gateway(tmp_path / "data", ("--dev", "--auth", "strict"), variables)
    with closing(gateway.start()), tab(browser, gateway.url) as opened:
        add_user(gateway, "guessed", "viewer")
        opened.expected = (401, 429)
        page = sign_in(opened, "guessed", "not the password")
        assert "do not go together" in page.get_by_role("alert").inner_text()
        page = sign_in(opened, "guessed")
        assert "Too many failed attempts" in page.get_by_role("alert").inner_text()


def test_an_empty_gateway_is_begun_here(browser: Browser, tmp_path: Path) -> None:
    """In production mode: the first person signs in and makes the organization, without the command line."""
    gateway = Gateway(tmp_path / "data", ("--delivery-processes", "1"))
    with closing(gateway.start()), tab(browser, gateway.url) as opened:
        add_user(gateway, "first", "admin")
        page = sign_in(opened, "first")
        opened.check_accessible()
        opened.shoot("welcome-1280-light")
        page.get_by_label("Name").fill("Acme")
        page.get_by_role("button", name="Create organization").click()
        page.get_by_text("Begin with a project").wait_for()
        page.get_by_label("Name").fill("Shop")
        page.get_by_role("button", name="Create project").click()
        page.get_by_role("heading", name="Shop", exact=True).wait_for()
