"""How a plan, and what became of it, is shown: lines with `+`, `~` and `-` for people, one object for programs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import click
import msgspec

from eventmill.cli.table import one_line
from eventmill.core.declared import Action, Change, Plan, Step

State = Literal["planned", "done", "failed", "not begun"]

_SIGNS: Mapping[Action, tuple[str, str]] = {
    "create": ("+", "green"),
    "change": ("~", "yellow"),
    "adopt": ("~", "cyan"),
    "delete": ("-", "red"),
}
_SHOWN_CHARS = 300
_DONE: Mapping[Action, str] = {"create": "created", "change": "changed", "adopt": "adopted", "delete": "deleted"}


class DeclaredStep(msgspec.Struct, frozen=True):
    """What is done to one thing."""

    action: Action
    kind: str
    name: str
    provider: str
    """Label of the provider of an event code."""
    id: str
    """Empty for what is not there yet; of an event code that of its provider."""
    changes: list[Change]
    """Hidden ones, whose values came out of variables, have null for both values."""
    state: State


class DeclaredReport(msgspec.Struct, frozen=True):
    name: str
    """Of the set."""
    steps: list[DeclaredStep]
    obstacles: list[str]
    """Why nothing of it may be done."""
    notes: list[str]
    error: str
    """Of the step that failed; empty when none did."""


def make_report(name: str, plan: Plan, done: int | None = None, error: str = "") -> DeclaredReport:
    """`done`: how many steps were; None: the plan is only shown."""

    def state(at: int) -> State:
        if done is None:
            return "planned"
        if at < done:
            return "done"
        return "failed" if at == done and error else "not begun"

    steps = [
        DeclaredStep(
            each.action, each.key.kind, each.key.name, each.key.provider, each.id, _without_hidden(each), state(at)
        )
        for at, each in enumerate(plan.steps)
    ]
    return DeclaredReport(name, steps, list(plan.obstacles), list(plan.notes), error)


def _without_hidden(step: Step) -> list[Change]:
    return [
        Change(each.field, None, None, True)
        if each.hidden
        else Change(each.field, _plain(each.before), _plain(each.after))
        for each in step.changes
    ]


def _plain(value: Any) -> Any:
    """Events as they are written in a file."""
    if isinstance(value, list) and value and all(isinstance(each, tuple) for each in value):
        return [":".join(each) for each in value]
    return value


def print_plan(name: str, plan: Plan) -> None:
    for step in plan.steps:
        for line in _lines(step):
            _print(line, _SIGNS[step.action][1])
    for note in plan.notes:
        _print(f"! {note}", "yellow")
    for obstacle in plan.obstacles:
        _print(f"! {obstacle}", "red", err=True)
    if plan.steps:
        click.echo(f"set {name}: {_counts(plan)}")
    elif not plan.obstacles:
        click.echo(f"set {name}: nothing to do")


def print_done(step: Step, warning: str) -> None:
    click.echo(f"{_DONE[step.action]} {one_line(step.key)}")
    if warning:
        click.echo(f"eventmill: {step.key}: {warning}", err=True)


def _counts(plan: Plan) -> str:
    words: Sequence[Action] = ("create", "change", "adopt", "delete")
    return ", ".join(f"{plan.count(each)} to {each}" for each in words if plan.count(each))


def _lines(step: Step) -> Iterator[str]:
    sign = _SIGNS[step.action][0]
    journal = " with its journal" if step.action == "delete" and step.key.kind == "registration" else ""
    adopted = " (adopted)" if step.action == "adopt" else ""
    yield f"{sign} {one_line(step.key)}{journal}{adopted}"
    width = max((len(each.field) for each in step.changes), default=0)
    for each in step.changes:
        if each.hidden:
            shown = "(out of a variable, not shown)"
        elif step.action == "create":
            shown = _value(each.after)
        else:
            shown = f"{_value(_before(each))} -> {_value(each.after)}"
        yield f"    {each.field.ljust(width)}  {shown}"


def _before(change: Change) -> Any:
    """A sample event as the file would have it: its data alone."""
    is_whole = isinstance(change.after, dict) and "specversion" in change.after
    if change.field == "sample" and change.before is not None and not is_whole:
        return change.before.get("data")
    return change.before


def _value(value: Any) -> str:
    if value is None or value == "":
        return "(none)"
    text = one_line(json.dumps(_plain(value), ensure_ascii=False))
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."


def _print(line: str, colour: str, *, err: bool = False) -> None:
    """Colours are for terminals (and not where NO_COLOR is set); click takes them away elsewhere."""
    click.echo(line if os.environ.get("NO_COLOR") else click.style(line, fg=colour), err=err)
