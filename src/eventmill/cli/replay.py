"""`eventmill replay`: jobs that send a registration events again, with a dry run, a rate and a view of the progress."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import click

from eventmill.cli.places import Json, confirm, yes_option
from eventmill.cli.registrations import registration_options, registration_path
from eventmill.cli.remote import Failed, Remote
from eventmill.cli.replay_watch import describe_progress, watch_replay
from eventmill.cli.table import json_option, print_fields, print_json, print_list

_COLUMNS = {"ID": "id", "STATE": "state", "SCOPE": "scope", "CREATED": "created", "PROGRESS": "progress"}

_replay_argument = click.argument("replay", required=False)
_watch_option = click.option("--watch", is_flag=True, help="Show how far it is, until it has ended or is paused.")


@click.group(short_help="Send a registration events again")
def replay() -> None:
    """Replays: jobs that send a registration events again.

    REGISTRATION is an id or a name. REPLAY is an id; without it, the newest one is meant.
    """


@replay.command()
@registration_options
@click.option("--all", "everything", is_flag=True, help="What was delivered too, and not the undelivered events only.")
@click.option("--from", "from_", metavar="TIME", help="What was published at this time (RFC 3339) or later.")
@click.option("--to", metavar="TIME", help="What was published before this time.")
@click.option("--after", metavar="POSITION", help="What comes after this position of the journal.")
@click.option("--until", metavar="POSITION", help="What comes up to this position.")
@click.option("--cause", "causes", metavar="CAUSE", multiple=True, help="Only of this cause; may be repeated.")
@click.option("--rate", type=float, metavar="NUMBER", help="Events per second, at most.  [default: no limit]")
@click.option("--dry-run", is_flag=True, help="Only count what would be sent.")
@_watch_option
@yes_option
@json_option
def start(
    remote: Remote, registration: Json, *, dry_run: bool, watch: bool, yes: bool, as_json: bool, **options: Any
) -> None:
    """Send the events that a registration did not get: all that are undelivered, unless options say which.

    With --all, everything that is still in its journal is sent again; that is asked about first.
    """
    path = f"{registration_path(registration)}/replays"
    wanted = _wanted(**options)
    if dry_run or (wanted["scope"] == "all" and not yes):
        counted = remote.call("POST", path, {**wanted, "dry_run": True})[1]
        if dry_run:
            _show_count(counted, as_json=as_json)
            return
        confirm(f"Send {_events(counted['total'])} to {registration['name']}, those it has got already too?", yes)
    _show_started(remote, path, remote.call("POST", path, wanted)[1], watch=watch, as_json=as_json)


def _wanted(*, everything: bool, **options: Any) -> Json:
    """The body that asks for it."""
    given = {_MEMBERS.get(name, name): value for name, value in options.items() if value not in (None, ())}
    return {"scope": "all" if everything else "undelivered", **given}


_MEMBERS = {"from_": "from", "rate": "events_per_second"}
"""Of the body, where an option is called otherwise."""


def _show_count(counted: Json, *, as_json: bool) -> None:
    if as_json:
        print_json(counted)
    else:
        click.echo(f"{_events(counted['total'])} would be sent")


def _show_started(remote: Remote, path: str, job: Json, *, watch: bool, as_json: bool) -> None:
    if watch:
        _watch(remote, f"{path}/{job['id']}", as_json=as_json)
    else:
        _show(job, as_json=as_json)


@replay.command("list")
@registration_options
@json_option
def list_(remote: Remote, registration: Json, *, as_json: bool) -> None:
    """List the replays of a registration, newest first."""
    found = _list(remote, registration)
    print_list(
        found,
        _COLUMNS,
        "no replay yet",
        as_json=as_json,
        show=lambda job: {**job, "progress": describe_progress(job)},
    )


@replay.command()
@registration_options
@_replay_argument
@_watch_option
@json_option
def show(remote: Remote, registration: Json, replay: str | None, *, watch: bool, as_json: bool) -> None:
    """Show how far a replay is."""
    path = _path(remote, registration, replay)
    if watch:
        _watch(remote, path, as_json=as_json)
    else:
        _show(remote.call("GET", path)[1], as_json=as_json)


@replay.command()
@registration_options
@_replay_argument
@json_option
def pause(remote: Remote, registration: Json, replay: str | None, *, as_json: bool) -> None:
    """Send nothing more for now. What was handed to delivery is still sent."""
    _act(remote, registration, replay, "pause", as_json=as_json)


@replay.command()
@registration_options
@_replay_argument
@_watch_option
@json_option
def resume(remote: Remote, registration: Json, replay: str | None, *, watch: bool, as_json: bool) -> None:
    """Go on where it was paused."""
    path = _path(remote, registration, replay)
    job = remote.call("POST", f"{path}/resume")[1]
    _show_started(remote, path.rpartition("/")[0], job, watch=watch, as_json=as_json)


@replay.command()
@registration_options
@_replay_argument
@json_option
def cancel(remote: Remote, registration: Json, replay: str | None, *, as_json: bool) -> None:
    """End it. What it has not sent stays undelivered."""
    _act(remote, registration, replay, "cancel", as_json=as_json)


def _act(remote: Remote, registration: Json, replay: str | None, action: str, *, as_json: bool) -> None:
    _show(remote.call("POST", f"{_path(remote, registration, replay)}/{action}")[1], as_json=as_json)


def _path(remote: Remote, registration: Json, replay: str | None) -> str:
    """Of the replay that is meant."""
    if replay is None:
        found = _list(remote, registration)
        if not found:
            raise Failed(f"{registration['name']} has no replay; start one: eventmill replay start REGISTRATION")
        replay = str(found[0]["id"])
    return f"{registration_path(registration)}/replays/{quote(replay, safe='')}"


def _list(remote: Remote, registration: Json) -> list[Json]:
    items: list[Json] = remote.call("GET", f"{registration_path(registration)}/replays")[1]["items"]
    return items


def _watch(remote: Remote, path: str, *, as_json: bool) -> None:
    """Exit code 1 unless it came to its end, and nothing failed for good."""
    job = watch_replay(remote, path)
    if job["state"] != "running":
        _show(job, as_json=as_json)
    if job["state"] != "done" or job["failed"]:
        raise click.exceptions.Exit(1)


def _show(job: Json, *, as_json: bool) -> None:
    if as_json:
        print_json(job)
        return
    reason = [("reason", job["reason"])] if job["reason"] else []
    print_fields([("replay", job["id"]), ("state", job["state"]), *reason, ("progress", describe_progress(job))])


def _events(count: int) -> str:
    return "1 event" if count == 1 else f"{count:,} events"
