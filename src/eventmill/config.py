"""Every setting and limit, with its default and its unit in its name.

A flag beats the environment, the environment beats the default. The variable of a setting is `EVENTMILL_` plus its
field in capitals; lists are comma-separated, booleans `true` or `false`. Reads nothing at import time.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from eventmill.errors import StartupError

ENV_PREFIX = "EVENTMILL_"
_HOST_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
KIB = 1024
MIB = 1024 * KIB

ADOBE_HOSTS = (
    "api.adobe.io",
    "api-stage.adobe.io",
    "developers.adobe.io",
    "developers-stage.adobe.io",
    "developer.adobe.com",
    "developer-stage.adobe.com",
    "ims-na1.adobelogin.com",
    "ims-na1-stg1.adobelogin.com",
    "eventsingress.adobe.io",
    "eventsingress-stage.adobe.io",
    "events-va6.adobe.io",
    "events-stage-va6.adobe.io",
    "static.adobeioevents.com",
    "aio-login.adobeioruntime.net",
    "aio-login-stage.adobeioruntime.net",
)
"""Every host that an official client knows by heart."""


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Effective settings of one process. `docs/configuration.md` is generated from this class."""

    # Where it runs
    host: str = "127.0.0.1"
    port: int = 8080
    data: str = ".eventmill"
    """Data directory; one process at a time writes in it."""
    dev: bool = False
    """Emulator mode: one process, a ready-made tenant, loopback webhooks allowed, virtual clock."""
    auth: Literal["", "strict", "lenient"] = ""
    """`strict`: tokens are fully checked; `lenient`: any non-empty bearer passes. Empty: lenient in dev mode only."""
    bootstrap: str = ""
    """JSON file of organisations, projects, workspaces and credentials to create at start."""
    base_url: str = ""
    """Public base URL in all links; empty: `http://127.0.0.1:<port>`."""
    clock_rate: float = 1.0
    """Dev mode: business seconds per machine second."""
    delivery_processes: int = 0
    """Delivery children; 0: one per core but one, at least 1. Dev mode has none."""
    seal_key: str = ""
    """Base64 of 32 bytes that seal secrets; empty: `DATA/seal.key`, made at first start."""
    log_format: Literal["", "text", "json"] = ""
    """Empty: text on a terminal, else JSON."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    # Built-in catalogue
    catalog: str = ""
    """File that replaces the built-in providers and events (see the catalogue guide); `off`: none."""
    catalog_delivery_format: Literal["adobe_io", "cloud_events_v1"] = "adobe_io"
    """How events of the catalogue are delivered: in the `adobe_io` envelope or as CloudEvents."""

    # Publishing
    publish_requests_per_5s: int = 3000
    """Per api key; over it 429. 0: none."""
    event_bytes_max: int = 1 * MIB
    publish_batch_events_max: int = 1000
    """Events in one batch; over it 413."""
    publish_batch_bytes_max: int = 4 * MIB
    """Body of one batch; each of its events keeps to `event_bytes_max` as well."""
    stored_bytes_per_org: int = 0
    """Stored event bytes per organisation; over it 429. 0: none."""
    disk_reserve_bytes: int = 256 * MIB
    """Free disk below which publishing answers 503."""
    strict_events: bool = False
    """Refuse what CloudEvents 1.0 forbids but real publishers send (see the publishing guide)."""
    strict_catalog: bool = False
    """Answer 400, not 204 or 404, for a provider or event code nobody registered."""

    # Management API
    request_bytes_max: int = 1 * MIB
    """Also of what a JSON Patch makes."""
    patch_bytes_max: int = 256 * KIB
    patch_operations_max: int = 100
    registrations_per_org: int = 2500
    registrations_per_client: int = 30
    projects_per_org: int = 1000
    workspaces_per_project: int = 100
    credentials_per_workspace: int = 10
    secrets_per_credential: int = 2
    """All that are valid at a time: a rotation needs two."""
    strict_challenge: bool = False
    """A failed challenge at creation answers 400 instead of a registration that is `verification_failed`."""

    # Tokens
    token_lifetime_s: int = 86399
    refresh_token_lifetime_s: int = 1_209_600
    token_key_rotation_days: int = 90
    """A new key signs the tokens after so many days; 0: only when asked to."""
    oidc_issuer: str = ""
    """URL of an OpenID Connect issuer whose access tokens are good here too, exactly as in their `iss`; empty: none."""
    oidc_audience: str = ""
    """What the issuer's tokens must have in `aud`."""
    oidc_org_claim: str = "org"
    """Claim that names the organization, by its IMS organization id or its consumer organization id."""
    oidc_scope_claim: str = "scope"
    """Claim that lists the scopes: text separated by blanks or commas, or a list."""
    oidc_required_scope: str = "adobeio_api"
    """Scope that the issuer's tokens must have; `none`: any token will do."""
    oidc_jwks_url: str = ""
    """Where the issuer's keys are; empty: as its `/.well-known/openid-configuration` says."""

    # Journal
    journal_retention_days: int = 7
    journal_page_events: int = 100
    """Events per page when the request gives no `limit`."""
    journal_page_events_max: int = 1000
    journal_page_bytes_max: int = 1_572_864
    journal_retry_after_s: int = 10
    journal_count_max: int = 100_000

    # Delivery
    webhook_timeout_s: float = 10.0
    """Whole attempt: name lookup, connect, TLS, request, response."""
    webhook_allow_http: bool = False
    webhook_allow_cidrs: tuple[str, ...] = ()
    """Networks that webhooks may reach although loopback, private or link-local."""
    webhook_batch_events_max: int = 20
    webhook_batch_bytes_max: int = 2 * MIB
    webhook_batch_flush_ms: int = 1000
    webhook_response_bytes_max: int = 1 * MIB
    legacy_fields: bool = True
    """Send `event_id` and `recipient_client_id` beside the new spellings; both official SDKs verify only these."""
    in_flight_max: int = 512
    """Attempts under way at once, per delivery process."""
    lane_in_flight_max: int = 16
    """Attempts under way at once, per registration."""
    lane_pending_max: int = 512
    """Positions a lane holds in memory ahead of its attempts; the rest waits in the journal."""
    lane_reorder_max: int = 4096
    """Settled positions above a lane's mark; beyond it the lane waits for its oldest attempt."""
    checkpoint_interval_ms: int = 100
    trace_body_bytes_max: int = 64 * KIB
    traces_kept: int = 100
    """Per registration, of successes and of errors each."""
    cancel_retries_on_delete: bool = False

    # Official clients and TLS
    adobe_hosts: tuple[str, ...] = ADOBE_HOSTS
    """Host names that `eventmill proxy` answers for, and that the local certificate authority may sign."""
    tls_port: int = 0
    """Further port of the gateway, for HTTPS; 0: none."""
    tls_cert: str = ""
    """PEM file of the HTTPS port's certificate chain; empty: one of the local certificate authority in `DATA/ca`."""
    tls_key: str = ""
    """PEM file of its key; empty: the key is in `tls_cert`."""

    # Shutting down
    drain_timeout_s: float = 12.0
    """After SIGTERM, attempts in flight may take this long; then the process goes."""

    @property
    def url(self) -> str:
        return self.base_url.rstrip("/") or f"http://127.0.0.1:{self.port}"

    @property
    def lenient(self) -> bool:
        return self.auth == "lenient" or (self.auth == "" and self.dev)

    @property
    def delivery_children(self) -> int:
        """Delivery processes to start beside the front; 0 means deliver in the front process (dev mode)."""
        if self.dev:
            return 0
        return self.delivery_processes or max(1, (os.cpu_count() or 1) - 1)


