"""Write the tables of docs/fidelity.md from what the suites of the official clients recorded in their last run.

The text before the tables is written by hand. A suite that is on the page but recorded nothing (its client is not
installed here) stops the writing, so that its table is not lost.
"""

from __future__ import annotations

import json
import re
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "fidelity.md"
RECORDS = ROOT / "tests" / "e2e" / ".fidelity"
BEGIN = "<!-- Made from the runs of the official clients by `make fidelity`; everything below is rewritten. -->"


def read_records() -> list[dict[str, Any]]:
    records = [json.loads(path.read_bytes()) for path in sorted(RECORDS.glob("*.json"))]
    return sorted(records, key=lambda record: (record["client"], record["title"]))


def render_tables(records: list[dict[str, Any]]) -> str:
    lines = []
    for (name, version), suites in groupby(records, key=lambda record: (record["client"], record["version"])):
        lines += ["", f"## {name} {version}"]
        for suite in suites:
            lines += ["", f"### {suite['title']}", "", "| operation | against Eventmill |", "|---|---|", *suite["rows"]]
    return "\n".join(lines) + "\n"


def suites_of(page: str) -> set[str]:
    """Client and suite headings, without the clients' versions, which may have changed since."""
    found = set()
    client = ""
    for heading in re.findall(r"^###? .*$", page, re.MULTILINE):
        if heading.startswith("### "):
            found.add(f"{client}: {heading.removeprefix('### ')}")
        else:
            client = heading.removeprefix("## ").rsplit(" ", 1)[0]
    return found


def main() -> int:
    intro, found, tables = PAGE.read_text("utf-8").partition(BEGIN)
    if not found:
        print(f"{PAGE} has lost the line after which the tables begin: {BEGIN}", file=sys.stderr)
        return 1
    rendered = render_tables(read_records())
    missing = suites_of(tables) - suites_of(rendered)
    if missing:
        print(f"not recorded in the last run, so not written: {', '.join(sorted(missing))}", file=sys.stderr)
        return 1
    PAGE.write_text(f"{intro}{BEGIN}\n{rendered}", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
