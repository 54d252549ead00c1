"""`eventmill simulate`: publishes events of the built-in channels to a running gateway, and says what came of them."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

import click
import msgspec

from eventmill.cli.remote import Remote, remote_options
from eventmill.cli.table import print_json
from eventmill.errors import StartupError

if TYPE_CHECKING:
    from eventmill.clock import Clock
    from eventmill.simulate.channel import Channel
    from eventmill.simulate.publisher import Report, Stream

_DAY_MS = 86_400_000
_ORGANIZATIONS_SHOWN = 20
_YEARS = range(1971, 9000)
"""Leaves room for the story to go on, and for time zones."""


class SimulationSummary(msgspec.Struct, frozen=True):
    """What --json prints. Counts are of events, in all and by channel."""

    seed: int
    organization: str
    """Its IMS organization id."""
    seconds: float
    channels: dict[str, dict[str, int]]
    refusals: dict[str, str]
    """What the gateway said to the first refusal of a channel."""
    ended: str
    """Why it stopped before its end; empty when it did not."""
    published: int
    unsubscribed: int
    refused: int


def _select(_context: click.Context, _argument: click.Parameter, asked: tuple[str, ...]) -> dict[str, Channel]:
    from eventmill.config_sources import load_config
    from eventmill.flow.builtin import load_builtin
    from eventmill.simulate.channel import find_channels, select_channels

    return select_channels(find_channels(load_builtin(load_config({}, os.environ))), asked)


@click.command(short_help="Publish believable events of the built-in channels")
@click.argument("channels", metavar="[CHANNEL]...", nargs=-1, callback=_select)
@click.option(
    "--rate",
    metavar="N",
    type=click.FloatRange(min=0, max=1_000_000),
    default=10,
    help="Events per second; 0: no limit.  [default: 10]",
)
@click.option(
    "--count", metavar="N", type=click.IntRange(min=0), default=100, help="Events in all; 0: no end.  [default: 100]"
)
@click.option("--seed", metavar="N", type=int, help="The same seed tells the same story.  [default: a new one]")
@click.option("--start", metavar="TIME", help="When the story begins, as 2026-03-01T10:00Z.  [default: a day ago]")
@click.option("--org", metavar="ID", help="Organization that the events are for.  [default: the first]")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
@remote_options
def simulate(channels: dict[str, Channel], remote: Remote, rate: float, count: int, **options: Any) -> None:
    """Publish believable events: journeys, mails, batches, audiences, workflows, tests, report suites.

    CHANNEL is a channel such as campaign/delivery-status, or the part before its slash; without any, it is all eight.

    \b
    Exit codes:   0  every event was accepted
                  1  some were refused, or the gateway went away
                  2  it could not begin
                130  Ctrl-C
    """
    from eventmill.clock import SystemClock
    from eventmill.simulate.publisher import Stream
    from eventmill.simulate.world import run_world

    clock = SystemClock()
    seed = secrets.randbelow(1_000_000) if options["seed"] is None else options["seed"]
    start_ms = _read_start(options["start"]) if options["start"] else clock.machine_ms() - _DAY_MS
    ims_org_id = _find_organization(remote, options["org"])
    stream = Stream(
        events=islice(run_world(seed, start_ms, channels), count or None),
        channels=channels,
        ims_org_id=ims_org_id,
        ingress_url=f"{remote.url}/ingress",
        headers=remote.headers(ims_org_id),
        rate=rate,
    )
    began_s = clock.machine_s()
    report = asyncio.run(_publish(stream, count, clock))
    told = {"seed": seed, "organization": ims_org_id, "seconds": round(clock.machine_s() - began_s, 1)}
    if options["as_json"]:
        _print_json(report, told)
    else:
        _print_table(report, told)
    _exit(report)


def _read_start(text: str) -> int:
    try:
        start = datetime.fromisoformat(text)
    except ValueError:
        raise StartupError(f"--start {text!r} is not a time such as 2026-03-01T10:00Z") from None
    if start.year not in _YEARS:
        raise StartupError(f"--start {text!r}: the year must be from {_YEARS.start} to {_YEARS.stop - 1}")
    return int((start if start.tzinfo else start.replace(tzinfo=UTC)).timestamp() * 1000)


def _find_organization(remote: Remote, asked: str | None) -> str:
    """The IMS id of the organization that is asked for by either of its ids; of the first one when none is."""
    _, organizations = remote.call("GET", "/console/organizations")
    if not organizations:
        raise StartupError(f"the gateway at {remote.url} has no organization yet; make one: eventmill org create NAME")
    for each in organizations:
        if asked in (None, each["id"], each["code"]):
            return str(each["code"])
    shown = organizations[:_ORGANIZATIONS_SHOWN]
    known = "".join(f"\n  {each['id']}  {each['code']}  {each['name']}" for each in shown)
    raise StartupError(f"the gateway at {remote.url} has no organization {asked!r}; it has:{known}")


async def _publish(stream: Stream, count: int, clock: Clock) -> Report:
    from eventmill.cli.progress import Progress
    from eventmill.simulate.publisher import INTERRUPTED, Publishing

    progress = Progress("events", count, clock)
    publishing = Publishing(stream, clock, progress.step)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, publishing.stop, INTERRUPTED)
    try:
        return await publishing.run()
    finally:
        progress.end()


def _print_json(report: Report, told: dict[str, Any]) -> None:
    from eventmill.simulate.publisher import OUTCOMES

    summary = SimulationSummary(
        **told,
        channels={name: {outcome: counts[outcome] for outcome in OUTCOMES} for name, counts in report.counts.items()},
        refusals=report.reasons,
        ended=report.ended,
        published=report.total("published"),
        unsubscribed=report.total("unsubscribed"),
        refused=report.total("refused"),
    )
    print_json(msgspec.to_builtins(summary))


def _print_table(report: Report, told: dict[str, Any]) -> None:
    from eventmill.simulate.publisher import OUTCOMES

    def row(name: str, *figures: object) -> str:
        cells = zip(figures, (11, 19, 9), strict=True)
        return f"{name:<40}" + "".join(f"{figure:>{width}}" for figure, width in cells)

    totals = [report.total(outcome) for outcome in OUTCOMES]
    click.echo(row("channel", "published", "nobody subscribed", "refused"))
    for name, counts in report.counts.items():
        click.echo(row(name, *(f"{counts[outcome]:,}" for outcome in OUTCOMES)))
    if len(report.counts) > 1:
        click.echo(row("all", *(f"{total:,}" for total in totals)))
    click.echo(
        f"\n{_counted(sum(totals), 'event')} in {told['seconds']} s to {told['organization']}; seed {told['seed']}"
    )
    if report.waits:
        click.echo(f"The gateway asked {_counted(report.waits, 'time')} to be called later, and was.")
    if totals[1] and not totals[0]:
        click.echo("Nobody subscribes to these events yet: docs/simulate.md shows a registration that does.")
    for name, reason in ({} if report.ended else report.reasons).items():
        click.echo(f"eventmill: {name} was refused with {reason}", err=True)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _exit(report: Report) -> None:
    from eventmill.simulate.publisher import INTERRUPTED

    if report.ended == INTERRUPTED:
        sys.exit(130)
    if report.ended:
        click.echo(f"eventmill: {report.ended}", err=True)
    if report.ended or report.total("refused"):
        sys.exit(1)
