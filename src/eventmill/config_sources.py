"""Where settings come from: flags, the environment and secret files, read and checked before anything starts.

Reads nothing at import time. Every refusal is a `StartupError` that names the setting, its value and what it must be.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin
from urllib.parse import urlsplit

import msgspec

from eventmill.config import ENV_PREFIX, ROLES, Config, is_loopback
from eventmill.errors import StartupError
from eventmill.model import MAIL_ADDRESS, MAIL_ADDRESS_CHARS_MAX

_HOST_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
_COMMAND_VARIABLES = ("TOKEN",)
"""Of the command line, and no settings."""
_ACCEPTED = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def load_config(flags: Mapping[str, Any], environ: Mapping[str, str]) -> Config:
    """Merge flags (None: not given) over `environ` over the defaults.

    Raises `StartupError` naming the flag or variable that cannot be read and what it must be.
    """
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for field in msgspec.structs.fields(Config):
        raw, source = flags.get(field.name), "--" + field.name.replace("_", "-")
        if raw is None:
            source = ENV_PREFIX + field.name.upper()
            raw = environ.get(source) or None
        sources[field.name] = source
        if raw is not None:
            values[field.name] = _convert(raw, field.type, source)
    config = _with_secret_files(Config(**values))
    _check_ranges(config, sources)
    return config


def unknown_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables that look like settings and are none, each with the one that was probably meant, or empty text."""
    known = [field.name.upper() for field in msgspec.structs.fields(Config)]
    given = {name.removeprefix(ENV_PREFIX) for name in environ if name.startswith(ENV_PREFIX)}
    unknown = sorted(given - {*known, *_COMMAND_VARIABLES})
    if not unknown:
        return {}
    from difflib import get_close_matches  # costs a start that has no need of it

    nearest = {name: get_close_matches(name, known, n=1) for name in unknown}
    return {ENV_PREFIX + name: ENV_PREFIX + found[0] if found else "" for name, found in nearest.items()}


