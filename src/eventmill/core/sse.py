"""The wire form of Server-Sent Events (HTML Living Standard, "Server-sent events").

An event's id is its journal position; its data is the event as a journal page has it.
"""

from __future__ import annotations

from collections.abc import Sequence

from eventmill.core.envelope import JournalRun

COMMENT = b":\n\n"
"""Says that the stream goes on; readers pass over it."""


def format_opening(position: str, reconnect_ms: int) -> bytes:
    """How soon a reader comes back after the stream's end, and where it goes on if no event comes before that."""
    place = b"id: %b\n" % position.encode() if position else b""
    return b"retry: %d\n%b\n" % (reconnect_ms, place)


def format_named(name: str, data: bytes) -> bytes:
    """A message with a name, which readers that do not listen to it pass over."""
    return b"event: %b\n%b\n" % (name.encode(), _data(data))


def format_events(runs: Sequence[JournalRun]) -> tuple[bytes, str]:
    """The events of `runs`, at least one, and the position of the last."""
    pieces = []
    for run in runs:
        prefix = run.position_prefix.encode()
        for seq, body in zip(run.seqs, run.bodies, strict=True):
            pieces.append(b"id: %b%d\n%b\n" % (prefix, seq, _data(body + run.suffix)))
    return b"".join(pieces), f"{runs[-1].position_prefix}{runs[-1].seqs[-1]}"


def _data(text: bytes) -> bytes:
    """Line breaks in JSON stand between its tokens only, so that any break will do for another."""
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return b"data: %b\n" % text.replace(b"\n", b"\ndata: ")
