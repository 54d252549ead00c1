"""What a bench found: medians and ranges of rounds, ratios of each round's pair, verdicts, and the table of them."""

from __future__ import annotations

import statistics
import sys
from dataclasses import dataclass, field
from pathlib import Path

BEGIN = "<!-- measured: rewritten by bench/run.py -->"
END = "<!-- end of measured -->"


@dataclass
class Row:
    """One measurement. With a baseline the target is a ratio to it, taken round by round; otherwise, and with
    `of_value`, one of the value."""

    what: str
    unit: str
    target: float | None
    at_most: bool = False
    """The target is a ceiling, not a floor."""
    over: str = ""
    """What the baseline is."""
    of_value: bool = False
    ours: list[float] = field(default_factory=list)
    baseline: list[float] = field(default_factory=list)

    def add(self, ours: float, baseline: float | None = None) -> None:
        self.ours.append(ours)
        if baseline is not None:
            self.baseline.append(baseline)

    @property
    def ratios(self) -> list[float]:
        return [ours / base for ours, base in zip(self.ours, self.baseline, strict=bool(self.baseline))]

    @property
    def passed(self) -> bool | None:
        if self.target is None:
            return None
        value = statistics.median(self.ours if self.of_value else self.ratios or self.ours)
        return value <= self.target if self.at_most else value >= self.target

    def cells(self) -> list[str]:
        passed = {None: "", True: "yes", False: "**no**"}[self.passed]
        sign = "≤" if self.at_most else "≥"
        times = " x" if self.ratios and not self.of_value else f" {self.unit}"
        return [
            self.what,
            spread(self.ours) + f" {self.unit}",
            f"{spread(self.baseline)} {self.unit} ({self.over})" if self.baseline else "",
            spread(self.ratios) if self.ratios else "",
            "" if self.target is None else f"{sign} {self.target:g}{times}",
            passed,
        ]


def number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def spread(values: list[float]) -> str:
    """Median (least-most); just the value when there is one."""
    if not values:
        return ""
    if len(values) == 1:
        return number(values[0])
    return f"{number(statistics.median(values))} ({number(min(values))}-{number(max(values))})"


def table(rows: list[Row]) -> str:
    head = "| what | ours | baseline of the same round | ratio | target | met |\n|---|---|---|---|---|---|\n"
    return head + "".join(f"| {' | '.join(row.cells())} |\n" for row in rows)


def record(path: Path, text: str) -> None:
    """Put the text between the markers of the page; the rest of the page is left as it is."""
    page = path.read_text() if path.exists() else "# Results\n"
    before, begin, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    if not begin:
        before, after = page.rstrip("\n") + "\n\n## Event path\n\n", "\n"
    path.write_text(f"{before}{BEGIN}\n\n{text.strip()}\n\n{END}{after}")


def progress(text: str) -> None:
    """One line on standard error, overwritten by the next; empty to clear it."""
    end = "" if sys.stderr.isatty() or not text else "\n"
    print(("\r\x1b[K" if sys.stderr.isatty() else "") + text, end=end, file=sys.stderr, flush=True)