def _with_secret_files(config: Config) -> Config:
    """Each secret that may also come in a file, from there."""
    for name in (
        "runtime_auth",
        "aws_secret_access_key",
        "smtp_password",
        "metrics_token",
        "console_oidc_client_secret",
    ):
        if path := getattr(config, f"{name}_file"):
            try:
                secret = Path(path).read_text("utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise StartupError(f"{ENV_PREFIX}{name.upper()}_FILE={path!r} cannot be read: {error}") from error
            config = msgspec.structs.replace(config, **{name: secret})
    return config


def _convert(raw: Any, kind: Any, source: str) -> Any:
    value = raw
    if isinstance(raw, str) and get_origin(kind) is tuple:
        value = tuple(part.strip() for part in raw.split(",") if part.strip())
    if isinstance(raw, str) and kind is bool:
        value = raw.lower()
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        raise StartupError(f"{source}={raw!r} cannot be used: it must be {_accepted(kind)}") from error


def _accepted(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(each for each in get_args(kind) if each)
    if get_origin(kind) is tuple:
        return f"a list, separated by commas, of which each is {_ACCEPTED[get_args(kind)[0]]}"
    return _ACCEPTED[kind]


def _check_ranges(config: Config, sources: Mapping[str, str]) -> None:
    """`sources`: the flag or variable of each setting, for messages."""
    for name in ("port", "tls_port", "smtp_port"):
        if not 0 <= (port := getattr(config, name)) <= 65535:
            raise StartupError(f"{sources[name]}={port} is not a TCP port (0 to 65535)")
    for key, certificate in (("tls_key", "tls_cert"), ("client_key", "client_cert")):
        if getattr(config, key) and not getattr(config, certificate):
            raise StartupError(
                f"EVENTMILL_{key.upper()} needs EVENTMILL_{certificate.upper()}, the certificate that it belongs to"
            )
    for name, most in (("retry_after_max_s", 900), ("retry_jitter_share", 1)):
        if not (given := getattr(config, name)) <= most:
            raise StartupError(f"{sources[name]} must be at most {most}, but is {given:g}")
    _check_roles(config, sources["roles"])
    _check_base_url(config.base_url, sources["base_url"])
    _check_mail(config)
    _check_adobe_hosts(config.adobe_hosts)
    _check_issuer(config)
    for field in msgspec.structs.fields(Config):
        value = getattr(config, field.name)
        if isinstance(value, int | float) and value < 0:
            raise StartupError(f"{sources[field.name]} must not be negative, but is {value}")
    positive = (
        "publish_batch_events_max",
        "lane_in_flight_max",
        "lane_pending_max",
        "lane_reorder_max",
        "in_flight_max",
        "in_flight_bytes_max",
        "checkpoint_interval_ms",
        "lease_ttl_s",
        "token_lifetime_s",
        "refresh_token_lifetime_s",
        "webhook_batch_events_max",
        "validation_window_s",
        "smtp_port",
        "smtp_timeout_s",
        "notice_days",
        "notices_per_org",
    )
    for name in positive:
        if getattr(config, name) < 1:
            raise StartupError(f"{sources[name]} must be at least 1, but is {getattr(config, name)}")


def _check_roles(config: Config, setting: str) -> None:
    for role in config.roles:
        if role not in ROLES:
            raise StartupError(f"{setting}: {role!r} is not a role; there are {' and '.join(ROLES)}")


def _check_base_url(url: str, setting: str) -> None:
    """Every link starts with it, and clients follow them."""
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in {"http", "https"} and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        is_usable = False
    if url and (not is_usable or "?" in url or "#" in url or "@" in url):
        raise StartupError(
            f"{setting}={url!r} cannot begin links: it must be scheme and host, such as https://events.example.com"
        )


def _check_mail(config: Config) -> None:
    addresses = [("mail_from", config.mail_from)] if config.mail_from else []
    for name, address in (*addresses, *(("notice_recipients", each) for each in config.notice_recipients)):
        if len(address) > MAIL_ADDRESS_CHARS_MAX or not re.search(MAIL_ADDRESS, address):
            raise StartupError(
                f"{ENV_PREFIX}{name.upper()}: {address!r} is not a mail address, such as ops@example.com"
            )
    if config.smtp_host and not config.mail_from:
        raise StartupError("EVENTMILL_SMTP_HOST needs EVENTMILL_MAIL_FROM, the address that mails come from")
    if bool(config.smtp_user) != bool(config.smtp_password):
        raise StartupError("EVENTMILL_SMTP_USER and EVENTMILL_SMTP_PASSWORD come together")
    if config.smtp_user and config.smtp_tls == "off" and not is_loopback(config.smtp_host):
        raise StartupError("EVENTMILL_SMTP_TLS=off would send the password of EVENTMILL_SMTP_USER for anyone to read")
    if config.console_url:
        _check_base_url(config.console_url, "EVENTMILL_CONSOLE_URL")


def _check_adobe_hosts(hosts: tuple[str, ...]) -> None:
    """Names only: a port or a wildcard would never match a client's request."""
    for host in hosts:
        if not _HOST_NAME.fullmatch(host):
            raise StartupError(f"{ENV_PREFIX}ADOBE_HOSTS: {host!r} is not a host name in lower case")


def _check_issuer(config: Config) -> None:
    for name in ("oidc_issuer", "oidc_jwks_url"):
        url = getattr(config, name)
        if url and not _is_trustworthy(url):
            raise StartupError(f"{ENV_PREFIX}{name.upper()}={url!r} must be an https URL")
    if config.oidc_issuer and not config.oidc_audience:
        raise StartupError(
            "EVENTMILL_OIDC_ISSUER needs EVENTMILL_OIDC_AUDIENCE: without it tokens for any other service would do"
        )


def _is_trustworthy(url: str) -> bool:
    """Keys that arrive over plain http could be anybody's; the loopback interface is the exception."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    is_local = parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1", "::1")
    return bool(parts.hostname) and (parts.scheme == "https" or is_local)
