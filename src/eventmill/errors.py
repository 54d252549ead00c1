"""Every failure the gateway names: one base error, one table of reasons, one table of trace codes.

`reason` is part of the public interface: codes are added, never renamed. The edge (`web.app`) turns a
`GatewayError` into status, `{"reason", "message"}` and headers; nothing else maps errors to HTTP.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, IntEnum
from typing import NamedTuple


class Reason(Enum):
    """Snake-case code and HTTP status of each refusal."""

    MALFORMED_REQUEST = ("malformed_request", 400)
    INVALID_JSON = ("invalid_json", 400)
    INVALID_BODY = ("invalid_body", 400)
    INVALID_PATCH = ("invalid_patch", 400)
    INVALID_EVENT = ("invalid_event", 400)
    INVALID_BATCH = ("invalid_batch", 400)
    SCHEMA_VIOLATION = ("schema_violation", 400)
    INVALID_PARAMETER = ("invalid_parameter", 400)
    INVALID_POSITION = ("invalid_position", 400)
    UNKNOWN_EVENT = ("unknown_event_of_interest", 400)
    INVALID_FILTER = ("invalid_filter", 400)
    INCOMPATIBLE_FILTER = ("incompatible_filter", 400)
    FILTER_EXISTS = ("filter_exists", 400)
    CHALLENGE_FAILED = ("challenge_failed", 400)
    CLOCK_BACKWARDS = ("clock_backwards", 400)
    MISSING_TOKEN = ("missing_token", 401)
    INVALID_TOKEN = ("invalid_token", 401)
    EXPIRED_TOKEN = ("expired_token", 401)
    REVOKED_TOKEN = ("revoked_token", 401)
    INVALID_CLIENT = ("invalid_client", 401)
    MISSING_API_KEY = ("missing_api_key", 403)
    UNKNOWN_API_KEY = ("unknown_api_key", 403)
    WRONG_API_KEY = ("wrong_api_key", 403)
    WRONG_ORGANIZATION = ("wrong_organization", 403)
    MISSING_SCOPE = ("missing_scope", 403)
    NOT_PERMITTED = ("not_permitted", 403)
    LOOPBACK_ONLY = ("loopback_only", 403)
    NOT_FOUND = ("not_found", 404)
    METHOD_NOT_ALLOWED = ("method_not_allowed", 405)
    CONFLICT = ("conflict", 409)
    STALE_VERSION = ("stale_version", 409)
    QUOTA_REACHED = ("quota_reached", 409)
    INCOMPATIBLE_SCHEMA = ("incompatible_schema", 409)
    REGISTRATION_DISABLED = ("registration_disabled", 409)
    NOT_PUSHED = ("not_pushed", 409)
    LEASE_HELD = ("lease_held", 409)
    LEASE_LOST = ("lease_lost", 409)
    POSITION_EXPIRED = ("position_expired", 410)
    VALIDATION_OVER = ("validation_over", 410)
    PRECONDITION_FAILED = ("precondition_failed", 412)
    TOO_LARGE = ("too_large", 413)
    UNSUPPORTED_MEDIA_TYPE = ("unsupported_media_type", 415)
    THROTTLED = ("throttled", 429)
    TOO_MANY_READERS = ("too_many_readers", 429)
    HEADERS_TOO_LARGE = ("headers_too_large", 431)
    STORAGE_QUOTA_REACHED = ("storage_quota_reached", 429)
    INTERNAL = ("internal_error", 500)
    EGRESS_PROXY_FAILED = ("egress_proxy_failed", 503)
    ISSUER_UNAVAILABLE = ("issuer_unavailable", 503)
    STORE_UNAVAILABLE = ("store_unavailable", 503)
    DISK_RESERVE_REACHED = ("disk_reserve_reached", 503)
    SHUTTING_DOWN = ("shutting_down", 503)

    @property
    def code(self) -> str:
        return str(self.value[0])

    @property
    def status(self) -> int:
        return int(self.value[1])


class GatewayError(Exception):
    """A refusal with a message for the caller: what was wrong, and where."""

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        conflicting_id: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.conflicting_id = conflicting_id
        """Sent as `x-conflicting-id`."""
        self.retry_after_s = retry_after_s
        """Sent as `Retry-After`; only on refusals that may be retried."""


class Conflict(GatewayError):
    """A unique key is taken; `conflicting_id` names the document that holds it."""

    def __init__(self, message: str, conflicting_id: str) -> None:
        super().__init__(Reason.CONFLICT, message, conflicting_id=conflicting_id)


class EventRefusal(NamedTuple):
    """Why one event of a batch is refused."""

    at: int
    """Its place in the batch, from 0."""
    reason: Reason
    message: str


class BatchRefused(GatewayError):
    """Nothing of a batch was stored, because of these events. A 403 among them is the answer to the whole."""

    def __init__(self, refusals: Sequence[EventRefusal], size: int) -> None:
        first = min(refusals, key=lambda refusal: (refusal.reason.status != 403, refusal.at))
        reason = first.reason if first.reason.status == 403 else Reason.INVALID_BATCH
        message = f"nothing was stored: {len(refusals)} of {size} events refused; event {first.at}: {first.message}"
        super().__init__(reason, message)
        self.refusals = tuple(refusals)


class LimitReached(GatewayError):
    """A counted key (`store.base.Key.at_most`) is full."""

    def __init__(self, key_name: str, at_most: int) -> None:
        super().__init__(Reason.QUOTA_REACHED, f"limit of {at_most} reached for {key_name}")
        self.key_name = key_name


class StaleVersion(GatewayError):
    """Compare-and-set lost: the document changed or vanished since it was read."""

    def __init__(self, kind: str, doc_id: str) -> None:
        super().__init__(Reason.STALE_VERSION, f"{kind} {doc_id} was changed by another request; read it and try again")


class StoreUnavailable(GatewayError):
    """The store cannot promise durability now (failed fsync, disk reserve, shutting down)."""

    def __init__(self, message: str, reason: Reason = Reason.STORE_UNAVAILABLE) -> None:
        super().__init__(reason, message, retry_after_s=5)


class RoutingStale(Exception):
    """Internal: an append matched with an older routing epoch. Reload, match again, retry; never shown to a caller."""


class Exit(IntEnum):
    """What the command's exit codes mean; part of the public interface."""

    FAILED = 1
    SETTINGS = 2
    """Somebody has to change something first: command line, settings, rights, the store itself."""
    PENDING = 3
    """`eventmill migrate check`: steps wait to be run."""
    SCHEMA = 4
    """The store's schema is not for this version."""
    UNAVAILABLE = 5
    """The database cannot be reached, or writes nothing now: the same command may succeed later."""


class StartupError(Exception):
    """A start that cannot go on; the message names cause and remedy. The command exits with `exit_code`."""

    def __init__(self, message: str, exit_code: int = Exit.SETTINGS) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class TraceCode(IntEnum):
    """Codes of attempts that had no HTTP response (debug tracing, status codes 6xx)."""

    CLIENT_ERROR = 601
    NETWORK_ERROR = 602
    TIMEOUT = 604
    TLS_ERROR = 611
