"""Registrations: their list, the *add events* wizard, and one registration from its state to its end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.e2e.gateway import Gateway
from tests.ui.browser import NARROW, WIDE, Theme, tab
from tests.ui.conftest import add_organization, add_user
from tests.ui.content import CODE
from tests.ui.stocked import stock
from tests.ui.test_signing_in import sign_in
from tests.ui.traced import LIST, Traced, register, traced
from tests.ui.webhook import webhook


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    """Registrations in every condition; nothing here changes them."""
    gateway = Gateway(tmp_path_factory.mktemp("many") / "data", ("--dev",))
    try:
        gateway.start()
        with traced(gateway) as opened:
            opened.stocked.api("PATCH", f"/registrations/{opened.ids['off']}", SWITCH_OFF)
            yield opened
    finally:
        gateway.close()


SWITCH_OFF = [{"op": "replace", "path": "/enabled", "value": False}]


def pages(many: Traced) -> dict[str, str]:
    """By a name for their pictures."""
    provider, chosen = many.stocked.provider, f"chosen={many.stocked.provider}%2F{CODE}"
    return {
        "list": LIST,
        "list-unstable": f"{LIST}?status=unstable",
        "list-none": f"{LIST}?q=nothing",
        "details": many.page,
        **{f"details-{what}": many.page_of(what) for what in many.ids},
        "edit": f"{many.page}/edit",
        "delete": f"{many.page}/delete",
        "new-provider": f"{LIST}/new",
        "new-events": f"{LIST}/new/events?provider={provider}&{chosen}",
        "new-delivery": f"{LIST}/new/delivery?{chosen}",
        "change-events": f"{LIST}/new/events?provider={provider}&for={many.stocked.registration}",
    }


@pytest.mark.parametrize(
    ("size", "theme"),
    [(WIDE, "light"), (WIDE, "dark"), (NARROW, "light"), (NARROW, "dark")],
    ids=["wide-light", "wide-dark", "narrow-light", "narrow-dark"],
)
def test_every_page_can_be_looked_at(browser: Browser, many: Traced, size: tuple[int, int], theme: Theme) -> None:
    """axe finds no serious fault, nothing sticks out, no script fails; the pictures are in `.make/screens`."""
    with tab(browser, many.stocked.gateway.url, size=size, theme=theme) as opened:
        for name, path in pages(many).items():
            opened.open(path)
            opened.check_fits()
            opened.check_accessible()
            opened.shoot(f"registrations-{name}-{size[0]}-{theme}")


def test_every_page_can_be_read_without_scripts(browser: Browser, many: Traced) -> None:
    """What stands in them does not wait for a script."""
    with tab(browser, many.stocked.gateway.url, script=False) as opened:
        for path in pages(many).values():
            assert opened.open(path).locator("h1").count() == 1, path


def test_the_list_is_found_by_status_and_name(browser: Browser, many: Traced) -> None:
    """Each status has its number; both narrow what is shown, while typing."""
    with tab(browser, many.stocked.gateway.url) as opened:
        page = opened.open(LIST)
        assert page.locator("tbody tr").count() == 6
        row = page.locator("tbody tr").filter(has_text="Stock to shop windows")
        assert "unstable" in row.inner_text() and "0.0 % of" in row.inner_text()
        page.get_by_role("link", name="switched off 1").click()
        assert page.locator("tbody tr a.strong").all_inner_texts() == ["Stock to suppliers"]
        page.get_by_role("link", name="all 6").click()
        page.get_by_label("Filter by name, address or id").press_sequentially("reports")
        page.wait_for_url("**q=reports*")
        assert page.locator("tbody tr a.strong").all_inner_texts() == ["Stock to reports"]


def test_long_lists_come_in_pages(browser: Browser, dev: Gateway) -> None:
    """By name, 25 at a time; none is left out, none comes twice."""
    with webhook() as hook, tab(browser, dev.url) as opened:
        stocked = stock(dev, hook)
        names = {register(stocked, f"Shop {at:02}", delivery_type="journal"): f"Shop {at:02}" for at in range(28)}
        page = opened.open(f"{LIST}?q=shop")
        first = page.locator("tbody tr a.strong").all_inner_texts()
        page.get_by_role("link", name="Next").click()
        second = page.locator("tbody tr a.strong").all_inner_texts()
        assert len(first) == 25 and [*first, *second] == sorted(names.values())
        assert page.get_by_role("link", name="Next").count() == 0


def test_the_empty_list_tells_the_next_step(browser: Browser, dev: Gateway) -> None:
    with tab(browser, dev.url) as opened:
        page = opened.open(LIST)
        page.get_by_text("No registration yet").wait_for()
        opened.check_accessible()
        opened.shoot("registrations-empty-1280-light")
        page.get_by_role("link", name="Create a provider first").click()
        page.get_by_role("heading", name="New provider").wait_for()


def _choose(page: Page) -> None:
    """From the list to the delivery step, by what is on the pages."""
    page.get_by_role("link", name="Add events").click()
    page.locator("main").get_by_role("link", name="Warehouse").click()
    page.get_by_role("button", name="Next: delivery").click()
    page.get_by_text("Choose at least one event type").wait_for()
    page.get_by_label("Stock low").check()
    page.get_by_role("button", name="Add from another provider").click()
    page.locator(".rail").get_by_text(CODE).wait_for()
    page.get_by_role("link", name="Adobe Analytics").click()
    page.get_by_role("checkbox").first.check()
    page.get_by_role("button", name="Next: delivery").click()


@pytest.mark.parametrize("script", [True, False])
def test_the_wizard_makes_a_registration(browser: Browser, dev: Gateway, script: bool) -> None:
    """Provider, event types of two, delivery, review, create, with and without scripts; then a sample arrives."""
    with webhook() as hook, tab(browser, dev.url, script=script) as opened:
        stock(dev, hook)
        page = opened.open(LIST)
        _choose(page)
        page.get_by_label("Name").fill("Stock to shops")
        page.get_by_label("Webhook, in batches").check()
        page.get_by_label("Webhook address").fill(hook.url)
        page.get_by_role("button", name="Next: review").click()
        page.get_by_text("Is it right so?").wait_for()
        assert hook.url in page.locator("main").inner_text()
        opened.check_fits()
        if script:
            opened.check_accessible()
        opened.shoot(f"registrations-new-review-1280-{script}")
        page.get_by_role("button", name="Back").click()
        assert page.get_by_label("Name").input_value() == "Stock to shops"
        page.get_by_role("button", name="Next: review").click()
        page.get_by_role("button", name="Create registration").click()
        page.get_by_text("The registration is there").wait_for()
        assert page.get_by_text("several events per request").is_visible()
        assert page.locator("#events .row").count() == 2
        page.get_by_role("button", name=f"Send sample of {CODE}").click()
        page.get_by_text("A sample is on its way").wait_for()


def test_refusals_stand_at_their_fields(browser: Browser, dev: Gateway) -> None:
    """What the API says about a member is at that member's field; what was typed is still there."""
    with webhook() as hook, tab(browser, dev.url) as opened:
        opened.expected = (400, 409)
        provider = stock(dev, hook).provider
        page = opened.open(f"{LIST}/new/delivery?chosen={provider}%2F{CODE}")
        page.get_by_role("button", name="Next: review").click()
        assert page.locator("#p-name").inner_text() == "required, but missing"
        page.get_by_label("Name").fill("Stock to ERP")
        page.get_by_label("Webhook address").fill("ftp://nowhere")
        page.get_by_role("button", name="Next: review").click()
        page.get_by_role("button", name="Create registration").click()
        assert "http" in page.locator("#p-webhook_url").inner_text()
        assert page.get_by_label("Webhook address").get_attribute("aria-invalid") == "true"
        assert page.get_by_label("Webhook address").input_value() == "ftp://nowhere"
        opened.check_accessible()
        opened.shoot("registrations-new-refused-1280-light")
        page.get_by_label("Webhook address").fill(hook.url)
        page.get_by_text("Pace", exact=True).click()
        page.get_by_label("Deliveries at once").fill("many")
        page.get_by_role("button", name="Next: review").click()
        page.get_by_role("button", name="Create registration").click()
        assert page.locator("#p-max_in_flight").is_visible()
        page.get_by_label("Deliveries at once").fill("")
        page.get_by_role("button", name="Next: review").click()
        page.get_by_role("button", name="Create registration").click()
        assert "exists" in page.locator("#p-name").inner_text()


