"""Documents and code say the same: generated pages, links, tables of names."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from eventmill import config, telemetry
from eventmill.config import Config
from scripts.generate_docs import config_sections, pages

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


@pytest.mark.parametrize(("path", "text"), [pytest.param(path, text, id=path.name) for path, text in pages()])
def test_generated_pages_are_up_to_date(path: Path, text: str) -> None:
    """`make docs` would change nothing."""
    assert path.read_text() == text


def test_every_setting_is_documented() -> None:
    """The reader of the source loses no field of `Config`, and every one stands under a heading."""
    named = [name for section in config_sections(Path(config.__file__).read_text()) for name, _ in section.fields]

    assert named == list(Config.__struct_fields__)


def test_log_events_are_constants() -> None:
    """Each event of the table is one constant named like its event, so that call sites and logs read alike."""
    constants = {value for name, value in vars(telemetry).items() if name.isupper() and isinstance(value, str)}

    assert constants == set(telemetry.MEANINGS)
    assert all(getattr(telemetry, name.upper()) == name for name in telemetry.MEANINGS)


def test_every_log_event_is_logged_somewhere() -> None:
    """The table promises nothing that no module says."""
    modules = [path for path in ROOT.glob("src/eventmill/**/*.py") if path.name != "telemetry.py"]
    used = set(re.findall(r"telemetry\.([A-Z_]+)", "\n".join(path.read_text() for path in modules)))

    assert {name.lower() for name in used} == set(telemetry.MEANINGS)


def test_every_dependency_has_its_reason() -> None:
    """docs/dependencies.md has a row for each run-time and each development dependency, and for nothing else."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    extras = project["project"]["optional-dependencies"]
    assert {*extras["otel"], *extras["postgres"]} <= set(wanted)
    rows = re.findall(r"^\| `([a-z0-9-]+)` \|", (ROOT / "docs/dependencies.md").read_text(), re.MULTILINE)

    assert sorted(rows) == sorted(re.split(r"[<>=\[]", line)[0] for line in wanted)


@pytest.mark.parametrize("page", [pytest.param(page, id=page.name) for page in PAGES])
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    """Every relative link and its heading exist."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        linked = (page.parent / name) if name else page
        assert linked.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in anchors(linked.read_text()), f"{page.name} links to {target}"


def test_the_site_shows_every_page() -> None:
    """Each page stands in the site's navigation, once."""
    nav = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"]
    shown = [page for section in nav for group in section.values() for page in group]

    assert sorted(shown) == [path.name for path in PAGES if path.parent.name == "docs"]


def test_generated_pages_say_so() -> None:
    """Whoever opens a generated page is told where to edit instead."""
    assert all("by `make docs`" in text for _, text in pages())


def anchors(markdown: str) -> set[str]:
    """The heading anchors as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", markdown, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
