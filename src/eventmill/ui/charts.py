"""Pictures made on the server: inline SVG without scripts or styles, each with its content in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
from markupsafe import Markup


class Bar(msgspec.Struct, frozen=True):
    label: str
    value: float
    tone: str = "accent"
    """A class: accent, ok, warn, bad, quiet."""


class Slice(msgspec.Struct, frozen=True):
    """A part of a whole."""

    label: str
    value: float


class Mark(msgspec.Struct, frozen=True):
    """An attempt on a timeline."""

    at_ms: int
    label: str
    tone: str = "accent"


def sparkline(
    values: Sequence[float], label: str, *, width: int = 160, height: int = 36, tone: str = "accent"
) -> Markup:
    """A line with the area below it; of fewer than two values, a base line."""
    top = max(values, default=0.0)
    if len(values) < 2 or top <= 0:
        path = f"M0 {height - 1}H{width}"
        return _svg(width, height, label, Markup('<path class="c-line quiet" d="{}"/>').format(path), stretch=True)
    step = width / (len(values) - 1)
    points = [f"{at * step:.1f} {height - 2 - (height - 4) * value / top:.1f}" for at, value in enumerate(values)]
    line = "M" + "L".join(points)
    area = f"{line}L{width} {height}L0 {height}Z"
    return _svg(
        width,
        height,
        label,
        Markup('<path class="c-area {0}" d="{1}"/><path class="c-line {0}" d="{2}"/>').format(tone, area, line),
        stretch=True,
    )


def histogram(bars: Sequence[Bar], label: str, *, width: int = 480, height: int = 120) -> Markup:
    """Upright bars with their labels below; values stand above them."""
    if not bars:
        return Markup("")
    top = max(each.value for each in bars) or 1
    slot = width / len(bars)
    room = height - 36
    pieces = []
    for at, each in enumerate(bars):
        tall = max(1.0, room * each.value / top) if each.value else 0.0
        middle = at * slot + slot / 2
        wide = min(48.0, slot * 0.6)
        pieces.append(
            Markup(
                '<rect class="c-bar {}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="2"/>'
                '<text class="c-text" x="{:.1f}" y="{:.1f}" text-anchor="middle">{:g}</text>'
                '<text class="c-text faint" x="{:.1f}" y="{}" text-anchor="middle">{}</text>'
            ).format(
                *(each.tone, middle - wide / 2, 18 + room - tall, wide, tall),
                *(middle, 14 + room - tall, each.value, middle, height - 4, each.label),
            )
        )
    return _svg(width, height, label, Markup("").join(pieces))


def bars(values: Sequence[Bar], label: str, *, width: int = 480, height: int = 72) -> Markup:
    """Narrow bars side by side, such as one a minute; each says its value when it is pointed at."""
    top = max((each.value for each in values), default=0) or 1
    slot = width / max(1, len(values))
    base = Markup('<path class="c-line quiet" d="M0 {0}H{1}"/>').format(height - 0.5, width)
    pieces = [
        Markup(
            '<rect class="c-bar {}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}: {:g}</title></rect>'
        ).format(
            each.tone,
            at * slot + slot * 0.1,
            height - 1 - (height - 4) * each.value / top,
            slot * 0.8,
            (height - 4) * each.value / top,
            each.label,
            each.value,
        )
        for at, each in enumerate(values)
        if each.value
    ]
    return _svg(width, height, label, base + Markup("").join(pieces), stretch=True)


_TICKS = (
    (1, "1 s"),
    (10, "10 s"),
    (60, "1 min"),
    (300, "5 min"),
    (900, "15 min"),
    (3600, "1 h"),
    (4 * 3600, "4 h"),
    (86_400, "1 d"),
    (604_800, "7 d"),
)
_FIRST_TICK, _TICK_ROOM, _LAST_TICK = 22.0, 13.0, 97.0
"""Percent of the width: what the words at the beginning take, what each of the others takes, and where they end."""


def attempts(marks: Sequence[Mark], start_ms: int, label: str) -> Markup:
    """What happened after a moment, on a line whose seconds shrink as it goes on: retries are spaced like that. It is
    as wide as there is room, with words and marks of the same size."""
    end_s = max([2.0, *((each.at_ms - start_ms) / 1000 for each in marks)])

    def place(seconds: float) -> float:
        return 2 + 96 * math.log1p(max(0.0, seconds)) / math.log1p(end_s)

    pieces = [
        Markup('<line class="c-line quiet" x1="2%" x2="98%" y1="14" y2="14"/>'),
        Markup('<line class="c-line quiet" x1="2%" x2="2%" y1="26" y2="32"/><text class="c-text" x="2%" y="46">'),
        Markup("published</text>"),
    ]
    free_from = _FIRST_TICK
    for seconds, words in _TICKS:
        x = place(seconds)
        if free_from <= x <= _LAST_TICK and seconds <= end_s:
            free_from = x + _TICK_ROOM
            pieces.append(
                Markup(
                    '<line class="c-line quiet" x1="{0:.1f}%" x2="{0:.1f}%" y1="26" y2="32"/>'
                    '<text class="c-text" x="{0:.1f}%" y="46" text-anchor="middle">{1}</text>'
                ).format(x, words)
            )
    pieces += [
        Markup('<circle class="c-bar {}" cx="{:.1f}%" cy="14" r="6"><title>{}</title></circle>').format(
            each.tone, place((each.at_ms - start_ms) / 1000), each.label
        )
        for each in marks
    ]
    return Markup('<svg class="chart wide" role="img" aria-label="{}" width="100%" height="54">{}</svg>').format(
        label, Markup("").join(pieces)
    )


def meter(share: float, label: str, *, width: int = 200, marks: Sequence[float] = (), tone: str = "accent") -> Markup:
    """How much of something is reached, from 0 to 1, and where limits lie."""
    reached = min(1.0, max(0.0, share))
    pieces = [
        Markup('<rect class="c-track" x="0" y="2" width="{}" height="8" rx="4"/>').format(width),
        Markup('<rect class="c-bar {}" x="0" y="2" width="{:.1f}" height="8" rx="4"/>').format(tone, reached * width),
    ]
    pieces += [Markup('<path class="c-mark" d="M{:.1f} 0V12"/>').format(each * width) for each in marks]
    return _svg(width, 12, label, Markup("").join(pieces))


def split(slices: Sequence[Slice], label: str, *, width: int = 600, height: int = 14) -> Markup:
    """What a whole is made of, side by side, in the tones `part-0`, `part-1` …; each has its words."""
    whole = sum(each.value for each in slices)
    if whole <= 0:
        return Markup("")
    pieces, x = [], 0.0
    for at, each in enumerate(slices):
        wide = width * each.value / whole
        pieces.append(
            Markup(
                '<rect class="c-part part-{}" x="{:.1f}" y="0" width="{:.1f}" height="{}"><title>{}</title></rect>'
            ).format(at, x, wide, height, each.label)
        )
        x += wide
    return _svg(width, height, label, Markup("").join(pieces), stretch=True)


def _svg(width: float, height: float, label: str, body: Markup, *, stretch: bool = False) -> Markup:
    aspect = Markup(' preserveAspectRatio="none"') if stretch else Markup("")
    return Markup(
        '<svg class="chart{}" role="img" aria-label="{}" viewBox="0 0 {} {}" width="{}" height="{}"{}>{}</svg>'
    ).format(" wide" if stretch else "", label, width, height, width, height, aspect, body)
