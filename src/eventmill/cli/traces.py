"""`eventmill traces`: the last attempts of a registration, and where the time of each went."""

from __future__ import annotations

from typing import Any

import click

from eventmill.cli.places import Json
from eventmill.cli.registrations import registration_options
from eventmill.cli.remote import Remote
from eventmill.cli.table import json_option, print_json, print_table

_COLUMNS = {
    "TIME": "time",
    "EVENT CODE": "code",
    "RETRY": "retry",
    "STATUS": "status",
    "MS": "total",
    "DNS": "dns",
    "CONNECT": "connect",
    "TLS": "tls",
    "FIRST BYTE": "first_byte",
    "WHY": "why",
}
_SHOWN = 20
_NO_ANSWER = 600
"""From here on, codes of attempts without an HTTP response."""


@click.command(short_help="The last attempts of a registration, and how long each took")
@registration_options
@click.option("--errors", is_flag=True, help="Only attempts whose status was not 2xx.")
@click.option("--limit", type=click.IntRange(min=1), default=_SHOWN, show_default=True, help="So many at most.")
@json_option
def traces(remote: Remote, registration: Json, *, errors: bool, limit: int, as_json: bool) -> None:
    """List the last attempts of a registration, newest first: when, with what status, and where the time went.

    REGISTRATION is an id or a name. Times are in milliseconds; a connection that was open already is `reused`.
    """
    place = f"{registration['consumer_id']}/{registration['project_id']}/{registration['workspace_id']}"
    found = remote.call("GET", f"/traces/{place}/registration/{registration['registration_id']}")[1]
    chosen = [each for each in found if not (errors and 200 <= _status(each) <= 299)][:limit]
    if as_json:
        print_json(chosen)
    else:
        none = "no attempt was answered with anything but 2xx" if errors and found else "no attempt yet"
        print_table([_row(each) for each in chosen], _COLUMNS, none)


def _status(entry: Json) -> int:
    return int(entry["trace"]["tracingResponse"]["responseCode"])


def _row(entry: Json) -> Json:
    request, response = entry["trace"]["tracingRequest"], entry["trace"]["tracingResponse"]
    timings: Json = entry["trace"].get("timings", {})
    return {
        "time": entry["date"],
        "code": entry["event"],
        "retry": ", ".join(request["requestHeaders"].get("x-adobe-retry-count", ())),
        "status": response["responseCode"],
        "total": _shown(timings.get("total", response["responseTime"])),
        "dns": _shown(timings.get("dns")),
        "connect": "reused" if timings.get("reused") else _shown(timings.get("connect")),
        "tls": _shown(timings.get("tls")),
        "first_byte": _shown(timings.get("firstByte")),
        "why": " ".join(response["responseBody"].split()) if _status(entry) >= _NO_ANSWER else "",
    }


def _shown(ms: Any) -> str:
    return "" if ms is None else f"{ms:.1f}"
