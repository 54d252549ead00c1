"""A newcomer's whole way through the console: from the first sign-in to an event that was explained, by what is on the
pages alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.e2e.gateway import Gateway
from tests.e2e.harness.cluster import running_cluster
from tests.ui.balancer import balancer
from tests.ui.browser import NARROW, Tab, tab
from tests.ui.conftest import PASSWORD, add_user
from tests.ui.content import CODE
from tests.ui.webhook import Webhook, webhook

NAME = "Stock to the till"
_ADVANCES_MS = 300_000
"""An advance answers once all retries on the way have been made."""


class Place(NamedTuple):
    url: str
    nodes: int
    """Of the cluster; 0: it is a gateway of its own."""


@pytest.fixture(params=["one", "cluster"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A gateway in dev mode that asks people to sign in; `ann` may, as an admin. A cluster is two nodes
    on PostgreSQL, between which requests go to and fro.
    """
    flags = ("--dev", "--auth", "strict")
    with ExitStack() as opened:
        if request.param == "one":
            gateway = Gateway(tmp_path / "data", flags)
            opened.callback(gateway.close)
            gateway.start()
            made = Place(gateway.url, 0)
        else:
            front = opened.enter_context(balancer())
            cluster, _ = opened.enter_context(running_cluster(tmp_path, 2, flags, {"EVENTMILL_BASE_URL": front.url}))
            front.lead_to(cluster.urls)
            gateway, made = cluster.nodes[0], Place(front.url, len(cluster.nodes))
        add_user(gateway, "ann", "admin")
        yield made


def test_a_newcomers_whole_journey(browser: Browser, place: Place) -> None:
    """Signs in, makes what is to be made, sees an event arrive; sees it fail, be retried, the registration Unstable and
    then disabled, and the mails; repairs and drains it; finds an event, and learns why another was not sent.
    """
    with webhook() as hook, tab(browser, place.url) as opened:
        opened.expected = (404,)
        _sign_in(opened)
        _make_event_type(opened.page)
        _register(opened.page, NAME, hook)
        _publish(opened.page, "first", left=3)
        _see_delivery(opened.page, hook)
        hook.status = 500
        _publish(opened.page, "failing-1", "failing-2", left=3)
        _see_retries(opened.page)
        _see_unstable(opened)
        _see_disabled(opened)
        _publish(opened.page, "missed", left=1)
        hook.status = 200
        _repair(opened.page)
        _drain(opened, hook)
        _find(opened.page, "missed")
        _explain_filtered(opened)
        _see_nodes(opened, place.nodes)


def _sign_in(opened: Tab) -> None:
    page = opened.open("/")
    page.get_by_label("Name").fill("ann")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Overview").wait_for()
    opened.check_accessible()
    opened.shoot("journey-1-first-look")


def _make_event_type(page: Page) -> None:
    page.get_by_role("link", name="Create a provider").click()
    page.get_by_label("Label").fill("Warehouse")
    page.get_by_role("button", name="Create provider").click()
    page.get_by_role("link", name="Add an event type").click()
    page.get_by_label("Event code").fill(CODE)
    page.get_by_label("Label").fill("Stock low")
    page.get_by_label("Description").fill("Stock fell under its floor")
    page.get_by_label("Sample").fill('{"sku": "A1", "left": 3}')
    page.get_by_role("button", name="Create event type").click()
    page.get_by_role("heading", name="Stock low").wait_for()


def _register(page: Page, name: str, hook: Webhook | None) -> None:
    """None: for the journal only."""
    _go(page, "Registrations")
    page.get_by_role("link", name="Add events").first.click()
    page.locator("main").get_by_role("link", name="Warehouse").click()
    page.get_by_label(f"View sample of {CODE}").click()
    page.get_by_label(f"Sample of {CODE}", exact=True).wait_for()
    page.get_by_label("Stock low").check()
    page.get_by_role("button", name="Next: delivery").click()
    page.get_by_label("Name").fill(name)
    if hook is None:
        page.get_by_label("Journal only").check()
    else:
        page.get_by_label("Webhook address").fill(hook.url)
    page.get_by_role("button", name="Next: review").click()
    page.get_by_role("button", name="Create registration").click()
    page.get_by_text("The registration is there").wait_for()


def _publish(page: Page, *event_ids: str, left: int) -> None:
    _go(page, "Providers")
    page.locator("main").get_by_role("link", name="Warehouse").click()
    page.get_by_role("link", name=CODE).click()
    for event_id in event_ids:
        page.get_by_label("Data", exact=True).fill(f'{{"sku": "A1", "left": {left}}}')
        page.get_by_label("Event id").fill(event_id)
        page.get_by_role("button", name="Publish").click()
        page.get_by_text(f"Published as {event_id}").wait_for()


def _see_delivery(page: Page, hook: Webhook) -> None:
    _open_registration(page, "Debug Tracing")
    expect(page.locator("details.trace")).to_have_count(2)  # the challenge, too
    page.locator("details.trace summary").first.click()
    page.get_by_role("heading", name="Response").wait_for()
    assert len(hook.bodies) == 1


