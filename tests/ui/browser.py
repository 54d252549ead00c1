"""A headless Chromium for the tests of the console, and what no page may do: fail in its script, leave the machine, or
be hard to use for somebody who cannot see it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response, sync_playwright

ROOT = Path(__file__).parents[2]
SCREENS = ROOT / ".make" / "screens"
AXE = Path(__file__).parent / "node_modules/axe-core/axe.min.js"
WIDE = (1280, 800)
NARROW = (390, 844)
SERIOUS = ("serious", "critical")
_AXE_RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}

Theme = Literal["light", "dark"]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Says what to install when it is missing."""
    path = shutil.which("chromium")
    assert path is not None, "the tests of the console need Chromium: make .make/browser, or apt install chromium"
    assert AXE.exists(), "the tests of the console need axe-core: make .make/node, or npm ci in tests/ui"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@dataclass
class Tab:
    """A page of a fresh profile. `faults`: what it did that no page may."""

    page: Page
    base: str
    faults: list[str] = field(default_factory=list)
    expected: tuple[int, ...] = ()
    """Statuses that a test wants to see: the browser's console tells of each that is no success."""
    awaited: str = ""
    """A path that the page asks until the gateway is there again: that it fails meanwhile is no fault."""

    def watch(self) -> Tab:
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.faults.append(f"script failed: {error}"))
        self.page.on("request", self._asked)
        self.page.on("response", self._answered)
        return self

    def _heard(self, message: ConsoleMessage) -> None:
        is_expected = any(f"status of {status}" in message.text for status in self.expected)
        is_expected = is_expected or self._awaits(message.location["url"])
        if message.type in ("error", "warning") and not is_expected:
            self.faults.append(f"console: {message.text}")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((self.base, "data:")):
            self.faults.append(f"request to {request.url}")

    def _answered(self, response: Response) -> None:
        if response.status >= 500 and not self._awaits(response.url):
            self.faults.append(f"{response.status} of {response.url}")

    def _awaits(self, url: str) -> bool:
        return bool(self.awaited) and url == self.base + self.awaited

    def open(self, path: str) -> Page:
        self.page.goto(self.base + path)
        return self.page

    def check_accessible(self) -> None:
        """No serious fault that axe finds."""
        self.page.evaluate(AXE.read_text())
        found: dict[str, Any] = self.page.evaluate("(options) => axe.run(document, options)", _AXE_RULES)
        serious = [each for each in found["violations"] if each["impact"] in SERIOUS]
        told = [f"{each['id']}: {each['help']}: {each['nodes'][0]['html'][:200]}" for each in serious]
        assert not told, f"{self.page.url}: {told}"

    def check_fits(self) -> None:
        """Nothing sticks out to the right."""
        width = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert width <= 0, f"{self.page.url} is {width} px too wide"

    def shoot(self, name: str) -> None:
        SCREENS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENS / f"{name}.png", full_page=True)

    def check(self) -> None:
        assert not self.faults, self.faults


@contextmanager
def tab(
    browser: Browser, base: str, *, size: tuple[int, int] = WIDE, theme: Theme = "light", script: bool = True
) -> Iterator[Tab]:
    """Whatever it did that no page may fails the test at its end."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme=theme, java_script_enabled=script
    )
    opened = Tab(context.new_page(), base).watch()
    try:
        yield opened
        opened.check()
    finally:
        context.close()
