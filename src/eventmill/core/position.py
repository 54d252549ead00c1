"""Positions in a journal, and what the parameters of a journal request ask for ("Journaling API").

A position is `1.<generation>.<shard>.<yyyymmdd>.<sequence>`, opaque to clients. It carries no proof of origin: it is
checked against the head of its shard, and it is useless against a journal its holder may not read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from eventmill.errors import GatewayError, Reason

_POSITION = re.compile(r"1\.(0|[1-9]\d{0,17})\.(0|[1-9]\d{0,8})\.(\d{8})\.(0|[1-9]\d{0,17})", re.ASCII)
_DURATION = re.compile(
    r"-P(?:(?P<w>\d{1,9})W|(?:(?P<y>\d{1,9})Y)?(?:(?P<mo>\d{1,9})M)?(?:(?P<d>\d{1,9})D)?"
    r"(?:T(?=\d)(?:(?P<h>\d{1,9})H)?(?:(?P<m>\d{1,9})M)?(?:(?P<s>\d{1,9}(?:[.,]\d{1,9})?)S)?)?)",
    re.ASCII,
)
_DAY_S = 86_400
_UNIT_S = {"w": 7 * _DAY_S, "y": 365 * _DAY_S, "mo": 30 * _DAY_S, "d": _DAY_S, "h": 3600, "m": 60, "s": 1}


class Position(msgspec.Struct, frozen=True):
    generation: int
    shard: int
    day: int
    """Of the shard's clock when the event was appended, as yyyymmdd; informative."""
    seq: int


def format_prefix(generation: int, shard: int, day: int) -> str:
    """The text of a position before its sequence."""
    return f"1.{generation}.{shard}.{day:08d}."


def format_position(position: Position) -> str:
    return f"{format_prefix(position.generation, position.shard, position.day)}{position.seq}"


def parse_position(text: str) -> Position:
    """Raises `GatewayError` (INVALID_POSITION) for what cannot be a position of this gateway."""
    found = _POSITION.fullmatch(text)
    if found is None:
        shown = text if len(text) <= 200 else text[:200] + "..."
        raise GatewayError(Reason.INVALID_POSITION, f"{shown!r} is not a journal position")
    generation, shard, day, seq = map(int, found.groups())
    return Position(generation, shard, day, seq)


def check_position(position: Position, *, generation: int, shard: int, head_seq: int) -> None:
    """Check a position against its shard's present generation and head.

    Raises `GatewayError`: POSITION_EXPIRED for an older generation, INVALID_POSITION for what this journal never gave.
    """
    if position.generation == generation and position.shard == shard and position.seq <= head_seq:
        return
    text = format_position(position)
    if position.shard != shard or position.generation > generation:
        raise GatewayError(Reason.INVALID_POSITION, f"{text} is not a position of this journal")
    if position.generation < generation:
        raise GatewayError(Reason.POSITION_EXPIRED, f"Events at position {text} have expired.")
    raise GatewayError(Reason.INVALID_POSITION, f"{text} lies beyond the end of this journal")


class JournalQuery(msgspec.Struct, frozen=True):
    """What a journal request asks for; at most one of `since`, `seek_ms` and `latest` is set."""

    since: str | None = None
    """The position text as given, not yet parsed."""
    seek_ms: int | None = None
    """Milliseconds before now."""
    latest: bool = False
    limit: int | None = None


def read_query(pairs: Sequence[tuple[str, str]], limit_max: int) -> JournalQuery:
    """Decide from the decoded query parameters; unknown ones are ignored, `limit` is cut to `limit_max`.

    A client that polls a `next` link may add `latest` or `limit` to it: `since` wins, and the last `limit` counts.
    Raises `GatewayError` (INVALID_PARAMETER) naming the parameter.
    """
    given: dict[str, str] = {}
    for name, value in pairs:
        if name in ("since", "seek") and given.get(name, value) != value:
            raise _refusal(name, "is given twice with different values")
        given[name] = value
    since, seek = given.get("since"), given.get("seek")
    latest = _read_boolean("latest", given.get("latest"))
    limit = _read_limit(given.get("limit"), limit_max)
    if since is not None and seek is not None:
        raise _refusal("seek", "cannot be used together with since")
    if seek is None:
        return JournalQuery(since=since, latest=latest and since is None, limit=limit)
    if latest:
        raise _refusal("seek", "cannot be used together with latest=true")
    return JournalQuery(seek_ms=_read_duration(seek), limit=limit)


def _read_boolean(name: str, text: str | None) -> bool:
    if text is None or text.lower() == "false":
        return False
    if text.lower() != "true":
        raise _refusal(name, f"must be true or false, but is {text[:80]!r}")
    return True


def _read_limit(text: str | None, limit_max: int) -> int | None:
    if text is None:
        return None
    digits = text.lstrip("0") if text.isascii() and text.isdigit() else ""
    if not digits:
        raise _refusal("limit", f"must be a positive integer, but is {text[:80]!r}")
    return limit_max if len(digits) > 9 else min(int(digits), limit_max)


def _read_duration(text: str) -> int:
    found = _DURATION.fullmatch(text)
    seconds = 0.0
    if found is not None:
        parts = {unit: value.replace(",", ".") for unit, value in found.groupdict().items() if value}
        seconds = sum(float(value) * _UNIT_S[unit] for unit, value in parts.items())
    milliseconds = round(seconds * 1000)
    if milliseconds <= 0:
        raise _refusal("seek", f"must be a negative ISO 8601 duration such as -PT2H, but is {text[:80]!r}")
    return milliseconds


def _refusal(name: str, what: str) -> GatewayError:
    return GatewayError(Reason.INVALID_PARAMETER, f"{name}: {what}")