def test_a_registration_is_edited_switched_and_deleted(browser: Browser, dev: Gateway) -> None:
    """Its form begins with what it is; off and on again; its events change; it goes after a question."""
    with webhook() as hook, tab(browser, dev.url) as opened:
        stocked = stock(dev, hook)
        page = opened.open(stocked.page)
        page.get_by_role("link", name="Edit").click()
        assert page.get_by_label("Webhook address").input_value() == hook.url
        page.get_by_label("Name").fill("Stock to the ERP")
        page.get_by_text("Pace", exact=True).click()
        page.get_by_label("Events per second").fill("2.5")
        page.get_by_role("button", name="Save").click()
        page.get_by_role("heading", name="Stock to the ERP").wait_for()
        assert page.get_by_text("2.5 events per second").is_visible()
        page.once("dialog", lambda dialog: dialog.accept())
        page.get_by_role("button", name="Switch off").click()
        page.get_by_text("It is switched off").wait_for()
        page.get_by_role("link", name="Edit").click()
        page.get_by_role("button", name="Save").click()
        page.get_by_role("button", name="Switch on").click()
        page.get_by_text("It is switched on").wait_for()
        page.get_by_role("link", name="Change events").click()
        page.get_by_role("link", name="Adobe Analytics").click()
        page.get_by_role("checkbox").first.check()
        page.get_by_role("button", name="Save events").click()
        page.get_by_text("Its events are changed").wait_for()
        assert page.locator("#events .row").count() == 2
        page.get_by_role("link", name="Delete").click()
        page.get_by_role("button", name="Delete registration").click()
        page.get_by_text("is deleted").wait_for()
        assert page.get_by_role("link", name="Stock to the ERP").count() == 0


