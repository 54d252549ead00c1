"""`eventmill explain`: what became of an event, and why it did not arrive where it did not."""

from __future__ import annotations

from urllib.parse import quote

import click

from eventmill.cli.places import Json, find_org, org_option
from eventmill.cli.remote import Remote, remote_options
from eventmill.cli.table import json_option, print_fields, print_json, print_table

_UNMATCHED_COLUMNS = {
    "PUBLISHED": "published_at",
    "EVENT": "id",
    "PUBLISHER'S ID": "published_id",
    "EVENT CODE": "code",
    "PROVIDER": "provider",
    "BY": "published_by",
    "CAUSE": "cause",
}
_SHOWN = 20


@click.command(short_help="What became of an event, and why it did not arrive")
@click.argument("event_id")
@org_option
@json_option
@remote_options
def explain(remote: Remote, event_id: str, org: str | None, *, as_json: bool) -> None:
    """Show who published an event, who was to get it, every attempt, and what comes next.

    EVENT_ID is the event's id in the gateway: x-adobe-event-id of its delivery, `eventid` in the journal. Of an event
    that nobody was to get, its publisher's id will do.
    """
    place = find_org(remote, org)["id"]
    body = remote.call("GET", f"/events/{place}/events/{quote(event_id, safe='')}")[1]
    if as_json:
        print_json(body)
        return
    _print_event(body["event"])
    if body["unmatched"] is not None:
        click.echo(f"\nnobody was to get it: {body['unmatched']['why']}")
    for registration in body["registrations"]:
        click.echo()
        _print_registration(registration)


@click.command(short_help="Events of the last 24 hours that nobody was to get")
@org_option
@click.option("--limit", type=click.IntRange(1, 1000), default=_SHOWN, show_default=True, help="So many at most.")
@json_option
@remote_options
def unmatched(remote: Remote, org: str | None, limit: int, *, as_json: bool) -> None:
    """List the newest events of the last 24 hours that were published and nobody was to get, and why."""
    body = remote.call("GET", f"/events/{find_org(remote, org)['id']}/unmatched?limit={limit}")[1]
    if as_json:
        print_json(body)
        return
    shown = [{**each, "provider": each["provider"]["label"]} for each in body["events"]]
    print_table(shown, _UNMATCHED_COLUMNS, "nothing to list")
    click.echo(f"{body['total']:,} in the last 24 hours")


def _print_event(event: Json) -> None:
    size = "" if event["size"] is None else f"{event['size']:,} bytes, {event['format']}"
    fields = [
        ("event", event["id"]),
        ("published as", event["published_id"]),
        ("event code", event["code"]),
        ("provider", f"{event['provider']['label']} ({event['provider']['id']})"),
        ("published", f"{event['published_at']} by {event['published_by']}"),
        ("position", event["position"]),
        ("size", size),
    ]
    print_fields([(label, value) for label, value in fields if value])


def _print_registration(registration: Json) -> None:
    """The attempts one by one, then what comes next."""
    name = registration["name"] or "a deleted registration"
    shown_id = registration["registration_id"] or f"number {registration['id']}"
    who = f"{name} ({shown_id})"
    print_fields([("registration", who), ("state", registration["state"]), ("why", registration["why"])])
    lines = [
        (each["at"], "attempt" if each["retry"] == 0 else f"retry {each['retry']}", _outcome(each))
        for each in registration["attempts"]
    ]
    if registration["next_due"] is not None:
        number = registration["next_retry"]
        lines.append((registration["next_due"], f"retry {number}" if number else "attempt", "to come"))
    width = max((len(what) for _, what, _ in lines), default=0)
    for at, what, outcome in lines:
        click.echo(f"  {at}  {what.ljust(width)}  {outcome}")


def _outcome(attempt: Json) -> str:
    return f"status {attempt['status']} after {attempt['duration_ms']:,} ms"
