"""Lengths of time as people type them: `90s`, `15m`, `2h`, `1d`, `1h30m`, or a plain number of seconds."""

from __future__ import annotations

import re

import click

_PARTS = re.compile(r"(\d+(?:\.\d+)?)([smhdw])", re.ASCII)
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def duration_s(text: str) -> float:
    """In seconds. Raises `click.UsageError`."""
    if re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII):
        return float(text)
    parts = _PARTS.findall(text)
    if not parts or "".join(map("".join, parts)) != text:
        raise click.UsageError(f"{text!r} is no length of time; expected something like 90s, 15m, 2h, 1d or 1h30m")
    return sum(float(number) * _UNIT_S[unit] for number, unit in parts)


def iso_seek(text: str) -> str:
    """As the parameter `seek` of "Journaling API" takes it; what is ISO 8601 already stays as it is."""
    if text.startswith("-P"):
        return text
    return f"-PT{duration_s(text):g}S"
