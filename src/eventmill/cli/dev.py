"""`eventmill dev`: the clock, faults, mails, snapshots and a fresh start of a gateway in dev mode."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from eventmill.cli.form import Form, form_options, print_items, print_one, show_again, watch_option
from eventmill.cli.places import Json, confirm, yes_option
from eventmill.cli.registration import find_registration
from eventmill.cli.remote import Failed, accepted
from eventmill.cli.session import Session, eventmill_only, session_options
from eventmill.cli.wire import NoAnswer

_KINDS = ("status", "latency", "drop", "duplicate", "reorder")
_FAULTS = {
    "REGISTRATION": "registration_id",
    "KIND": "kind",
    "TIMES": "times",
    "STATUS": "status",
    "LATENCY MS": "latency_ms",
}
_MAILS = {"ID": "id", "TIME": "time", "TO": "to", "SUBJECT": "subject"}
_ADVANCE_WITHIN_S = 3600.0
_ANEW_WITHIN_S = 120.0
_LOOK_S = 0.1


@click.group(short_help="Dev mode: turn the clock, break the network, read mails, start afresh")
def dev() -> None:
    """What only a gateway in dev mode does, for callers on its own machine."""


@dev.command()
@click.option("--advance", metavar="TIME", help="Move business time forward by 90s, 15m, 2h, 1d.")
@click.option("--rate", type=click.FloatRange(min=0), help="Business seconds per second from now on; 1 is real time.")
@form_options
@watch_option
@session_options
@eventmill_only
def clock(session: Session, advance: str | None, rate: float | None, *, watch: bool, form: Form) -> None:
    """Show the virtual clock, or move it. An advance is over when every attempt due on the way was made."""
    from eventmill.cli.durations import duration_s

    if advance is not None:
        _turn(session, {"advance_seconds": duration_s(advance)})
    if rate is not None:
        _turn(session, {"rate": rate})

    def show() -> None:
        body = session.call("GET", "/_dev/clock")
        fields = [("now", body["now"]), ("ahead by", f"{body['offset_seconds']:,.0f} s"), ("rate", body["rate"])]
        print_one(body, fields, form)

    show_again(show, watch=watch)


def _turn(session: Session, body: Json) -> None:
    """Many attempts may fall due on the way, so it may take long."""
    import json

    url = session.url("/_dev/clock")
    headers = {"content-type": "application/json"}
    accepted(url, session.send("POST", url, headers, json.dumps(body).encode(), timeout_s=_ADVANCE_WITHIN_S))


@dev.group()
def fault() -> None:
    """What the next deliveries to a registration are to suffer."""


@fault.command()
@click.argument("registration")
@click.argument("kind", type=click.Choice(_KINDS))
@click.option("--times", type=click.IntRange(1, 1000), default=1, show_default=True, help="For so many deliveries.")
@click.option("--status", type=click.IntRange(200, 599), help="With the kind status.  [default: 500]")
@click.option("--latency-ms", type=click.IntRange(1, 60_000), help="With the kind latency.  [default: 5000]")
@form_options
@session_options
@eventmill_only
def add(session: Session, registration: str, kind: str, times: int, *, form: Form, **options: int | None) -> None:
    """Have the next deliveries suffer: a status, latency, drop, duplicate, or reorder."""
    if kind == "latency" and options["latency_ms"] is None:
        options["latency_ms"] = 5000
    found = find_registration(session, registration)
    asked: Json = {"registration_id": found["registration_id"], "kind": kind, "times": times}
    body = session.call("POST", "/_dev/faults", asked | {name: each for name, each in options.items() if each})
    print_one(body, [(name.lower(), body[member]) for name, member in _FAULTS.items()], form)


@fault.command("list")
@form_options
@watch_option
@session_options
@eventmill_only
def list_faults(session: Session, *, watch: bool, form: Form) -> None:
    """List what is still to be suffered."""

    def show() -> None:
        body = session.call("GET", "/_dev/faults")
        print_items(body, body, _FAULTS, "no fault", form)

    show_again(show, watch=watch)


@fault.command("clear")
@click.argument("registration", required=False)
@session_options
@eventmill_only
def clear_faults(session: Session, registration: str | None) -> None:
    """Take the faults of a registration away; without one, all."""
    query = f"?registration={find_registration(session, registration)['registration_id']}" if registration else ""
    session.call("DELETE", f"/_dev/faults{query}")
    click.echo("no fault is left" + (f" for {registration}" if registration else ""))


@dev.group()
def mail() -> None:
    """Mails that the gateway would have sent."""


@mail.command("list")
@form_options
@watch_option
@session_options
@eventmill_only
def list_mails(session: Session, *, watch: bool, form: Form) -> None:
    """List the mails, newest first."""

    def show() -> None:
        body = session.call("GET", "/_dev/mailbox")
        print_items(body, [{**each, "to": ", ".join(each["to"])} for each in body], _MAILS, "no mail", form)

    show_again(show, watch=watch)


@mail.command("show")
@click.argument("mail", required=False)
@session_options
@eventmill_only
def show_mail(session: Session, mail: str | None) -> None:
    """Print the text of a mail; without its id, of the newest."""
    if mail is None:
        known = session.call("GET", "/_dev/mailbox")
        if not known:
            raise Failed("the mailbox is empty")
        mail = str(known[0]["id"])
    click.echo(_fetch(session, f"/_dev/mailbox/{quote(mail, safe='')}").decode("utf-8"), nl=False)


@mail.command("clear")
@session_options
@eventmill_only
def clear_mails(session: Session) -> None:
    """Empty the mailbox."""
    session.call("DELETE", "/_dev/mailbox")
    click.echo("the mailbox is empty")


@dev.command()
@yes_option
@session_options
@eventmill_only
def reset(session: Session, *, yes: bool) -> None:
    """Forget journals, registrations, providers and traces; tenants, credentials, keys and the clock stay."""
    confirm("Forget every provider, registration and event of this gateway?", yes)
    session.call("POST", "/_dev/reset")
    click.echo("the gateway is as new; its tenants and the clock stayed")


@dev.command()
@click.argument("file")
@session_options
@eventmill_only
def snapshot(session: Session, file: str) -> None:
    """Write all data to FILE, readable by you only; `eventmill serve --dev --seed FILE` begins with it."""
    raw = _fetch(session, "/_dev/snapshot")
    try:
        with os.fdopen(os.open(Path(file), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            os.fchmod(out.fileno(), 0o600)
            out.write(raw)
    except OSError as error:
        raise Failed(f"{file} cannot be written: {error.strerror or error}") from None
    click.echo(f"wrote {len(raw):,} bytes to {file}; it holds secrets", err=True)


@dev.command()
@click.argument("file")
@yes_option
@session_options
@eventmill_only
def restore(session: Session, file: str, *, yes: bool) -> None:
    """Put FILE, a snapshot, in place of everything; the gateway begins anew with it, on the same port.

    What there was stays beside it, in `before-restore` of the data directory."""
    try:
        raw = Path(file).read_bytes()
    except OSError as error:
        raise Failed(f"{file} cannot be read: {error.strerror or error}") from None
    confirm(f"Put {file} in place of everything in this gateway?", yes)
    url = session.url("/_dev/restore")
    accepted(url, session.send("POST", url, {"content-type": "application/gzip"}, raw, _ANEW_WITHIN_S))
    _await_ready(session, wanted=False)
    _await_ready(session, wanted=True)
    click.echo(f"the gateway began anew with {file}")


def _await_ready(session: Session, *, wanted: bool) -> None:
    until_s = time.monotonic() + _ANEW_WITHIN_S
    while _is_ready(session) is not wanted:
        if time.monotonic() > until_s:
            raise Failed(f"the gateway took the file, and has not begun anew after {_ANEW_WITHIN_S:.0f} s; see its log")
        time.sleep(_LOOK_S)


def _is_ready(session: Session) -> bool:
    try:
        return session.wire.send("GET", session.url("/readyz"), {}).status == 200
    except NoAnswer:
        return False


def _fetch(session: Session, path: str) -> bytes:
    """An answer that is no JSON."""
    url = session.url(path)
    headers: dict[str, Any] = {"accept": "*/*"}
    reply = session.send("GET", url, headers)
    if reply.status != 200:
        accepted(url, reply)
    return reply.body
