"""Debug Tracing: what was attempted, narrowed by its filters; each attempt in full, and once more."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.e2e.gateway import Gateway
from tests.ui.browser import NARROW, WIDE, Theme, tab
from tests.ui.content import HOSTILE
from tests.ui.stocked import stock
from tests.ui.traced import Traced, put, traced
from tests.ui.webhook import webhook


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    """Attempts of every kind; nothing here adds any."""
    gateway = Gateway(tmp_path_factory.mktemp("tried") / "data", ("--dev",))
    try:
        gateway.start()
        with traced(gateway) as opened:
            yield opened
    finally:
        gateway.close()


def ids(tried: Traced, code: int) -> list[str]:
    """Of the attempts with that response code."""
    return [each["id"] for each in tried.traces() if each["trace"]["tracingResponse"]["responseCode"] == code]


@pytest.mark.parametrize(
    ("size", "theme"),
    [(WIDE, "light"), (WIDE, "dark"), (NARROW, "light"), (NARROW, "dark")],
    ids=["wide-light", "wide-dark", "narrow-light", "narrow-dark"],
)
def test_every_page_can_be_looked_at(browser: Browser, tried: Traced, size: tuple[int, int], theme: Theme) -> None:
    """The rows, one of them opened, an attempt's own page, and what stands where there is nothing."""
    shown = {
        "all": f"{tried.page}/traces",
        "errors": f"{tried.page}/traces?outcome=error&codes=503",
        "none": f"{tried.page}/traces?q=nothing",
        "journal": f"{tried.page_of('journal')}/traces",
        "challenge": f"{tried.page_of('unverified')}/traces",
        "one": f"{tried.page}/traces/{ids(tried, 503)[0]}",
    }
    with tab(browser, tried.stocked.gateway.url, size=size, theme=theme) as opened:
        for name, path in shown.items():
            page = opened.open(path)
            if name == "errors":
                page.locator("details.trace summary").first.click()
                page.get_by_role("heading", name="Request").wait_for()
            opened.check_fits()
            opened.check_accessible()
            opened.shoot(f"traces-{name}-{size[0]}-{theme}")


def test_filters_narrow_and_go_again(browser: Browser, tried: Traced) -> None:
    """By outcome, by the codes there are, by time, by retries, by an event's id; without scripts too."""
    total = len(tried.traces())
    with tab(browser, tried.stocked.gateway.url, script=False) as opened:
        page = opened.open(f"{tried.page}/traces")
        rows = page.locator("details.trace")
        assert rows.count() == min(total, 25)
        page.get_by_role("link", name="error", exact=True).click()
        assert rows.count() == page.locator("details.trace.failed").count() == 7
        page.get_by_role("link", name="404", exact=True).click()
        assert rows.count() == 1
        page.get_by_role("link", name="503", exact=True).click()
        assert rows.count() == 7
        page.get_by_role("link", name="retries only").click()
        assert rows.count() == 4
        page.get_by_role("link", name="all but retries").click()
        assert rows.count() == 3
        page.get_by_role("link", name="> 4 s").click()
        page.get_by_text("No attempt matches").wait_for()
        page.get_by_role("link", name="Show all", exact=True).click()
        event = re.findall("[0-9a-f-]{36}", str(tried.traces()[0]["trace"]["insightsInfo"]))[0]
        page.get_by_label("Find by event id").fill(event)
        page.keyboard.press("Enter")
        page.wait_for_url("**q=*")
        assert 1 <= rows.count() < total


def test_a_row_opens_in_place(browser: Browser, tried: Traced) -> None:
    """Request and response side by side, where the time went, and the request as a command."""
    with tab(browser, tried.stocked.gateway.url) as opened:
        page = opened.open(f"{tried.page}/traces?codes=503")
        page.locator("details.trace summary").first.click()
        request = page.get_by_label("Request", exact=True)
        request.wait_for()
        assert "x-adobe-retry-count" in request.inner_text() and '"sku"' in request.inner_text()
        assert "the warehouse is closed" in page.get_by_label("Response", exact=True).inner_text()
        assert "first byte" in page.locator(".legend").inner_text()
        assert page.get_by_role("button", name="Copy as curl").is_visible()


