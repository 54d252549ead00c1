"""Event Browser, filter, undelivered and replays: how they look, for everybody, and in whose hands they change."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.e2e.gateway import Gateway
from tests.ui.browser import NARROW, WIDE, Theme, tab
from tests.ui.conftest import add_organization, add_user
from tests.ui.stocked import Stocked, give_past, stock
from tests.ui.test_signing_in import sign_in
from tests.ui.webhook import webhook

EXPIRED = "1.0.0.20260101.1"
"""Of a generation before the gateway's first."""


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stocked]:
    """A registration with a past, and a replay that has hardly begun; nothing here changes it."""
    gateway = Gateway(tmp_path_factory.mktemp("past") / "data", ("--dev",))
    try:
        gateway.start()
        with webhook() as hook:
            stocked = stock(gateway, hook)
            give_past(stocked)
            place = f"/registrations/{stocked.registration}/replays"
            stocked.api("POST", place, {"scope": "all", "events_per_second": 0.02})
            yield stocked
    finally:
        gateway.close()


def pages(past: Stocked) -> dict[str, str]:
    """By a name for their pictures."""
    replay = past.api("GET", f"/registrations/{past.registration}/replays").json()["items"][0]["id"]
    first, second = [each["position"] for each in past.undelivered()["items"][:2]]
    return {
        "journal": f"{past.page}/journal?limit=10",
        "journal-open": f"{past.page}/journal?since={first}&open={second}",
        "journal-raw": f"{past.page}/journal?limit=10&raw=1",
        "journal-end": f"{past.page}/journal?latest=true",
        "journal-expired": f"{past.page}/journal?since={EXPIRED}",
        "filter": f"{past.page}/filter",
        "filter-begun": f"{past.page}/filter?use=numeric",
        "undelivered": f"{past.page}/undelivered",
        "undelivered-cause": f"{past.page}/undelivered?cause=refused",
        "replays": f"{past.page}/replays",
        "replay": f"{past.page}/replays/{replay}",
    }


@pytest.mark.parametrize(
    ("size", "theme"),
    [(WIDE, "light"), (WIDE, "dark"), (NARROW, "light"), (NARROW, "dark")],
    ids=["wide-light", "wide-dark", "narrow-light", "narrow-dark"],
)
def test_every_tab_can_be_looked_at(browser: Browser, past: Stocked, size: tuple[int, int], theme: Theme) -> None:
    """axe finds no serious fault, nothing sticks out, no script fails; the pictures are in `.make/screens`."""
    with tab(browser, past.gateway.url, size=size, theme=theme) as opened:
        for name, path in pages(past).items():
            opened.open(path)
            opened.check_fits()
            opened.check_accessible()
            opened.shoot(f"registration-{name}-{size[0]}-{theme}")


def test_every_tab_can_be_read_without_scripts(browser: Browser, past: Stocked) -> None:
    """Events, causes, progress and the gallery are there, and every way through the journal is a link or a form."""
    with tab(browser, past.gateway.url, script=False) as opened:
        for path in pages(past).values():
            assert opened.open(path).locator("h1").count() == 1, path
        page = opened.open(f"{past.page}/journal?limit=10")
        page.get_by_role("link", name="Next batch").click()
        assert page.locator("table.journal tbody tr").count() == 9
        page.get_by_role("link", name=re.compile("^Show event")).first.click()
        assert '"sku"' in page.get_by_label(re.compile("^Event at")).inner_text()
        page.get_by_role("link", name="Go to end").click()
        assert page.get_by_text("This is the end").is_visible()


def test_the_empty_tell_the_next_step(browser: Browser, dev: Gateway) -> None:
    """A registration that nothing happened to: four pages, none of them blank."""
    with webhook() as hook, tab(browser, dev.url) as opened:
        place = stock(dev, hook).page
        for name, said in (
            ("journal", "The journal is empty"),
            ("undelivered", "Nothing is undelivered"),
            ("replays", "No replay yet"),
            ("filter", "gets every event"),
        ):
            page = opened.open(f"{place}/{name}")
            assert page.get_by_text(said).first.is_visible(), name
            opened.check_accessible()
            opened.shoot(f"registration-{name}-empty-1280-light")


def test_a_viewer_changes_nothing(browser: Browser, strict: Gateway) -> None:
    """The pages offer no change but trying a filter, which stores nothing; what is sent all the same is refused."""
    with webhook() as hook:
        stocked = stock(strict, hook)
        give_past(stocked)
        with tab(browser, strict.url) as opened:
            opened.expected = (403,)
            page = sign_in(opened, "viewer")
            for name in ("journal", "undelivered", "replays", "filter"):
                opened.open(f"{stocked.page}/{name}")
                forms = page.locator("main form[method=post]")
                assert forms.count() == (1 if name == "filter" else 0), name
            assert page.get_by_role("button", name="Apply").count() == 0
            token = page.locator("main input[name=csrf]").first.get_attribute("value")
            before = stocked.undelivered()["total"]
            for action in ("undelivered/replay", "undelivered/resend", "journal/cursors", "filter", "filter/remove"):
                answer = page.request.post(
                    f"{strict.url}{stocked.page}/{action}",
                    form={"csrf": token or "", "do": "start", "name": "x", "filter": '{"type":["a"]}'},
                )
                assert answer.status == 403, action
            assert stocked.undelivered()["total"] == before


def test_what_is_another_organizations_is_not_there(browser: Browser, strict: Gateway) -> None:
    """404, for who may see the other organization only, and for the other organization's name in the address."""
    with webhook() as hook:
        stocked = stock(strict, hook, "Depot")
        other = add_organization(strict, "Elsewhere")
        add_user(strict, "outsider", "admin", "--org", other)
        with tab(browser, strict.url) as opened:
            page = sign_in(opened, "outsider")
            for name in ("journal", "filter", "undelivered", "replays", "replays/x", "journal/live", "replays/x/live"):
                for org in ("1001", other):
                    path = f"{stocked.page.replace('/1001/', f'/{org}/')}/{name}"
                    answer = page.request.get(f"{strict.url}{path}", headers={"accept": "text/html"})
                    assert answer.status == 404, path
