"""`eventmill.core.sse`: events on the wire of Server-Sent Events, read back as a reader of the standard does."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from eventmill.core.envelope import JournalRun
from eventmill.core.sse import COMMENT, format_events, format_named, format_opening
from tests.event_stream import parse

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda each: st.lists(each) | st.dictionaries(st.text(), each),
)


def test_events() -> None:
    """One message for each, its id the position, its data the event with its recipient."""
    runs = [
        JournalRun("1.1.0.20260301.", [8, 9], [b'{"a":1', b'{"a":2'], b',"to":"me"}'),
        JournalRun("1.1.0.20260302.", [10], [b"[1]"], b""),
    ]

    chunk, last = format_events(runs)

    assert last == "1.1.0.20260302.10"
    assert parse(chunk) == [
        ("message", "1.1.0.20260301.8", '{"a":1,"to":"me"}'),
        ("message", "1.1.0.20260301.9", '{"a":2,"to":"me"}'),
        ("message", "1.1.0.20260302.10", "[1]"),
    ]


@given(_VALUES, st.sampled_from(["\n", "\r\n", "\r"]))
def test_any_layout_of_json(value: object, line_break: str) -> None:
    """An event that its publisher sent over many lines is the same JSON at the other end."""
    body = json.dumps(value, indent=2).replace("\n", line_break).encode()

    [(_, _, data)] = parse(format_events([JournalRun("p.", [1], [body], b"")])[0])

    assert json.loads(data) == value


def test_what_is_no_event() -> None:
    """The opening moves the place without a message; comments are nothing; other messages have names."""
    opening = format_opening("1.1.0.20260301.8", 1000)

    assert opening == b"retry: 1000\nid: 1.1.0.20260301.8\n\n"
    assert parse(opening + COMMENT + format_named("end", b"{}")) == [("end", "1.1.0.20260301.8", "{}")]
    assert parse(format_opening("", 1000)) == []
