"""One event's life, the search, and what nobody wanted: how they look, and that they find and tell what there is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.e2e.gateway import Gateway
from tests.ui.browser import NARROW, WIDE, Theme, tab
from tests.ui.content import CODE
from tests.ui.lived import Lived, lived
from tests.ui.stocked import stock
from tests.ui.test_signing_in import sign_in
from tests.ui.webhook import webhook

SEARCH = "/ui/orgs/1001/search"


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    """Of every kind; nothing here changes them."""
    gateway = Gateway(tmp_path_factory.mktemp("lived") / "data", ("--dev",))
    try:
        gateway.start()
        with lived(gateway) as made:
            yield made
    finally:
        gateway.close()


def pages(events: Lived) -> dict[str, str]:
    """By a name for their pictures."""
    return {
        "search": SEARCH,
        "search-narrow": f"{SEARCH}?code={CODE}&status=undelivered&source=warehouse&from=2020-01-01T00:00:00",
        "search-nothing": f"{SEARCH}?code=com.acme.never",
        "unmatched": "/ui/orgs/1001/unmatched",
        "event-delivered": events.page_of("good-1"),
        "event-retried": events.page_of("late-0"),
        "event-pending": events.page_of("pending"),
        "event-refused": events.page_of("refused"),
        "event-hostile": events.page_of("hostile"),
        "event-unmatched": events.page_of_unmatched("unknown_event_code"),
    }


@pytest.mark.parametrize(
    ("size", "theme"),
    [(WIDE, "light"), (WIDE, "dark"), (NARROW, "light"), (NARROW, "dark")],
    ids=["wide-light", "wide-dark", "narrow-light", "narrow-dark"],
)
def test_every_page_can_be_looked_at(browser: Browser, events: Lived, size: tuple[int, int], theme: Theme) -> None:
    """axe finds no serious fault, nothing sticks out, no script fails; the pictures are in `.make/screens`."""
    with tab(browser, events.gateway.url, size=size, theme=theme) as opened:
        for name, path in pages(events).items():
            opened.open(path)
            opened.check_fits()
            opened.check_accessible()
            opened.shoot(f"{name}-{size[0]}-{theme}")


def test_an_event_is_found_by_either_id(browser: Browser, events: Lived) -> None:
    """Ours leads there at once, from the box at the top as well; its publisher's is searched for."""
    event_id = events.page_of("late-1").rpartition("/")[2]
    with tab(browser, events.gateway.url, script=False) as opened:
        page = opened.open("/ui/orgs/1001")
        page.get_by_label("Find an event by id").fill(event_id)
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/{event_id}")
        page.get_by_label("Find an event by id").fill("late-1")
        page.keyboard.press("Enter")
        page.locator("main table").get_by_role("link", name=CODE).click()
        page.wait_for_url(f"**/{event_id}")
        page.get_by_label("Find an event by id").fill("unheard")
        page.keyboard.press("Enter")
        page.get_by_text("Nobody was to get this event").wait_for()


def test_an_event_tells_its_whole_life(browser: Browser, events: Lived) -> None:
    """Retries with their times, what comes next, who was kept out by which filter; without scripts."""
    with tab(browser, events.gateway.url, script=False) as opened:
        page = opened.open(events.page_of("pending"))
        card = page.get_by_role("region", name="Stock to ERP", exact=True)
        assert card.get_by_text("Next: retry 1").is_visible()
        assert card.locator("svg circle").count() == 2
        assert card.get_by_role("row").count() == 2
        outlet = page.locator("tr", has_text="Stock to the outlet")
        assert "left" in outlet.inner_text() and "100" in outlet.inner_text()
        page = opened.open(events.page_of("late-0"))
        card = page.get_by_role("region", name="Stock to ERP", exact=True)
        assert card.get_by_role("row").count() > 2


def test_a_narrowed_search_lists_what_fits(browser: Browser, events: Lived) -> None:
    """By what became of them, and by registration; an empty page says what is kept."""
    with tab(browser, events.gateway.url) as opened:
        page = opened.open(SEARCH)
        page.get_by_label("Registration").select_option(label="Stock to ERP")
        page.get_by_label("What became of it").select_option(label="to be tried again")
        page.locator("main").get_by_role("button", name="Search").click()
        page.wait_for_url("**status=scheduled*")
        assert page.locator("main tbody tr").count() == 1
        page = opened.open(f"{SEARCH}?code=com.acme.never")
        assert page.get_by_text("No event found").is_visible()
        assert page.get_by_text("that is all there is").is_visible()


def test_strangers_texts_stay_texts(browser: Browser, events: Lived) -> None:
    """What a hostile event holds runs nothing, and neither does what an address says."""
    harm = "%22%3E%3Cscript%3Edocument.title%3D1%3C%2Fscript%3E"
    with tab(browser, events.gateway.url) as opened:
        opened.expected = (400, 404)
        places = [f"{SEARCH}?{name}={harm}" for name in ("q", "code", "source", "registration", "status", "from")]
        places += [f"/ui/orgs/1001/unmatched?code={harm}&cause={harm}&after={harm}", f"/ui/orgs/1001/events/{harm}"]
        for place in [*places, events.page_of("hostile"), events.page_of_unmatched("unknown_event_code")]:
            page = opened.open(place)
            assert page.title().endswith("· Eventmill"), place
            assert page.locator("main script, main img").count() == 0, place


def test_resending_from_the_event(browser: Browser, dev: Gateway) -> None:
    """The webhook gets it once more, and the page shows the second attempt."""
    with webhook() as hook, tab(browser, dev.url) as opened:
        stocked = stock(dev, hook)
        stocked.publish("again", {"sku": "A1"})
        page = opened.open(f"{SEARCH}?q=again")
        page.locator("main table").get_by_role("link", name=CODE).click()
        page.get_by_role("button", name="Resend").click()
        page.get_by_role("status").wait_for()
        stocked.settle()
        page.reload()
        assert page.get_by_text("2 attempts").is_visible()


def test_the_empty_tell_the_next_step(browser: Browser, dev: Gateway) -> None:
    """A gateway without events."""
    with tab(browser, dev.url) as opened:
        for path, said in ((SEARCH, "No event yet"), ("/ui/orgs/1001/unmatched", "Everything found somebody")):
            page = opened.open(path)
            assert page.get_by_text(said).is_visible()
            opened.check_accessible()
            opened.shoot(f"{path.rpartition('/')[2]}-empty-1280-light")


def test_a_viewer_is_offered_no_resend(browser: Browser, strict: Gateway) -> None:
    """Reading is all; sending the form by hand is refused in tests of the console in process."""
    with webhook() as hook:
        stocked = stock(strict, hook, "Shed")
        stocked.publish("looked-at", {"sku": "A1"})
        with tab(browser, strict.url) as opened:
            page = sign_in(opened, "viewer")
            opened.open(f"{SEARCH}?q=looked-at")
            page.locator("main table").get_by_role("link", name=CODE).click()
            assert page.locator("main form[method=post]").count() == 0
