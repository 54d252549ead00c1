"""`eventmill migrate`: the schema of a store, what this version still has to do to it, and doing it.

Needs no gateway, and runs beside those that are at work.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence

import click
import msgspec

from eventmill.cli.table import Command, print_fields, print_json, print_table
from eventmill.errors import Exit
from eventmill.store.migrate import LiveNode, Schema, SchemaStatus, Step

_KINDS = {"pre": "adds, at the first start", "post": "takes away, when asked to"}
_STATES = {"applied": "applied", "pending": "pending", "unknown": "of a later version"}


class SchemaReport(msgspec.Struct, frozen=True):
    """What --json prints."""

    store: str
    schema: int
    """The highest step in the store; 0: none yet."""
    program: int
    """The highest step that this version knows."""
    pending: tuple[int, ...]
    applied: tuple[int, ...]
    """Those that this call has run."""
    steps: tuple[Step, ...]
    nodes: tuple[LiveNode, ...]


def _store_options(command: Command) -> Command:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        click.option("--store", metavar="URL", help="Database of the gateways, better in EVENTMILL_STORE."),
        click.option("--data", metavar="DIR", help="Data directory of the gateway.  [default: .eventmill]"),
    ):
        command = option(command)
    return command


@click.group(short_help="The schema of the store, before and after an upgrade")
def migrate() -> None:
    """The schema of the store, before and after an upgrade: docs/upgrading.md goes through one.

    Steps of the kind "pre" only add, and run at the first start of a version, or before it with `up`. Steps of the kind
    "post" take away what only the version before needed, and run when you say so, with `up --post`.
    """


@migrate.command()
@_store_options
def status(data: str | None, store: str | None, *, as_json: bool) -> None:
    """Show the schema of the store, of this version, every step between, and the nodes at work."""
    found = asyncio.run(_schema(data, store).status())
    if as_json:
        _print_report(found)
        return
    print_fields((("store", found.store), ("its schema", found.schema), ("this version's", found.program)))
    click.echo()
    steps = [
        {"number": step.number, "name": step.name, "kind": _KINDS[step.kind], "state": _STATES[step.state]}
        for step in found.steps
    ]
    print_table(steps, {"STEP": "number", "NAME": "name", "KIND": "kind", "STATE": "state"}, "")
    click.echo()
    if found.nodes:
        nodes = [{**msgspec.to_builtins(node), "version": node.version or "unknown"} for node in found.nodes]
        columns = {"NODE": "id", "VERSION": "version", "KNOWS SCHEMA": "schema", "SEEN, S AGO": "seen_s"}
        print_table(nodes, columns, "")
        click.echo()
    click.echo(_advice(found))


@migrate.command()
@_store_options
def check(data: str | None, store: str | None, *, as_json: bool) -> None:
    """Say whether anything is to be done, and change nothing.

    \b
    Exit codes:   0  nothing
                  2  wrong usage, or the store refuses: the message says what to change
                  3  steps are pending
                  4  the schema is of a newer version, or of another build
                  5  the database cannot be reached now
    """
    found = asyncio.run(_schema(data, store).status())
    if as_json:
        _print_report(found)
    else:
        click.echo(_advice(found))
    sys.exit(Exit.PENDING if found.pending else 0)


@migrate.command()
@click.option("--post", is_flag=True, help="Also take away what only earlier versions need; none may be running.")
@_store_options
def up(data: str | None, store: str | None, *, post: bool, as_json: bool) -> None:
    """Run the pending steps. Should it be interrupted, run it again; two at once wait for each other.

    \b
    Exit codes:   0  done, or there was nothing to do
                  2  wrong usage, or the store refuses: the message says what to change
                  3  --post, and nodes of an earlier version are alive
                  4  the schema is of a newer version, or of another build
                  5  the database cannot be reached now, or its disk is full
    """
    schema = _schema(data, store)
    done = asyncio.run(schema.bring_up(post=post))
    found = asyncio.run(schema.status())
    if as_json:
        _print_report(found, done)
        return
    for step in done:
        click.echo(f"applied {step.number} {step.name}")
    click.echo(_advice(found))


def _schema(data: str | None, store: str | None) -> Schema:
    from eventmill.config_sources import load_config
    from eventmill.store.open import make_schema

    return make_schema(load_config({"data": data, "store": store}, os.environ))


def _advice(found: SchemaStatus) -> str:
    kinds = {step.kind for step in found.pending}
    numbers = ", ".join(str(step.number) for step in found.pending)
    if "pre" in kinds:
        return f"Pending: {numbers}. Run them with `eventmill migrate up`, or start this version."
    if kinds:
        return f"Pending: {numbers}. When no node of an earlier version runs: `eventmill migrate up --post`."
    if any(step.state == "unknown" for step in found.steps):
        return "Nothing to do. A later version has been here; this one may work on until that takes something away."
    return "Nothing to do."


def _print_report(found: SchemaStatus, done: Sequence[Step] = ()) -> None:
    report = SchemaReport(
        store=found.store,
        schema=found.schema,
        program=found.program,
        pending=tuple(step.number for step in found.pending),
        applied=tuple(step.number for step in done),
        steps=found.steps,
        nodes=found.nodes,
    )
    print_json(msgspec.to_builtins(report))
