"""Says in a few lines what came instead of what a test waited for. Judges nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

_SHOWN_MAX = 10
_DATA_CHARS_MAX = 120


def listed(what: str, lines: Sequence[str]) -> str:
    """`what`, how many, and the first of them, each on a line of its own."""
    shown = "".join(f"\n  {line}" for line in lines[:_SHOWN_MAX])
    more = f"\n  and {len(lines) - _SHOWN_MAX} more" if len(lines) > _SHOWN_MAX else ""
    return f"{what}: {len(lines)}{shown}{more}"


def described(event: Mapping[str, Any]) -> str:
    """Its type, its id and the beginning of its data; of an event that is no CloudEvent, the beginning of it all."""
    named = " ".join(str(event[name]) for name in ("type", "id") if name in event)
    data = json.dumps(event.get("data") if "type" in event else event, ensure_ascii=False, default=str)
    short = data if len(data) <= _DATA_CHARS_MAX else data[:_DATA_CHARS_MAX] + "…"
    return f"{named} {short}".strip()
