"""`eventmill phi-audit`: what became of events with protected health information, as lines of JSON."""

from __future__ import annotations

import json
from typing import TextIO
from urllib.parse import urlencode

import click

from eventmill.cli.places import find_org, org_option
from eventmill.cli.remote import Remote, remote_options


@click.group("phi-audit", short_help="The audit trail of protected health information")
def phi_audit() -> None:
    """The audit trail of events that were published with x-event-phidata: true. It is kept for a year."""


@phi_audit.command()
@org_option
@click.option("--from", "from_", metavar="TIME", help="Only what happened then or later, such as 2026-03-01.")
@click.option("--to", metavar="TIME", help="Only what happened before then.")
@click.option("--out", type=click.File("w", encoding="utf-8"), default="-", help="File to write.  [default: stdout]")
@remote_options
def export(remote: Remote, org: str | None, from_: str | None, to: str | None, out: TextIO) -> None:
    """Write the audit trail of an organization, one JSON object a line, in the order of writing."""
    path = f"/events/{find_org(remote, org)['id']}/phi-audit"
    asked = {name: value for name, value in (("from", from_), ("to", to)) if value is not None}
    after: int | None = 0
    while after is not None:
        page = remote.call("GET", f"{path}?{urlencode({**asked, 'after': after})}")[1]
        out.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in page["records"])
        after = page["next"]
