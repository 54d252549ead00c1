"""`eventmill config`: every setting, its value and where that comes from."""

from __future__ import annotations

import os
import re
from typing import Any

import click
import msgspec

from eventmill.cli.form import Form, form_options, print_items
from eventmill.cli.remote import Failed

_COLUMNS = {"SETTING": "variable", "SOURCE": "source", "VALUE": "shown"}
_SECRET_NAMES = ("secret", "password", "_key", "token", "auth")
_HIDDEN = "(hidden)"
_URL_PASSWORD = re.compile(r"(?<=://)([^:/@]*):.+@")
_NOT_SECRET = ("client_key", "tls_key", "aws_access_key_id", "auth", "smtp_tls", "token_lifetime_s")
"""Names of files, and other words that only look like it."""


class Setting(msgspec.Struct, frozen=True):
    """One setting as `eventmill serve` would have it."""

    name: str
    variable: str
    value: str | int | float | bool | list[str | int]
    """Secrets are `(hidden)`."""
    default: str | int | float | bool | list[str | int]
    source: str
    """`flag`, `environment`, `default`, or `file` and its path."""


@click.group(short_help="Settings: their values, and where those come from")
def config() -> None:
    """Settings of the gateway, as `eventmill serve` would have them in this shell."""


@config.command()
@click.argument("names", nargs=-1)
@click.option("--changed", is_flag=True, help="Only those that are not at their default.")
@click.option("--data", metavar="DIR", help="As given to `eventmill serve`.")
@click.option("--port", type=int, help="As given to `eventmill serve`.")
@click.option("--dev", is_flag=True, default=None, help="As given to `eventmill serve`.")
@form_options
def show(names: tuple[str, ...], *, changed: bool, form: Form, **flags: Any) -> None:
    """Show every setting with its value and its source: a flag, the environment, a file, or the default.

    NAMES: only settings whose name has one of these words in it. Secrets are not shown.
    """
    words = [word.lower().removeprefix("eventmill_") for word in names]
    meant = [each for each in describe_settings(flags) if not words or any(word in each.name for word in words)]
    if not meant:
        raise Failed(f"no setting has {' or '.join(words)} in its name; `eventmill config show` lists all")
    chosen = [each for each in meant if not changed or each.source != "default"]
    _warn_of_unknown()
    rows = [{"variable": each.variable, "source": each.source, "shown": _shown(each.value)} for each in chosen]
    print_items(msgspec.to_builtins(chosen), rows, _COLUMNS, "every setting is at its default", form)


def describe_settings(flags: dict[str, Any]) -> list[Setting]:
    """In the order of `Config`. Raises `StartupError` for what `eventmill serve` would refuse."""
    from eventmill.config import ENV_PREFIX, Config
    from eventmill.config_sources import load_config

    effective = load_config(flags, os.environ)
    described = []
    for field in msgspec.structs.fields(Config):
        variable = ENV_PREFIX + field.name.upper()
        value = getattr(effective, field.name)
        shown = _HIDDEN if value and is_secret(field.name, field.type) else _plain(value)
        source = _source(field.name, variable, flags, effective)
        described.append(Setting(field.name, variable, shown, _plain(field.default), source))
    return described


def _source(name: str, variable: str, flags: dict[str, Any], effective: Any) -> str:
    if flags.get(name) is not None:
        return "flag"
    if getattr(effective, f"{name}_file", ""):
        return f"file {getattr(effective, f'{name}_file')}"
    return "environment" if os.environ.get(variable) else "default"


def is_secret(name: str, kind: Any) -> bool:
    """By its name: what is added later is rather hidden than shown."""
    if kind is not str or name in _NOT_SECRET or name.endswith(("_file", "_url")):
        return False
    return any(word in f"_{name}" for word in _SECRET_NAMES)


def _plain(value: Any) -> Any:
    """As JSON has it, and without the passwords of URLs."""
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return _URL_PASSWORD.sub(rf"\1:{_HIDDEN}@", value) if isinstance(value, str) else value


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _warn_of_unknown() -> None:
    from eventmill.config_sources import unknown_variables

    for name, meant in unknown_variables(os.environ).items():
        click.echo(f"eventmill: {name} is no setting" + (f"; {meant} is" if meant else ""), err=True)
