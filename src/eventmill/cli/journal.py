"""`eventmill journal`: read a registration's journal, follow it, and keep cursors in it."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import click

from eventmill.cli.form import Form, form_options, print_items, print_one, print_value, show_again, watch_option
from eventmill.cli.journals import Busy, journal_start, journal_url, pause, read_page
from eventmill.cli.places import Json
from eventmill.cli.registration import find_registration
from eventmill.cli.session import Session, eventmill_only, session_options
from eventmill.cli.table import one_line

_COLUMNS = {"POSITION": "position", "TIME": "time", "EVENT": "eventid", "EVENT CODE": "type", "DATA": "data"}
_CURSORS = {
    "NAME": "name",
    "POSITION": "position",
    "LAG": "lag_events",
    "LAG SECONDS": "lag_seconds",
    "CHANGED": "changed",
    "HOLDER": "holder",
}
_DATA_CHARS = 60

_registration_argument = click.argument("registration")
_since_option = click.option("--since", metavar="POSITION", help="What comes after this position.")
_seek_option = click.option("--seek", metavar="DURATION", help="From that long ago: 2h, 90m, 1d, or -PT2H.")


@click.group(short_help="The journal of a registration: read it, follow it, keep a place")
def journal() -> None:
    """The journal of a registration: every event that it was to get, for 7 days. REGISTRATION is an id or a name."""


@journal.command()
@_registration_argument
@_since_option
@_seek_option
@click.option("--latest", is_flag=True, help="Nothing but the place where the journal ends.")
@click.option("--limit", type=click.IntRange(min=1), help="So many events at most.  [default: 20, with --all none]")
@click.option("--all", "everything", is_flag=True, help="To the end of the journal, however long.")
@form_options
@session_options
def read(session: Session, registration: str, *, everything: bool, form: Form, **options: Any) -> None:
    """Print events of a journal, the oldest first, and the position after them.

    Without options from the oldest on. Other forms than the table are as the service answers a page; with --all, one
    line of JSON for each entry.
    """
    limit = options["limit"] or (None if everything else 20)
    url = _start(session, registration, limit=limit, **{name: options[name] for name in ("since", "seek", "latest")})
    if everything:
        _print_all(session, url, limit, form)
        return
    page = read_page(session, url)
    whole = page.raw or {"events": [], "_page": {"last": _since(page.next_url), "count": 0}}
    print_items(whole, [_row(each) for each in page.events], _COLUMNS, "no event", form)
    if form == "text":
        click.echo(f"go on with: --since {_since(page.next_url)}", err=True)


def _print_all(session: Session, url: str, limit: int | None, form: Form) -> None:
    seen, page = 0, read_page(session, url)
    while page.events and (limit is None or seen < limit):
        chosen = page.events if limit is None else page.events[: limit - seen]
        _print_entries(chosen, form)
        seen += len(chosen)
        page = read_page(session, page.next_url)
    if form == "text":
        click.echo(f"{seen:,} event{'' if seen == 1 else 's'}", err=True)


def _print_entries(entries: list[Json], form: Form) -> None:
    if form == "text":
        for entry in entries:
            row = _row(entry)
            click.echo("  ".join(one_line(row[member]) for member in _COLUMNS.values()))
    elif form == "json":
        for entry in entries:
            click.echo(json.dumps(entry, ensure_ascii=False))
    else:
        for entry in entries:
            click.echo("---")
            print_value(entry, form)


@journal.command()
@_registration_argument
@_since_option
@_seek_option
@click.option("--limit", type=click.IntRange(min=1), help="End after so many events.  [default: Ctrl-C]")
@form_options
@session_options
def tail(session: Session, registration: str, *, limit: int | None, form: Form, **options: Any) -> None:
    """Print events as they come, from now on, or from a place on: one per line. Survives a gateway that restarts."""
    from eventmill.cli.wire import NoAnswer

    given = {name: options[name] for name in ("since", "seek")}
    url = _start(session, registration, latest=not any(given.values()), **given)
    seen = 0
    try:
        while limit is None or seen < limit:
            try:
                page = read_page(session, url, wait=True)
            except NoAnswer as error:
                click.echo(f"eventmill: {error}; trying again", err=True)
                pause(1.0)
                continue
            except Busy as busy:
                pause(busy.pause_s)
                continue
            chosen = page.events if limit is None else page.events[: limit - seen]
            _print_entries(chosen, form)
            seen += len(chosen)
            url = page.next_url
            pause(page.pause_s)
    except KeyboardInterrupt:
        raise click.exceptions.Exit(130) from None


@journal.group()
def cursor() -> None:
    """Named places in a journal that the gateway keeps for its readers. Eventmill only."""


@cursor.command("list")
@_registration_argument
@form_options
@watch_option
@session_options
@eventmill_only
def list_(session: Session, registration: str, *, watch: bool, form: Form) -> None:
    """List the cursors of a journal, and how far behind each is."""
    url = f"{_journal(session, registration)}/cursors"

    def show() -> None:
        body = session.call("GET", url)
        rows = [{**each, "holder": (each["lease"] or {}).get("holder")} for each in body["cursors"]]
        print_items(body, rows, _CURSORS, "no cursor yet", form)

    show_again(show, watch=watch)


@cursor.command()
@_registration_argument
@click.argument("name")
@form_options
@session_options
@eventmill_only
def get(session: Session, registration: str, name: str, *, form: Form) -> None:
    """Show one cursor."""
    _show_cursor(session.call("GET", _cursor_url(session, registration, name)), form)


@cursor.command("set")
@_registration_argument
@click.argument("name")
@click.argument("position", required=False)
@form_options
@session_options
@eventmill_only
def set_(session: Session, registration: str, name: str, position: str | None, *, form: Form) -> None:
    """Make a cursor, or move it. Without POSITION, to the end of the journal."""
    if position is None:
        position = _since(read_page(session, _start(session, registration, latest=True)).next_url)
    url = _cursor_url(session, registration, name)
    _show_cursor(session.call("PUT", url, {"position": position}), form)


@cursor.command()
@_registration_argument
@click.argument("name")
@session_options
@eventmill_only
def delete(session: Session, registration: str, name: str) -> None:
    """Delete a cursor."""
    session.call("DELETE", _cursor_url(session, registration, name))
    click.echo(f"deleted cursor {name}")


def _journal(session: Session, registration: str) -> str:
    return journal_url(session, find_registration(session, registration))


def _cursor_url(session: Session, registration: str, name: str) -> str:
    return f"{_journal(session, registration)}/cursors/{quote(name, safe='')}"


def _start(session: Session, registration: str, *, latest: bool = False, **query: Any) -> str:
    from eventmill.cli.durations import iso_seek

    if query.get("since") and query.get("seek"):
        raise click.UsageError("--since and --seek do not go together")
    if query.get("seek"):
        query["seek"] = iso_seek(query["seek"])
    return journal_start(_journal(session, registration), latest="true" if latest else None, **query)


def _since(next_url: str) -> str:
    from urllib.parse import parse_qs, urlsplit

    return parse_qs(urlsplit(next_url).query).get("since", [""])[0]


def _row(entry: Json) -> Json:
    event = entry["event"]
    data = json.dumps(event.get("data"), ensure_ascii=False) if "type" in event else json.dumps(event)
    shown = data if len(data) <= _DATA_CHARS else data[: _DATA_CHARS - 1] + "…"
    return {"position": entry["position"], "data": shown} | {
        name: event.get(name, "") for name in ("time", "eventid", "type")
    }


def _show_cursor(body: Json, form: Form) -> None:
    lease = body["lease"]
    fields = [
        ("cursor", body["name"]),
        ("position", body["position"]),
        ("events behind", body["lag_events"]),
        ("seconds behind", body["lag_seconds"]),
        ("changed", body["changed"]),
        ("leased to", lease and f"{lease['holder']} for {lease['expires_in_seconds']:g} s, fence {lease['fence']}"),
    ]
    print_one(body, fields, form)
