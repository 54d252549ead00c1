"""The settings in force, each with where it came from; secrets are told to be there, and no more."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import msgspec

from eventmill.config import ENV_PREFIX, Config

Source = Literal["default", "environment", "file", "flag"]

_SECRETS = frozenset(
    {
        "seal_key",
        "runtime_auth",
        "aws_secret_access_key",
        "aws_session_token",
        "smtp_password",
        "metrics_token",
        "console_oidc_client_secret",
    }
)
_USER_INFO = re.compile(r"(?<=://).+@")
"""To the last one: a password may hold what should have been written as %XX."""
_PASSWORD = re.compile(r"(?<=password=)[^&]+")
_MASKED = "••••••"


class Setting(msgspec.Struct, frozen=True):
    name: str
    variable: str
    value: str
    source: Source


def shown_settings(config: Config, environ: Mapping[str, str]) -> list[Setting]:
    """In the order of the guide to the configuration."""
    return [_setting(config, environ, each) for each in msgspec.structs.fields(Config)]


def _setting(config: Config, environ: Mapping[str, str], field: msgspec.structs.FieldInfo) -> Setting:
    value = getattr(config, field.name)
    variable = ENV_PREFIX + field.name.upper()
    default = field.default if field.default is not msgspec.NODEFAULT else None
    source: Source = "default"
    if value == default:
        source = "default"
    elif environ.get(f"{variable}_FILE"):
        source = "file"
    elif environ.get(variable):
        source = "environment"
    else:
        source = "flag"
    return Setting(field.name, variable, _shown(field.name, value), source)


def _shown(name: str, value: object) -> str:
    if name in _SECRETS:
        return _MASKED if value else ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    texts = map(str, value) if isinstance(value, tuple) else (str(value),)
    return ", ".join(_PASSWORD.sub(_MASKED, _USER_INFO.sub(f"{_MASKED}@", text)) for text in texts)
