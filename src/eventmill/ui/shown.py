"""How values look to people: times, ages, counts, sizes, and text of strangers with nothing hidden in it."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from markupsafe import Markup, escape

HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]")
"""Control characters, those without width, and those that turn the direction of what follows."""


def time_tag(ms: int | float | None, *, seconds: bool = True) -> Markup:
    """UTC; the page's script shows local time when the person prefers that."""
    if not ms:
        return Markup('<span class="faint">never</span>')
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    form = "%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M"
    return Markup('<time datetime="{}" data-ms="{}">{} UTC</time>').format(
        moment.isoformat(timespec="milliseconds"), int(ms), moment.strftime(form)
    )


def ago(ms: int | float | None, now_ms: int) -> Markup:
    if not ms:
        return Markup('<span class="faint">never</span>')
    moment = datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds")
    return Markup('<time datetime="{0}" title="{0}">{1} ago</time>').format(moment, duration((now_ms - ms) / 1000))


def duration(seconds: float) -> str:
    """Two units at most: `3 min 20 s`, `2 d 4 h`."""
    if seconds < 1:
        return f"{max(0, round(seconds * 1000))} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    for unit, length, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= length:
            rest = whole % length // part
            return f"{whole // length} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"


def room_left(days: float) -> str:
    """Until the disk is full; what is far off is not told to the day."""
    if days > 365:
        return "more than a year left as in the last hour"
    return f"{days:.0f} day{'' if round(days) == 1 else 's'} left as in the last hour"


def count(number: float) -> str:
    """With thin spaces between thousands."""
    return f"{number:,.0f}".replace(",", "\u202f")


def size(number: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" or number >= 100 else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def safe_text(value: object) -> Markup:
    """Text of a stranger: escaped, its direction kept inside, its hidden characters shown by their numbers."""
    return Markup("<bdi>{}</bdi>").format(mark_hidden(str(value)))


def mark_hidden(value: str) -> Markup:
    pieces = []
    at = 0
    for found in HIDDEN.finditer(value):
        pieces += [escape(value[at : found.start()]), Markup('<span class="ctl">U+{:04X}</span>').format(ord(found[0]))]
        at = found.end()
    return Markup("").join([*pieces, escape(value[at:])])
