"""Reads an event stream as the HTML Living Standard tells browsers to ("Interpreting an event stream")."""

from __future__ import annotations

import re


def parse(stream: bytes) -> list[tuple[str, str, str]]:
    """Type, last event id and data of each complete message."""
    messages: list[tuple[str, str, str]] = []
    kind, last_id, data = "", "", list[str]()
    lines = re.split("\r\n|\n|\r", stream.decode())
    for line in lines[:-1]:
        if not line:
            if data:
                messages.append((kind or "message", last_id, "\n".join(data)))
            kind, data = "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            kind = value
        elif field == "data":
            data.append(value)
        elif field == "id" and "\0" not in value:
            last_id = value
    return messages
