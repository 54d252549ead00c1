"""`eventmill undelivered` and `eventmill resend`: what a registration did not get, and one event of it again."""

from __future__ import annotations

from urllib.parse import quote, urlencode

import click

from eventmill.cli.places import Json
from eventmill.cli.registrations import registration_options, registration_path
from eventmill.cli.remote import Remote
from eventmill.cli.table import json_option, print_json, print_table

_COLUMNS = {
    "POSITION": "position",
    "PUBLISHED": "time",
    "EVENT": "event_id",
    "EVENT CODE": "event_code",
    "CAUSE": "cause",
    "STATUS": "status",
}
_SHOWN = 20


@click.command(short_help="What a registration did not get, and why")
@registration_options
@click.option("--cause", metavar="CAUSE", help="Only of this cause, such as gave_up.")
@click.option("--after", metavar="POSITION", help="Only what comes after this one.")
@click.option("--limit", default=_SHOWN, show_default=True, help="So many at most.")
@json_option
def undelivered(remote: Remote, registration: Json, *, as_json: bool, **options: str | int | None) -> None:
    """List the events that a registration did not get, oldest first, and why.

    REGISTRATION is an id or a name. Nothing of it is sent by itself; the last line has the command that sends it.
    """
    query = urlencode({name: value for name, value in options.items() if value is not None})
    body = remote.call("GET", f"{registration_path(registration)}/undelivered?{query}")[1]
    if as_json:
        print_json(body)
        return
    print_table(body["items"], _COLUMNS, "nothing to list")
    if body["next"] is not None:
        click.echo(f"… more come after {body['items'][-1]['position']}: --after, or a larger --limit")
    click.echo(summarize(body, registration))


def summarize(body: Json, registration: Json) -> str:
    """In a line or two: how many, since when, why, and what sends them."""
    total = body["total"]
    if not total:
        return f"{registration['name']}: everything was delivered, or is still being tried"
    why = ", ".join(f"{count:,} {cause}" for cause, count in body["causes"].items())
    events = "1 event" if total == 1 else f"{total:,} events"
    told = f"{registration['name']}: {events} undelivered ({why}), the oldest of {body['oldest']}."
    if total == body["causes"].get("expired"):
        return f"{told} It is kept no longer, and cannot be sent"
    command = f"eventmill replay start {registration['registration_id']}"
    return f"{told} Nothing of it is sent by itself; to send it:\n  {command}"


@click.command(short_help="Send one event to a registration again")
@registration_options
@click.argument("event_id")
@click.option("--attempt", is_flag=True, help="EVENT_ID is an attempt's, from `eventmill traces`: send what it held.")
@json_option
def resend(remote: Remote, registration: Json, event_id: str, *, attempt: bool, as_json: bool) -> None:
    """Send one event to a registration once more, now.

    EVENT_ID is the event's id in the gateway: x-adobe-event-id of its delivery, `eventid` in the journal. A retry
    that is scheduled is made now instead.
    """
    kind = "attempts" if attempt else "events"
    body = remote.call("POST", f"{registration_path(registration)}/{kind}/{quote(event_id, safe='')}/resend")[1]
    if as_json:
        print_json(body)
        return
    for resent in body["items"] if attempt else [body]:
        click.echo(resent["message"])