def load_config(flags: Mapping[str, Any], environ: Mapping[str, str]) -> Config:
    """Merge flags (None: not given) over `environ` over the defaults.

    Raises `StartupError` naming the flag or variable that cannot be read and what it must be.
    """
    values: dict[str, Any] = {}
    fields = {field.name: field for field in msgspec.structs.fields(Config)}
    for name, field in fields.items():
        variable = ENV_PREFIX + name.upper()
        if flags.get(name) is not None:
            values[name] = _convert(flags[name], field.type, "--" + name.replace("_", "-"))
        elif environ.get(variable):
            values[name] = _convert(environ[variable], field.type, variable)
    config = Config(**values)
    _check_ranges(config)
    return config


def _convert(raw: Any, kind: Any, source: str) -> Any:
    if isinstance(raw, str) and kind == tuple[str, ...]:
        return tuple(part.strip() for part in raw.split(",") if part.strip())
    if isinstance(raw, str) and kind is bool:
        raw = raw.lower()
    try:
        return msgspec.convert(raw, kind, strict=False)
    except msgspec.ValidationError as error:
        raise StartupError(f"{source}={raw!r} cannot be used: {error}") from error


def _check_ranges(config: Config) -> None:
    for port in (config.port, config.tls_port):
        if not 0 <= port <= 65535:
            raise StartupError(f"port {port} is not a TCP port (0 to 65535)")
    if config.tls_key and not config.tls_cert:
        raise StartupError("EVENTMILL_TLS_KEY needs EVENTMILL_TLS_CERT, the certificate that it belongs to")
    _check_adobe_hosts(config.adobe_hosts)
    _check_issuer(config)
    for field in msgspec.structs.fields(Config):
        value = getattr(config, field.name)
        if isinstance(value, int | float) and value < 0:
            raise StartupError(f"{ENV_PREFIX}{field.name.upper()} must not be negative, but is {value}")
    positive = (
        "publish_batch_events_max",
        "lane_in_flight_max",
        "lane_pending_max",
        "lane_reorder_max",
        "in_flight_max",
        "checkpoint_interval_ms",
        "webhook_batch_events_max",
    )
    for name in positive:
        if getattr(config, name) < 1:
            raise StartupError(f"{ENV_PREFIX}{name.upper()} must be at least 1")


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
