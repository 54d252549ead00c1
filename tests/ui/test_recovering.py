"""What people do with a registration's past: browse it, filter it, send again what was missed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.gateway import Gateway
from tests.ui.browser import NARROW, tab
from tests.ui.content import HOSTILE
from tests.ui.stocked import Stocked, give_past, stock
from tests.ui.test_registration_tabs import EXPIRED
from tests.ui.webhook import webhook


@pytest.fixture
def stocked(dev: Gateway) -> Iterator[Stocked]:
    with webhook() as hook:
        yield stock(dev, hook)


def test_browsing_the_journal(browser: Browser, stocked: Stocked) -> None:
    """From the start by batches to the end, where new events come by themselves; back by time and position."""
    give_past(stocked)
    with tab(browser, stocked.gateway.url) as opened:
        opened.expected = (400,)
        page = opened.open(f"{stocked.page}/journal?limit=10")
        assert page.locator("table.journal tbody tr").count() == 10
        page.get_by_role("link", name="Next batch").click()
        assert page.locator("table.journal tbody tr").count() == 9
        page.get_by_role("link", name="Next batch").click()
        page.get_by_text("Nothing after this position yet").wait_for()
        page.get_by_text("live", exact=True).wait_for()
        stocked.publish("late", {"sku": "Z9"})
        page.get_by_text("1 event;").wait_for()
        page.get_by_label("After position").fill("nonsense")
        page.get_by_label("After position").press("Enter")
        assert "is not a journal position" in page.get_by_role("alert").inner_text()
        page.get_by_role("link", name="25", exact=True).click()
        page.get_by_text("Go back").click()
        page.get_by_role("link", name="15 minutes ago").click()
        assert page.locator("table.journal tbody tr").count() == 20
        page.get_by_role("link", name="Raw").click()
        assert "curl" in page.get_by_label("Request").inner_text()
        assert 'rel="next"' in page.get_by_label("Headers of the response").inner_text()
        opened.open(f"{stocked.page}/journal?since={EXPIRED}")
        page.get_by_role("link", name="Go on from the oldest").click()
        assert page.locator("table.journal tbody tr").count() == 20


def test_cursors_tell_how_far_readers_are(browser: Browser, stocked: Stocked) -> None:
    """Lag and expiry; one is set to the position of a batch, and deleted; a bad name is refused in the API's words."""
    give_past(stocked)
    with tab(browser, stocked.gateway.url) as opened:
        opened.expected = (400,)
        page = opened.open(f"{stocked.page}/journal?limit=10")
        row = page.get_by_role("row", name=re.compile("erp-reader"))
        assert "6 events" in row.inner_text() and "6 d 23 h" in row.inner_text()
        assert "nothing unread" in page.get_by_role("row", name=re.compile("archive")).inner_text()
        page.get_by_label("Cursor", exact=True).fill("new one")
        page.get_by_role("button", name="Set cursor").click()
        assert "letters, digits" in page.get_by_role("alert").inner_text()
        page.get_by_label("Cursor", exact=True).fill("tester")
        page.get_by_role("button", name="Set cursor").click()
        page.get_by_text("Cursor tester is at").wait_for()
        page.on("dialog", lambda dialog: dialog.accept())
        page.get_by_role("button", name="Delete cursor tester").click()
        page.get_by_text("Cursor tester is deleted").wait_for()


def test_a_filter_is_written_tried_and_applied(browser: Browser, stocked: Stocked) -> None:
    """A mistake is shown where it is, while typing; misses say path, operator, wanted and seen; applied at once."""
    give_past(stocked)
    with tab(browser, stocked.gateway.url) as opened:
        page = opened.open(f"{stocked.page}/filter")
        page.get_by_text("Number =,").click()
        page.locator("details[open]").get_by_role("link", name="Begin with this").click()
        editor = page.get_by_label("Filter", exact=True)
        assert '"numeric"' in editor.input_value()
        editor.fill('{"data": {"left": [{"numeric": ["<", "5"]}]}}')
        expect(page.locator("#verdict")).to_contain_text("Line 1, column")
        opened.shoot("registration-filter-mistake-1280-light")
        editor.fill('{"data": {"left": [{"numeric": ["<", 2]}]}}')
        expect(page.locator("#verdict")).to_contain_text("It looks at data.left")
        page.get_by_text("Try it on an event of your own").click()
        page.get_by_label("Your event").fill('{"data": {"left": 1}}')
        page.get_by_role("button", name="Test").click()
        results = page.locator("#results")
        expect(results.get_by_role("heading", name="On samples")).to_be_visible()
        assert "data.left numeric wants" in results.inner_text() and "saw 3" in results.inner_text()
        assert re.search("9 pass.*10 kept back", results.inner_text())
        opened.check_accessible()
        opened.check_fits()
        page.evaluate("scrollTo(0, 0)")
        opened.shoot("registration-filter-tried-1280-light")
        page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
        opened.check_fits()
        page.evaluate("scrollTo(0, 0)")
        opened.shoot("registration-filter-tried-390-light")
        page.get_by_label("Name").fill("Nearly out")
        page.get_by_role("button", name="Apply").click()
        page.get_by_text("The filter is applied").wait_for()
        opened.shoot("registration-filter-applied-390-light")
        stocked.publish("kept", {"left": 9})
        assert stocked.undelivered()["total"] == 7
        page.on("dialog", lambda dialog: dialog.accept())
        page.get_by_role("button", name="Remove filter").click()
        page.get_by_text("gets every event").wait_for()