def test_a_failed_challenge_is_told_and_repeated(browser: Browser, dev: Gateway) -> None:
    """The page says that nothing is sent and why; once the webhook answers, one button enables it."""
    with webhook() as hook, tab(browser, dev.url) as opened:
        stocked = stock(dev, hook)
        gone = register(stocked, "Stock to a till", webhook_url="http://127.0.0.1:9/hook")
        page = opened.open(f"{LIST}/{gone}")
        assert "did not agree" in page.get_by_role("alert").inner_text()
        page.get_by_role("button", name="Retry webhook").click()
        page.get_by_text("failed the challenge again").wait_for()
        page.get_by_role("link", name="Edit").click()
        page.get_by_label("Webhook address").fill(hook.url)
        page.get_by_role("button", name="Save").click()
        page.get_by_text("It is changed").wait_for()
        page.get_by_role("button", name="Challenge again").click()
        page.get_by_text("answered the challenge: it gets events").wait_for()


def test_a_failing_webhook_tells_its_rule(browser: Browser, many: Traced) -> None:
    """How many attempts failed, whether that is too many, when it is looked at again, and what then."""
    with tab(browser, many.stocked.gateway.url) as opened:
        page = opened.open(many.page_of("failing"))
        state = page.locator("section.card").filter(has=page.get_by_role("heading", name="State"))
        assert "attempts failed failing" in " ".join(state.inner_text().split())
        assert "then hook unreachable" in state.inner_text()
        page = opened.open(many.page)
        page.get_by_role("link", name="Drain 1 missed").click()
        assert page.url.endswith("/undelivered")


def test_hostile_names_do_no_harm(browser: Browser, dev: Gateway) -> None:
    """Of registrations and what they say of themselves: shown as text, on every page that names them."""
    harm = "Invoice \u202egnp.exe <script>document.title='taken'</script>{{7*7}}"
    with webhook() as hook, tab(browser, dev.url) as opened:
        stocked = stock(dev, hook)
        hostile = register(stocked, harm, webhook_url=hook.url, description="\u2067" + "x" * 4900)
        for below in ("", "/edit", "/delete", "/traces", "?after=zzz"):
            page = opened.open(f"{LIST}/{hostile}{below}")
            shown = page.locator("body").inner_text()
            assert "\u202e" not in shown and "U+202E" in shown, below
            assert "taken" not in page.title() or "document.title" in page.title()
            assert page.locator("main script").count() == 0
            opened.check_fits()
            opened.check_accessible()
        page = opened.open(LIST)
        assert "U+202E" in page.locator("tbody").inner_text()
        opened.check_fits()
        opened.shoot("registrations-hostile-1280-light")
        page = opened.open(f"{LIST}/new/delivery?chosen=%3Cscript%3E/{CODE}")
        assert "<script>" in page.locator(".rail").inner_text()


def test_a_viewer_looks_and_changes_nothing(browser: Browser, strict: Gateway) -> None:
    """No page offers a change; what is sent all the same is refused, and nothing moves."""
    with webhook() as hook:
        stocked = stock(strict, hook, "Yard")
        with tab(browser, strict.url) as opened:
            opened.expected = (403,)
            page = sign_in(opened, "viewer")
            for path in (LIST, stocked.page, f"{stocked.page}/traces"):
                opened.open(path)
                assert page.locator("main form[method=post]").count() == 0, path
                assert page.get_by_role("link", name="Add events").count() == 0
            before = stocked.api("GET", f"/registrations/{stocked.registration}").json()
            token = page.locator("input[name=csrf]").first.get_attribute("value")
            below = ("", "/switch", "/challenge", "/sample", "/delete", "/traces/x/resend")
            for path in (*(stocked.page + each for each in below), LIST, f"{LIST}/new/events", f"{LIST}/new/review"):
                answer = page.request.post(f"{strict.url}{path}", form={"csrf": token or "", "name": "Taken over"})
                assert answer.status == 403, path
            for path in (f"{LIST}/new", f"{stocked.page}/edit", f"{stocked.page}/delete"):
                assert page.request.get(f"{strict.url}{path}").status == 403, path
            assert stocked.api("GET", f"/registrations/{stocked.registration}").json() == before


def test_what_is_another_organizations_is_not_there(browser: Browser, strict: Gateway) -> None:
    """404 for who may see another organization only, and below that organization's own address."""
    with webhook() as hook:
        stocked = stock(strict, hook, "Quay")
        other = add_organization(strict, "Faraway")
        add_user(strict, "stranger", "admin", "--org", other)
        with tab(browser, strict.url) as opened:
            page = sign_in(opened, "stranger")
            for below in ("", "/edit", "/delete", "/traces", "/traces/live", "/traces/x"):
                for org in ("1001", other):
                    path = stocked.page.replace("/1001/", f"/{org}/") + below
                    assert page.request.get(f"{strict.url}{path}").status == 404, path
            page.goto(f"{strict.url}/ui/orgs/{other}/registrations")
            assert page.get_by_text("No registration yet").is_visible()
            target = f"{strict.url}/ui/orgs/{other}/registrations/new?for={stocked.registration}"
            assert page.request.get(target).status == 404
