"""Every setting and limit, with its default and its unit in its name.

A flag beats the environment, the environment beats the default. The variable of a setting is `EVENTMILL_` plus its
field in capitals; lists are comma-separated, booleans `true` or `false`. Reads nothing at import time.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from eventmill.errors import StartupError

ENV_PREFIX = "EVENTMILL_"
KIB = 1024
MIB = 1024 * KIB


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

    # Publishing
    publish_requests_per_5s: int = 3000
    """Per api key; over it 429. 0: none."""
    event_bytes_max: int = 1 * MIB
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
    registrations_per_org: int = 2500
    registrations_per_client: int = 30
    token_lifetime_s: int = 86399
    strict_challenge: bool = False
    """A failed challenge at creation answers 400 instead of a registration that is `verification_failed`."""

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
    if not 0 <= config.port <= 65535:
        raise StartupError(f"port {config.port} is not a TCP port (0 to 65535)")
    for field in msgspec.structs.fields(Config):
        value = getattr(config, field.name)
        if isinstance(value, int | float) and value < 0:
            raise StartupError(f"{ENV_PREFIX}{field.name.upper()} must not be negative, but is {value}")
    positive = (
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