def test_one_event_then_the_rest_is_sent_again(browser: Browser, stocked: Stocked) -> None:
    """Counted before it is sent; the progress tells by itself when it is through; nothing is undelivered then."""
    give_past(stocked)
    with tab(browser, stocked.gateway.url) as opened:
        page = opened.open(f"{stocked.page}/undelivered")
        page.get_by_role("link", name=re.compile("^refused")).click()
        assert page.locator("tbody tr").count() == 4
        page.get_by_role("button", name=re.compile("^Resend ")).first.click()
        page.get_by_text("is sent once more, now").wait_for()
        stocked.settle()
        page = opened.open(f"{stocked.page}/undelivered")
        page.get_by_label(re.compile("disabled")).check()
        page.get_by_role("button", name="Count first").click()
        page.get_by_text("3 events would be sent now").wait_for()
        page.evaluate("scrollTo(0, 0)")
        opened.shoot("registration-undelivered-counted-1280-light")
        assert page.get_by_label(re.compile("disabled")).is_checked()
        page.get_by_label(re.compile("disabled")).uncheck()
        page.get_by_role("button", name="Start replay").click()
        page.get_by_text("done", exact=True).wait_for()
        expect(page.locator("#progress")).to_contain_text("6 of 6 events")
        opened.open(f"{stocked.page}/undelivered")
        page.get_by_text("Nothing is undelivered").wait_for()


def test_a_replay_is_held_continued_and_cancelled(browser: Browser, stocked: Stocked) -> None:
    """And no second one is offered meanwhile; a rate that is none is refused in the API's words."""
    give_past(stocked)
    with tab(browser, stocked.gateway.url) as opened:
        opened.expected = (400, 409)
        page = opened.open(f"{stocked.page}/undelivered")
        page.get_by_label("Events per second").fill("fast")
        page.get_by_role("button", name="Start replay").click()
        assert "events_per_second" in page.get_by_role("alert").inner_text()
        assert page.get_by_label("Events per second").input_value() == "fast"
        page.get_by_label("Events per second").fill("0.01")
        page.get_by_role("button", name="Start replay").click()
        page.get_by_text("The replay has begun").wait_for()
        page.get_by_role("button", name="Pause").click()
        page.get_by_text("The replay is held").wait_for()
        page.get_by_role("button", name="Resume").click()
        page.get_by_text("The replay goes on").wait_for()
        opened.open(f"{stocked.page}/undelivered")
        assert page.get_by_role("button", name="Start replay").is_disabled()
        page.get_by_role("link", name="Look at it").click()
        page.get_by_role("button", name="Cancel").click()
        page.get_by_text("The replay is cancelled").wait_for()
        assert page.get_by_role("button", name="Resume").count() == 0


def test_hostile_events_do_no_harm(browser: Browser, stocked: Stocked) -> None:
    """In the journal, in a batch as it came, in the reasons of a filter: text, whatever it says, and not too much."""
    hostile = {**HOSTILE, "long": "y" * 1_000_000}
    stocked.hook.status = 404
    stocked.publish("<script>alert(1)</script>\u202e", hostile)
    stocked.hook.status = 200
    stocked.set_cursor("reader", stocked.undelivered()["items"][0]["position"])
    with tab(browser, stocked.gateway.url) as opened:
        page = opened.open(f"{stocked.page}/journal")
        opened_row = page.get_by_role("link", name=re.compile("^Show event")).get_attribute("href") or ""
        for path, label in (
            (opened_row, re.compile("^Event at")),
            (f"{stocked.page}/journal?raw=1", re.compile("^Body of the response")),
        ):
            told = opened.open(path).get_by_label(label).inner_text()
            assert "<script>document" in told and "U+202E" in told and "\u202e" not in told
            assert "show all 1000000 characters" in told
            assert page.locator("main script, main img, main iframe").count() == 0
            assert page.title() == "Stock to ERP: Event Browser · Eventmill"
            opened.check_fits()
            opened.check_accessible()
        text = json.dumps({"data": {"script": [HOSTILE["quotes"], {"prefix": HOSTILE["turned"]}]}}, ensure_ascii=False)
        page = opened.open(f"{stocked.page}/filter")
        page.get_by_label("Filter", exact=True).fill(text)
        page.get_by_role("button", name="Test").click()
        told = page.locator("#results").inner_text()
        assert "<script>document" in told and "U+202E" not in page.title()
        assert page.get_by_label("Filter", exact=True).input_value() == text
        assert page.locator("main script, main img, main iframe").count() == 0
        opened.check_fits()
        opened.check_accessible()
        opened.open(f"{stocked.page}/undelivered")
        opened.check_fits()


def test_hostile_addresses_do_no_harm(browser: Browser, stocked: Stocked) -> None:
    """What stands in the address of a page comes back as text, or not at all."""
    harm = "%22%3E%3Cscript%3Edocument.title%3D1%3C%2Fscript%3E"
    with tab(browser, stocked.gateway.url) as opened:
        opened.expected = (400, 404)
        for place in (
            f"journal?since={harm}",
            f"journal?at={harm}",
            "journal?at=9999-12-31T23:59-14:00",
            "journal?at=1971-01-01T00:00",
            f"journal?limit={'9' * 5000}",
            f"journal?limit={harm}&open={harm}&latest={harm}",
            f"filter?use={harm}",
            f"undelivered?cause={harm}",
            f"undelivered?after={harm}",
            f"replays/{harm}",
        ):
            page = opened.open(f"{stocked.page}/{place}")
            assert page.title().endswith("· Eventmill"), place
            assert page.locator("main script").count() == 0, place
