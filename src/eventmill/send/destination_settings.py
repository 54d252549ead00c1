"""Checks the settings of Runtime actions and event buses, so that a start refuses what no attempt could use."""

from __future__ import annotations

from urllib.parse import urlsplit

from eventmill.config import Config
from eventmill.errors import StartupError

_RUNNABLE = (".js", ".mjs", ".cjs", ".py")


def check_destination_settings(config: Config) -> None:
    """Raises `StartupError` that names setting and remedy, and shows no secret."""
    for entry in config.runtime_actions:
        _check_mapped_action(entry, dev=config.dev)
    if config.runtime_apihost:
        _check_url("EVENTMILL_RUNTIME_APIHOST", config.runtime_apihost)
        if ":" not in config.runtime_auth:
            raise StartupError("EVENTMILL_RUNTIME_APIHOST needs EVENTMILL_RUNTIME_AUTH, as <user>:<key>")
    if config.eventbridge_endpoint:
        _check_url("EVENTMILL_EVENTBRIDGE_ENDPOINT", config.eventbridge_endpoint)
    if bool(config.aws_access_key_id) != bool(config.aws_secret_access_key):
        raise StartupError("EVENTMILL_AWS_ACCESS_KEY_ID and EVENTMILL_AWS_SECRET_ACCESS_KEY need each other")


def _check_mapped_action(entry: str, *, dev: bool) -> None:
    action, _, target = entry.partition("=")
    package, _, name = action.partition("/")
    setting = f"EVENTMILL_RUNTIME_ACTIONS: {entry!r}"
    if not (package and name and target):
        raise StartupError(f"{setting} is not <package>/<action>=<URL or file>")
    if target.startswith(("http://", "https://")):
        _check_url("EVENTMILL_RUNTIME_ACTIONS", target)
    elif not target.endswith(_RUNNABLE):
        raise StartupError(f"{setting} names neither a URL nor a file that ends in {', '.join(_RUNNABLE)}")
    elif not dev:
        raise StartupError(f"{setting} names a file; files are run in dev mode only (--dev)")


def _check_url(setting: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise StartupError(f"{setting} must be an absolute http or https URL")
