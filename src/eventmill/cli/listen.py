"""`eventmill listen`: hands the events of a journal on to a receiver on this machine, and loses none."""

from __future__ import annotations

import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from eventmill.cli.places import Json
from eventmill.cli.remote import Failed
from eventmill.cli.session import Session, session_options
from eventmill.cli.table import one_line

if TYPE_CHECKING:
    from eventmill.cli.listening import Listening, Report

_LISTED_MAX = 20


@click.command(short_help="Hand a registration's events on to a receiver on this machine")
@click.argument("registration", required=False)
@click.option("--forward-to", "forward_to", metavar="URL", required=True, help="Where each event is posted to.")
@click.option("--since", metavar="POSITION", help="Begin after this position, whatever was saved.")
@click.option("--seek", metavar="DURATION", help="Begin that long ago (2h, 1d), whatever was saved.")
@click.option("--replay", metavar="N", type=click.IntRange(1, 100_000), help="First the last N events once more.")
@click.option("--state", metavar="FILE", help="Keeps the place.  [default: one in ~/.local/state/eventmill/listen]")
@click.option("--attempts", type=click.IntRange(min=1), help="Pass an event over after so many.  [default: never]")
@click.option("--limit", type=click.IntRange(min=1), help="End after so many events.  [default: Ctrl-C]")
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(min=0.1), default=10.0, show_default=True, help="Seconds."
)
@click.option("-j", "--json", "as_json", is_flag=True, help="One JSON object per attempt.")
@session_options
def listen(session: Session, registration: str | None, forward_to: str, *, as_json: bool, **options: Any) -> None:
    """Post each event of a registration to a receiver on this machine, in order, and print what it answered.

    Reads the journal from the place that the last run reached, so nothing is lost while neither runs. The first run
    begins with what comes next. A registration for batches gets batches. An event counts as taken when the receiver
    answered 2xx; on no answer, 429 or 5xx it is tried again until it is; any other answer is final. REGISTRATION is an
    id or a name, and may be left out if there is only one.

    Deliveries are signed as the gateway's own when its data directory is on this machine. Elsewhere they have the
    signature by the client secret alone; the header x-eventmill-listen says which.

    \b
    Exit codes:   0  --limit was reached
                  1  the place has expired, or the registration is gone: the message says what to do
                  2  it could not begin
                130  Ctrl-C
    """
    if options["seek"] and (options["since"] or options["replay"]):
        raise click.UsageError("--seek goes neither with --since nor with --replay")
    found = _find(session, registration)
    with ExitStack() as open_things:
        listening, path = _prepare(session, found, forward_to, options, open_things)
        _listen(listening, f"{found['name']} -> {forward_to}", path, as_json=as_json, options=options)


def _listen(listening: Listening, what: str, path: Path, *, as_json: bool, options: Json) -> None:
    from eventmill.cli.durations import duration_s
    from eventmill.cli.journals import Expired

    listening.on_report = _print_json if as_json else _print_line
    listening.on_trouble = _print_trouble
    try:
        state = listening.begin(options["since"], duration_s(options["seek"]) if options["seek"] else None)
        click.echo(f"{what}   from {_shown(state.position)}   place kept in {path}", err=True)
        if options["replay"]:
            count = listening.replay(options["replay"], state.position)
            click.echo(f"{count:,} event{'' if count == 1 else 's'} replayed", err=True)
        listening.run(state, options["limit"])
    except Expired as expired:
        raise Failed(
            f"{expired.message}: what came after it until the oldest event that is left is lost to this receiver. "
            "Go on with: --seek 7d"
        ) from None
    except KeyboardInterrupt:
        raise click.exceptions.Exit(130) from None


def _prepare(
    session: Session, found: Json, forward_to: str, options: Json, open_things: ExitStack
) -> tuple[Listening, Path]:
    from eventmill.cli.forwarding import Forwarder
    from eventmill.cli.journals import journal_url
    from eventmill.cli.listen_state import StateFile, default_path
    from eventmill.cli.listening import Listening
    from eventmill.cli.signer import find_signer
    from eventmill.cli.wire import read_place

    read_place(forward_to)
    path = Path(options["state"] or default_path(os.environ, found["registration_id"], forward_to))
    forwarder = Forwarder(forward_to, session.account, find_signer(session), options["timeout_s"])
    open_things.callback(forwarder.close)
    state = StateFile(path)
    open_things.callback(state.close)
    listening = Listening(session, found, journal_url(session, found), forwarder, state)
    listening.attempts_max = options["attempts"] or 0
    return listening, path


def _find(session: Session, wanted: str | None) -> Json:
    from eventmill.cli.registration import find_registration, list_registrations

    if wanted is not None:
        return find_registration(session, wanted)
    known = list_registrations(session)
    if len(known) == 1:
        return known[0]
    if not known:
        raise Failed("the workspace has no registration; make one: eventmill registration create")
    listed = ", ".join(f"{each['registration_id']} {each['name']}" for each in known[:_LISTED_MAX])
    raise click.UsageError(f"which registration? There are: {listed}")


def _shown(position: str) -> str:
    return "the time asked for" if position.startswith("seek:") else position


def _print_line(report: Report) -> None:
    """For example `12:30:01  com.acme.stock.low  01a20661-…  200  12 ms`."""
    delivery, outcome = report.delivery, report.outcome
    answer = f"{outcome.status}  {outcome.ms:,} ms" if outcome.status else f"no answer: {outcome.why}"
    if report.again_in_s:
        answer += f"; again in {report.again_in_s:g} s"
    elif not outcome.is_success:
        answer += "; passed over"
    mark = "  replay" if report.is_replay else ""
    more = f" and {delivery.events - 1} more" if delivery.events > 1 else ""
    line = f"{time.strftime('%H:%M:%S')}  {delivery.event_code}  {delivery.event_id}{more}  {answer}{mark}"
    click.echo(one_line(line))
    sys.stdout.flush()


class ListenLine(msgspec.Struct, frozen=True):
    """One attempt to hand an event, or a batch of them, on."""

    position: str
    """Of the last event; id and code are the first one's."""
    event_id: str
    event_code: str
    events: int
    status: int | None
    """null: there was no answer, and `why` says more."""
    ms: int
    why: str
    attempt: int
    """From 1."""
    again_in_s: float
    """0: there is no further attempt."""
    replay: bool


def _print_json(report: Report) -> None:
    delivery, outcome = report.delivery, report.outcome
    line = ListenLine(
        delivery.position,
        delivery.event_id,
        delivery.event_code,
        delivery.events,
        outcome.status or None,
        outcome.ms,
        outcome.why,
        report.attempt,
        report.again_in_s,
        report.is_replay,
    )
    click.echo(msgspec.json.encode(line).decode())
    sys.stdout.flush()


def _print_trouble(message: str) -> None:
    click.echo(f"eventmill: {message}; trying again" if message else "eventmill: the gateway is back", err=True)
