"""Names and meanings of everything that is logged, and the set-up of the log.

The names are part of the public interface (`docs/logging.md` is generated from them): added, never renamed. Call sites
log a name and fields, `log.info(telemetry.GATEWAY_READY, url=...)`: no prose, no secrets, no event bodies. Logs go to
standard error; standard output belongs to what a command was asked for.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from types import MappingProxyType
from typing import Any, Final, TextIO

import structlog

from eventmill.config import Config

_FIELD_CHARS_MAX = 2000
_SECRET_FIELDS = frozenset({"access_token", "authorization", "client_secret", "password", "private_pem", "seal_key"})

_meanings: dict[str, str] = {}


def _event(name: str, meaning: str) -> str:
    _meanings[name] = meaning
    return name


# The process
GATEWAY_STARTED: Final = _event("gateway_started", "The process runs; the store is not open yet.")
SETTING_UNKNOWN: Final = _event(
    "setting_unknown", "`variable` looks like a setting and is none; `nearest` is the one that may have been meant."
)
GATEWAY_READY: Final = _event("gateway_ready", "Requests are served; `url` is the public base URL.")
GATEWAY_DRAINING: Final = _event("gateway_draining", "Asked to stop: nothing new is accepted, what runs may finish.")
GATEWAY_STOPPED: Final = _event("gateway_stopped", "The last line of an orderly stop.")
DELIVERY_STARTED: Final = _event("delivery_started", "A delivery process runs, with its `pid`.")
DELIVERY_NOT_STARTED: Final = _event("delivery_not_started", "A delivery process could not begin; `cause` says why.")
DELIVERY_SILENT: Final = _event("delivery_silent", "A delivery process gave no sign of life any more, and was killed.")
TRACING_OFF: Final = _event("tracing_off", "`OTEL_*` variables ask for spans, but none are sent; `cause` says why.")
DELIVERY_EXITED: Final = _event("delivery_exited", "A delivery process ended; the next one starts in `restart_in_s`.")

# The store
STORE_OPENED: Final = _event("store_opened", "The data directory is locked and ready.")
STORE_RECOVERED: Final = _event("store_recovered", "The last stop was not orderly; state was brought up to the log.")
STORE_MIGRATED: Final = _event("store_migrated", "The on-disk format was raised to this release's version.")
LOG_WENT_BACK: Final = _event(
    "log_went_back",
    "The database has lost events that it had shown: it was restored, or failed over to a standby that was behind. "
    "What it lost is not delivered again; cursors of readers may be refused.",
)
STORE_READ_FAILED: Final = _event("store_read_failed", "The database refused a read; the caller was told to try again.")
LEASES_NOT_RENEWED: Final = _event(
    "leases_not_renewed", "The database did not renew this node's leases; it is tried again, until `leases_renewed`."
)
LEASES_RENEWED: Final = _event("leases_renewed", "This node's leases are renewed again.")
PRESIDENCY_TAKEN: Final = _event(
    "presidency_taken", "This node does from now on what is done once for all nodes: health, mails, replays, retention."
)
CLOCK_ADRIFT: Final = _event(
    "clock_adrift",
    "This machine's clock and the database's differ by more than a minute, `ahead_s` by how much: nothing expires here "
    "until `clock_in_time`; when it is more than an hour ahead, publishing answers 503.",
)
CLOCK_IN_TIME: Final = _event("clock_in_time", "This machine's clock and the database's agree again.")
STORE_REFUSED: Final = _event("store_refused", "Publishing answers 503 from now on; `cause` says why.")
STORE_ACCEPTING: Final = _event("store_accepting", "Publishing works again after a refusal.")
STORE_COMMIT_FAILED: Final = _event("store_commit_failed", "A commit failed; nothing in it was acknowledged.")
SEGMENT_OPENED: Final = _event("segment_opened", "A new time segment takes the events from now on.")
SEGMENT_DROPPED: Final = _event("segment_dropped", "A time segment passed its retention and was deleted.")
EVENTS_EXPIRED: Final = _event("events_expired", "Events that were never delivered passed their retention.")

# Tenants
TENANT_CREATED: Final = _event("tenant_created", "The ready-made tenant of dev mode was created.")
BOOTSTRAP_APPLIED: Final = _event("bootstrap_applied", "The bootstrap file was read; `created` counts what was new.")
TENANTS_MISSING: Final = _event(
    "tenants_missing", "Nobody can call: there is no organization. `remedy` says how to make one."
)
TENANCY_CHANGED: Final = _event(
    "tenancy_changed", "A caller changed an organization, project, workspace or credential; `action` says how."
)
STORE_SEEDED: Final = _event("store_seeded", "An empty data directory began with a snapshot.")
STORE_RESTORED: Final = _event("store_restored", "A snapshot took the place of what the data directory held.")
ACTION_UNNOTED: Final = _event("action_unnoted", "A change was made, but could not be put on record; `cause` says why.")
USER_CHANGED: Final = _event("user_changed", "A caller changed who may sign in to the console; `action` says how.")

# Console
SIGNED_IN: Final = _event("signed_in", "A person signed in to the console.")
SIGN_IN_FAILED: Final = _event("sign_in_failed", "A person was not let into the console; `why` says what was amiss.")

# Tokens
TOKENS_UNCHECKED: Final = _event(
    "tokens_unchecked", "Other machines reach this gateway, and with any bearer they may do everything."
)
TOKEN_KEY_ROTATED: Final = _event("token_key_rotated", "The key `kid` signs new tokens from now on.")
ISSUER_KEYS_READ: Final = _event("issuer_keys_read", "The OpenID Connect issuer has other keys than before: `keys`.")
ISSUER_FAILED: Final = _event(
    "issuer_failed", "The OpenID Connect issuer's keys could not be read; the last good ones stay."
)

# Requests and deliveries
REQUEST_FAILED: Final = _event("request_failed", "A request ended in 500 by a fault of the gateway.")
ATTEMPT_FAILED: Final = _event("attempt_failed", "A delivery attempt had no answer; its trace has the `error_id` too.")
HEALTH_CHANGED: Final = _event(
    "health_changed", "The outcomes of its attempts changed a registration's status from `before` to `after`."
)
REPLAY_CHANGED: Final = _event("replay_changed", "A replay came to its end, or stopped because of its registration.")
FILTER_BROKEN: Final = _event(
    "filter_broken", "The stored filter of `registration_id` cannot be read, so it gets no events; `cause` says why."
)
SCHEMA_VIOLATED: Final = _event(
    "schema_violated",
    "An event that does not fit the schema of its code was stored, as its provider only warns; `cause` says what is "
    "wrong. Once a minute per event code.",
)
SCHEMA_BROKEN: Final = _event(
    "schema_broken", "The stored schema of `event_code` cannot be used, so every event passes it; `cause` says why."
)
VALIDATION_EXPIRED: Final = _event(
    "validation_expired", "Nobody opened the link that a webhook was offered; `registration_id` is disabled."
)
STAGE_FAILED: Final = _event("stage_failed", "A stage met an unforeseen error, counted it and goes on.")
STAGE_RESUMED: Final = _event("stage_resumed", "A stage that failed works again; `seconds` is how long it did not.")

# Mails about webhooks
NOTICE_MAILED: Final = _event(
    "notice_mailed", "The mail about a registration's status was taken by the mail server, or by dev mode's mailbox."
)
NOTICE_DELAYED: Final = _event("notice_delayed", "A mail could not be sent; `cause` says why. It is tried again.")
NOTICE_REFUSED: Final = _event("notice_refused", "The mail server will never take a mail for `recipient`.")
NOTICE_DROPPED: Final = _event("notice_dropped", "Nobody was told of a registration's status; `cause` says why.")
NOTICE_KEPT: Final = _event(
    "notice_kept", "Nobody is mailed about an organization's registrations; said once. `remedy` names the setting."
)

# Event buses
EVENT_SOURCE_ACTIVE: Final = _event(
    "event_source_active", "The event bus of the registration `registration_id` gets its events from now on."
)
EVENT_SOURCE_EXPIRED: Final = _event(
    "event_source_expired", "Nobody associated the partner event source of the registration with a bus in time."
)
EVENT_SOURCE_FAILED: Final = _event(
    "event_source_failed", "Amazon EventBridge refused `operation` for a partner event source; tried again later."
)

# TLS and the proxy
TLS_CERTIFICATE_FAILED: Final = _event(
    "tls_certificate_failed", "The certificate of an HTTPS port could not be renewed or read again; the old one stays."
)
CLIENT_CERTIFICATE_FAILED: Final = _event(
    "client_certificate_failed", "The changed client certificate for webhooks cannot be used; the last good one stays."
)
PROXY_REFUSED: Final = _event("proxy_refused", "`eventmill proxy` turned a client away; `cause` says why.")
PROXY_GATEWAY_FAILED: Final = _event(
    "proxy_gateway_failed",
    "The gateway at `url` gave the proxy no answer, or broke off; the client got 502 or the cut.",
)

# Development
CLOCK_ADVANCED: Final = _event("clock_advanced", "The virtual clock was moved.")
STORE_RESET: Final = _event("store_reset", "Journals, registrations, providers, retries and traces were emptied.")

MEANINGS: Mapping[str, str] = MappingProxyType(_meanings)
"""Every event name with one sentence, in the order of the table in `docs/logging.md`."""


def setup_logging(config: Config, stream: TextIO | None = None) -> None:
    """Route structlog and the standard library's loggers to `stream` (standard error), as text or as JSON lines."""
    out = sys.stderr if stream is None else stream
    text = config.log_format == "text" or (config.log_format == "" and out.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _guard_fields,
    ]
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *(_text_processors(out.isatty()) if text else _json_processors()),
            ],
        )
    )
    level = config.log_level.upper()
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for chatty in ("aiohttp", "asyncio", "urllib3", "uvicorn"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level]))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _text_processors(colors: bool) -> list[structlog.typing.Processor]:
    plain = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=colors, pad_event_to=22, exception_formatter=plain)]


def _json_processors() -> list[structlog.typing.Processor]:
    # The traceback as text: structlog's own dictionaries hold local variables, and with them secrets.
    return [structlog.processors.format_exc_info, _order_fields, structlog.processors.JSONRenderer(ensure_ascii=False)]


def _order_fields(_logger: Any, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    first = {name: fields.pop(name) for name in ("timestamp", "level", "event") if name in fields}
    return {**first, **fields}


def _guard_fields(_logger: Any, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Second line of defence: secrets are masked and no field is longer than a screen."""
    for name, value in fields.items():
        if name in _SECRET_FIELDS:
            fields[name] = "***"
        elif isinstance(value, str) and len(value) > _FIELD_CHARS_MAX:
            fields[name] = f"{value[:_FIELD_CHARS_MAX]}... ({len(value)} characters)"
    return fields
