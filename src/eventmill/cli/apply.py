"""`eventmill plan|apply|destroy`: make a workspace have what files declare, and take it away again."""

from __future__ import annotations

import os
from collections.abc import Callable

import click
import msgspec

from eventmill.cli.declared_report import make_report, print_done, print_plan
from eventmill.cli.places import confirm, yes_option
from eventmill.cli.remote import Failed
from eventmill.cli.session import Session, session_options
from eventmill.cli.table import print_json
from eventmill.cli.wire import NoAnswer
from eventmill.core.declared import Found, Plan, Wanted
from eventmill.core.declared_diff import make_plan

_DIFFERS_EXIT = 3

_json_option = click.option("-j", "--json", "as_json", is_flag=True, help="Print JSON.")
_adopt_option = click.option("--adopt", is_flag=True, help="Take over what has such a name already and no owner.")


def _files_option(command: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "-f",
        "--file",
        "files",
        metavar="FILE",
        multiple=True,
        required=True,
        type=click.Path(exists=True, dir_okay=False),
        help="YAML or JSON file. May be repeated.",
    )(command)


@click.command(short_help="Show what `apply` would do")
@_files_option
@_adopt_option
@click.option("--check", is_flag=True, help=f"Exit code {_DIFFERS_EXIT} when there is something to do.")
@_json_option
@session_options
def plan(session: Session, files: tuple[str, ...], *, adopt: bool, check: bool, as_json: bool) -> None:
    """Show what `apply` would do, and do nothing.

    \b
    Exit codes:   0  the plan can be carried out
                  1  a file is wrong, or something is in the way
                  3  with --check: there is something to do
    """
    name, made, _, _ = _plan(session, files, adopts=adopt)
    if as_json:
        print_json(msgspec.to_builtins(make_report(name, made)))
    else:
        print_plan(name, made)
    _refuse_obstacles(made)
    if check and made.steps:
        raise click.exceptions.Exit(_DIFFERS_EXIT)


@click.command(short_help="Make a workspace have what files declare")
@_files_option
@_adopt_option
@yes_option
@_json_option
@session_options
def apply(session: Session, files: tuple[str, ...], *, adopt: bool, yes: bool, as_json: bool) -> None:
    """Make a workspace have what files declare: create, change, delete. Shows the plan and asks first.

    It touches only what it has made or adopted: the name of the set stands in each description. Stops at the first
    step that fails, and says what was done; the next run goes on from there.
    """
    name, made, wanted, found = _plan(session, files, adopts=adopt)
    _carry_out(session, name, made, (wanted, found), yes=yes, as_json=as_json)


@click.command(short_help="Delete what `apply` has made")
@_files_option
@yes_option
@_json_option
@session_options
def destroy(session: Session, files: tuple[str, ...], *, yes: bool, as_json: bool) -> None:
    """Delete all that the set of these files owns in the workspace, whether the files still have it or not.

    Of the files only the name of the set counts, so their variables need not be set.
    """
    from eventmill.cli.declared_file import read_set_name
    from eventmill.cli.declared_state import read_found

    name = read_set_name(files)
    found = read_found(session, lambda _: False)
    _carry_out(session, name, make_plan(name, (), found), ((), found), yes=yes, as_json=as_json)


def _plan(
    session: Session, files: tuple[str, ...], *, adopts: bool
) -> tuple[str, Plan, tuple[Wanted, ...], list[Found]]:
    from eventmill.cli.declared_file import read_declared
    from eventmill.cli.declared_state import read_found

    declared = read_declared(files, os.environ)
    declared_keys = {each.key for each in declared.wanted}
    found = read_found(session, declared_keys.__contains__)
    return declared.name, make_plan(declared.name, declared.wanted, found, adopts=adopts), declared.wanted, found


def _refuse_obstacles(made: Plan) -> None:
    if made.obstacles:
        count = len(made.obstacles)
        raise Failed(f"nothing can be done: {count} {'thing is' if count == 1 else 'things are'} in the way, see above")


def _carry_out(
    session: Session,
    name: str,
    made: Plan,
    sides: tuple[tuple[Wanted, ...], list[Found]],
    *,
    yes: bool,
    as_json: bool,
) -> None:
    from eventmill.cli.declared_steps import Builder

    show = (lambda *_: None) if as_json else print_plan
    show(name, made)
    if made.obstacles and as_json:
        print_json(msgspec.to_builtins(make_report(name, made)))
    _refuse_obstacles(made)
    if made.steps:
        confirm(f"Do this in workspace {session.account.workspace_id}?", yes)
    builder = Builder(session, name, *sides)
    done, error = 0, ""
    for step in made.steps:
        try:
            warning = builder.do(step)
        except (Failed, NoAnswer) as failure:
            error = f"{step.key}: {failure.message if isinstance(failure, Failed) else failure}"
            break
        done += 1
        if not as_json:
            print_done(step, warning)
    if as_json:
        print_json(msgspec.to_builtins(make_report(name, made, done, error)))
    if error:
        rest = len(made.steps) - done - 1
        raise Failed(f"{error} ({done} of {len(made.steps)} steps done, {rest} not begun; run it again to go on)")