def _see_retries(page: Page) -> None:
    _advance(page, "1 hour")
    _open_registration(page, "Debug Tracing")
    page.get_by_role("link", name="retries only").click()
    expect(page.locator("details.trace.failed").nth(4)).to_be_visible()


def _see_unstable(opened: Tab) -> None:
    page = opened.page
    _open_registration(page)
    expect(page.locator("main").get_by_text("unstable", exact=True).first).to_be_visible()
    opened.check_accessible()
    opened.shoot("journey-2-unstable")
    _read_mail(opened, "UNSTABLE")


def _see_disabled(opened: Tab) -> None:
    page = opened.page
    _advance(page, "1 day")
    _advance(page, "1 hour")
    _go(page, "Overview")
    page.get_by_text("disabled: its webhook could not be reached").wait_for()
    opened.check_accessible()
    opened.shoot("journey-3-disabled")
    _read_mail(opened, "HOOK_UNREACHABLE")


def _repair(page: Page) -> None:
    _go(page, "Overview")
    page.locator("main").get_by_role("link", name=NAME).click()
    page.get_by_role("button", name="Retry webhook").click()
    page.get_by_text("it gets events").wait_for()


def _drain(opened: Tab, hook: Webhook) -> None:
    """Those whose retries ran out, and the one that came while it was disabled."""
    page = opened.page
    before = len(hook.bodies)
    page.get_by_role("link", name=re.compile("^Drain ")).click()
    page.get_by_role("button", name="Count first").click()
    page.get_by_text("3 events would be sent now").wait_for()
    opened.shoot("journey-4-undelivered")
    page.get_by_role("button", name="Start replay").click()
    expect(page.locator("#progress")).to_contain_text("3 of 3 events")
    assert len(hook.bodies) == before + 3
    _open_registration(page, "Undelivered")
    page.get_by_text("Nothing is undelivered").wait_for()


def _find(page: Page, event_id: str) -> None:
    _open_event(page, event_id)
    card = page.get_by_role("region", name=NAME, exact=True)
    expect(card).to_contain_text("200")


def _open_event(page: Page, event_id: str) -> None:
    page.get_by_label("Find an event by id").fill(event_id)
    page.keyboard.press("Enter")
    page.locator("main table").get_by_role("link", name=CODE).click()
    page.get_by_text("One event's life").wait_for()


def _explain_filtered(opened: Tab) -> None:
    """The filter is written, an event that it keeps back is published, and its page says which path wanted what."""
    page = opened.page
    _open_registration(page, "Filter")
    page.get_by_label("Filter", exact=True).fill('{"data": {"left": [{"numeric": ["<", 2]}]}}')
    page.get_by_label("Name").fill("Nearly out")
    page.get_by_role("button", name="Apply").click()
    page.get_by_text("The filter is applied").wait_for()
    _register(page, "Stock to reports", None)
    _publish(page, "kept-back", left=9)
    _open_event(page, "kept-back")
    told = page.get_by_role("row", name=re.compile(NAME)).inner_text()
    assert "left" in told and "numeric" in told and "9" in told
    opened.check_accessible()
    opened.shoot("journey-5-explained")


def _see_nodes(opened: Tab, count: int) -> None:
    """Each of a cluster, with what it holds; a gateway of its own tells of none."""
    page = opened.page
    _go(page, "Operations")
    page.get_by_role("heading", name="Store").wait_for()
    rows = page.get_by_role("region", name="Nodes").locator("tbody tr")
    assert rows.count() == count, rows.all_inner_texts()
    opened.check_accessible()
    opened.shoot(f"journey-6-operations-{count}")
    page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
    opened.check_fits()
    opened.shoot(f"journey-6-operations-{count}-390")


def _go(page: Page, section: str) -> None:
    page.get_by_role("navigation", name="Console").get_by_role("link", name=section).click()
    page.wait_for_load_state()


def _open_registration(page: Page, view: str = "") -> None:
    _go(page, "Registrations")
    page.locator("main").get_by_role("link", name=NAME).click()
    if view:
        page.get_by_role("navigation", name="Registration").get_by_role("link", name=view).click()


def _advance(page: Page, words: str) -> None:
    """Every attempt that falls due on the way is made."""
    _go(page, "Emulator")
    page.get_by_role("button", name=words).click(timeout=_ADVANCES_MS)
    page.get_by_text("The clock moved forward").wait_for(timeout=_ADVANCES_MS)


def _read_mail(opened: Tab, subject: str) -> None:
    """It is in the mailbox of the node that sent it: whoever is led to another one looks again."""
    page = opened.page
    _go(page, "Emulator")
    mail = page.get_by_role("region", name="Mails").get_by_role("link", name=subject)
    _reload_until_there(page, mail)
    mail.first.click()
    _reload_until_there(page, page.locator("pre.mail-text"))
    assert NAME in page.locator("pre.mail-text").inner_text()


def _reload_until_there(page: Page, wanted: Locator) -> None:
    page.wait_for_load_state()
    for _ in range(4):
        if wanted.count():
            return
        page.reload()
    expect(wanted.first).to_be_visible()
