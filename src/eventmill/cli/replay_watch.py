"""How far a replay is: in one line on a terminal that is written over, in plain lines elsewhere, as long as it runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

import click

from eventmill.cli.places import Json
from eventmill.cli.remote import Remote

_EVERY_S = 1.0
_BAR_WIDTH = 30
_CLEAR_LINE = "\r\x1b[K"


def describe_progress(job: Mapping[str, Any]) -> str:
    """For example `120 of 500 sent (24 %): 117 delivered, 2 failed, 1 being retried`."""
    text = f"{_sent(job):,} of {job['total']:,} sent ({job['percent']:g} %): {job['delivered']:,} delivered"
    for member, words in (("failed", "failed"), ("retrying", "being retried")):
        if job[member]:
            text += f", {job[member]:,} {words}"
    return text


def progress_bar(job: Mapping[str, Any], left_s: float | None) -> str:
    """`left_s`: the time it will still take, None where nothing can be said of that."""
    filled = min(_BAR_WIDTH, _BAR_WIDTH * _sent(job) // job["total"]) if job["total"] else _BAR_WIDTH
    rest = "" if left_s is None else f"   {show_time(left_s)} left"
    return f"  {'█' * filled}{'░' * (_BAR_WIDTH - filled)}  {describe_progress(job)}{rest}"


def _sent(job: Mapping[str, Any]) -> int:
    """Events that were sent once at least."""
    return int(job["handed"] - job["waiting"])


def show_time(seconds: float) -> str:
    """In the two largest units: `42 s`, `3 min 5 s`, `2 h 10 min`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class Pace:
    """How long the rest takes, by what was sent since the first look."""

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None

    def left_s(self, job: Mapping[str, Any], now_s: float) -> float | None:
        sent = _sent(job)
        if self._first is None:
            self._first = now_s, sent
        began_s, began = self._first
        if sent <= began:
            return None
        return float(job["total"] - sent) * (now_s - began_s) / (sent - began)


def watch_replay(remote: Remote, path: str, out: TextIO | None = None) -> Json:
    """The replay as soon as it does not run any more: done, paused or cancelled.

    Ctrl-C ends the watching, not the replay, and gives it as it was seen last."""
    out = out or sys.stderr
    pace, shown = Pace(), ""
    job: Json = remote.call("GET", path)[1]
    try:
        while job["state"] == "running":
            left_s = pace.left_s(job, time.monotonic())
            if out.isatty():
                out.write(_CLEAR_LINE + progress_bar(job, left_s))
                out.flush()
            elif (line := describe_progress(job)) != shown:
                click.echo(line, out)
                shown = line
            time.sleep(_EVERY_S)
            job = remote.call("GET", path)[1]
    except KeyboardInterrupt:
        click.echo("\nit goes on without you; `eventmill replay show` tells how far it is", out)
        return job
    if out.isatty():
        out.write(_CLEAR_LINE)
        out.flush()
    return job
