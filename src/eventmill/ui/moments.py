"""Times as the API writes them, and as forms give them: fields of a form are in UTC."""

from __future__ import annotations

from datetime import UTC, datetime

from eventmill.errors import GatewayError, Reason


def ms_of(text: str | None) -> int | None:
    """Of a time in an answer of the API."""
    return None if text is None else round(datetime.fromisoformat(text).timestamp() * 1000)


def read_moment(text: str, what: str) -> int | None:
    """Milliseconds of a field such as `2026-03-01T12:30`; None when it is empty. Raises `INVALID_PARAMETER`."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or not 1971 <= moment.year <= 9000:
        raise GatewayError(Reason.INVALID_PARAMETER, f"{what}: must be a time such as 2026-03-01T12:30") from None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def field_moment(text: str) -> str:
    """What was in a field, for it to hold again; empty when that was no time."""
    try:
        moment_ms = read_moment(text, "")
    except GatewayError:
        return ""
    return "" if moment_ms is None else write_moment(moment_ms)


def write_moment(ms: int) -> str:
    """As a field for times takes it."""
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def api_time(ms: int) -> str:
    """As the API takes it."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