def test_an_attempt_without_an_answer_says_why(browser: Browser, tried: Traced) -> None:
    """The code of the gateway's own, in words; a challenge is not sent again from here."""
    with tab(browser, tried.stocked.gateway.url, script=False) as opened:
        page = opened.open(f"{tried.page_of('unverified')}/traces")
        page.locator("details.trace summary").first.click()
        page.get_by_role("link", name="Open this attempt").click()
        assert "602: no connection, or it broke" in page.locator("main").inner_text()
        assert page.get_by_role("button", name="Resend").count() == 0


def test_new_attempts_show_by_themselves(browser: Browser, dev: Gateway) -> None:
    """A page that is open gets a row for the next delivery, without being loaded anew."""
    with webhook() as hook, tab(browser, dev.url) as opened:
        stocked = stock(dev, hook)
        page = opened.open(f"{stocked.page}/traces")
        assert page.locator("details.trace").count() == 1
        put(stocked, "next", {"sku": "A1"})
        page.locator("details.trace").nth(1).wait_for()
        page.locator("details.trace summary").first.click()
        page.get_by_role("heading", name="Request").wait_for()


def test_an_attempt_is_made_again(browser: Browser, dev: Gateway) -> None:
    """From its own page; the new one is marked as a replay."""
    with webhook() as hook, tab(browser, dev.url) as opened:
        stocked = stock(dev, hook)
        hook.status = 404
        stocked.publish("refused", {"sku": "A1"})
        hook.status = 200
        page = opened.open(f"{stocked.page}/traces?codes=404")
        page.locator("details.trace summary").click()
        page.get_by_role("button", name="Resend").click()
        page.get_by_text("is sent once more, now").wait_for()
        stocked.settle()
        page = opened.open(f"{stocked.page}/traces")
        assert page.locator("details.trace").first.get_by_text("replay", exact=True).is_visible()


def test_the_command_makes_the_same_request(browser: Browser, dev: Gateway) -> None:
    """Run by a shell, the copied command sends the receiver the bytes it was sent before."""
    with webhook() as hook, tab(browser, dev.url) as opened:
        stocked = stock(dev, hook)
        stocked.publish("odd", {"text": 'it\'s \u202e\u0627 "quoted" $HOME', "left": 3})
        page = opened.open(f"{stocked.page}/traces")
        page.locator("details.trace summary").first.click()
        command = page.get_by_role("button", name="Copy as curl").get_attribute("data-copy") or ""
        assert "\u202e" not in command
        before = hook.bodies[-1]
        done = subprocess.run(
            ["bash", "-c", f"{command} --noproxy '*'"], capture_output=True, env={"LC_ALL": "C.UTF-8"}, timeout=30
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(hook.bodies[-1]) == json.loads(before) and hook.bodies[-1] == before


def test_hostile_bodies_and_headers_do_no_harm(browser: Browser, dev: Gateway) -> None:
    """Events and answers with scripts, control characters, turned text and a megabyte: shown as text, cut."""
    with webhook() as hook, tab(browser, dev.url) as opened:
        stocked = stock(dev, hook)
        hook.headers = {
            "x-bad": "<script>document.title='taken'</script>",
            "x-turned": "a\xe2\x80\xaeb",
            "x-long": "y" * 4000,
        }
        for body in (json.dumps(HOSTILE), "<script>document.title='taken'</script>\x00\x1b[31m" + "z" * (1 << 20)):
            hook.body = body.encode()
            stocked.publish(f"bad-{len(body)}", HOSTILE)
        page = opened.open(f"{stocked.page}/traces")
        for at in range(2):
            row = page.locator("details.trace").nth(at)
            row.locator("summary").first.click()
            row.get_by_role("heading", name="Response").wait_for()
            shown = row.inner_text()
            assert "<script>" in shown and "\u202e" not in shown and "\x1b" not in shown
            assert "U+202E" in shown and ("U+001B" in shown or "\\u001b" in shown)
            row.locator("summary").first.click()
        assert page.locator("main script, main img").count() == 0
        assert page.title() == "Debug Tracing \u00b7 Eventmill"
        page.locator("details.trace summary").first.click()
        page.get_by_role("link", name="Its own page").first.click()
        opened.check_fits()
        opened.check_accessible()
        opened.shoot("traces-hostile-1280-light")
