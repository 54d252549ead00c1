"""What the official clients did against the gateway, as docs/fidelity.md shows it.

Each suite records one table: an operation of its client and how it went. The records are what
`scripts/generate_fidelity.py` makes the page from; a suite fails when the page says something else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent.parent
PAGE = ROOT / "docs" / "fidelity.md"
RECORDS = ROOT / "tests" / "e2e" / ".fidelity"


class Client(NamedTuple):
    """An official client, in the very version that is installed."""

    name: str
    version: str

    @property
    def heading(self) -> str:
        return f"## {self.name} {self.version}"


def npm_package(project: Path, name: str) -> Client:
    """A client from npm, in the version that the project's lock file pins."""
    lock = json.loads((project / "package-lock.json").read_bytes())
    return Client(name, lock["packages"][f"node_modules/{name}"]["version"])


def maven_libraries(project: Path, name: str, version_property: str) -> Client:
    """Libraries from Maven Central, in the version that the project's pom pins."""
    found = re.search(f"<{version_property}>(.*)</{version_property}>", (project / "pom.xml").read_text("utf-8"))
    assert found is not None
    return Client(name, found[1])


class Suite(NamedTuple):
    """One table of the page: what one client did in one test."""

    client: Client
    title: str
    rows: list[tuple[str, str]]

    @property
    def lines(self) -> list[str]:
        return [f"| {operation} | {outcome} |" for operation, outcome in self.rows]


def check_fidelity(*suites: Suite) -> None:
    """Record the tables, then see that the page has these very tables."""
    RECORDS.mkdir(exist_ok=True)
    for suite in suites:
        name, version = suite.client
        record = {"client": name, "version": version, "title": suite.title, "rows": suite.lines}
        path = RECORDS / f"{_slug(name)}.{_slug(suite.title)}.json"
        path.write_text(json.dumps(record, indent=1), "utf-8")
    shown = tables_of(PAGE.read_text("utf-8"))
    for suite in suites:
        on_page = shown.get((suite.client.heading, f"### {suite.title}"))
        assert on_page == suite.lines, "docs/fidelity.md is not what this run says; `make fidelity` rewrites it"


def outcome_rows(outcomes: Mapping[str, list[str]]) -> list[tuple[str, str]]:
    """Rows from the outcomes of each operation, as the recorders beside the clients tell them."""
    return [(f"`{operation}`", "; ".join(told)) for operation, told in outcomes.items()]


def tables_of(page: str) -> dict[tuple[str, str], list[str]]:
    """The rows under each (client, suite) heading of the page, without the tables' heads."""
    tables: dict[tuple[str, str], list[str]] = {}
    client = suite = ""
    for line in page.splitlines():
        if line.startswith("## "):
            client, suite = line, ""
        elif line.startswith("### "):
            suite = line
            tables[client, suite] = []
        elif suite and line.startswith("| "):
            tables[client, suite].append(line)
    return {heading: rows[1:] for heading, rows in tables.items()}


def _slug(text: str) -> str:
    return "".join(each if each.isalnum() else "-" for each in text.lower()).strip("-")
