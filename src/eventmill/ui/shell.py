"""Texts of strangers as words of a shell command that can be looked at and copied without harm."""

from __future__ import annotations

import shlex

from eventmill.ui.shown import HIDDEN

_ESCAPED = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def shell_word(text: str) -> str:
    """Quoted. What people would not see, or what would turn the direction of the rest, is written by its number, in the
    form that bash and zsh read (`$'…'`)."""
    if not HIDDEN.search(text):
        return shlex.quote(text)
    return "$'" + "".join(_escape(each) for each in text) + "'"


def _escape(char: str) -> str:
    if char in _ESCAPED:
        return _ESCAPED[char]
    if not HIDDEN.match(char):
        return char
    return f"\\x{ord(char):02x}" if ord(char) < 0x80 else f"\\u{ord(char):04x}"
