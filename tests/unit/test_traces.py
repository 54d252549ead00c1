"""What traces may show."""

from __future__ import annotations

import msgspec
import pytest

from eventmill.flow.traces import TraceDetail, cut_text, shown_url
from eventmill.send.timings import Timings


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://erp.example/hook", "https://erp.example/hook"),
        ("https://bob:p%40ss@erp.example:8443/hook?a=1", "https://***@erp.example:8443/hook?a=1"),
        ("http://token@127.0.0.1", "http://***@127.0.0.1"),
        ("https://a@b@erp.example/", "https://***@erp.example/"),
        ("https://erp.example/@team?to=a@b.example#@", "https://erp.example/@team?to=a@b.example#@"),
        ("https://erp.example?to=://a@b.example", "https://erp.example?to=://a@b.example"),
    ],
)
def test_user_information_is_masked(url: str, shown: str) -> None:
    """User and password of a webhook URL are hidden; an at sign elsewhere is left alone."""
    assert shown_url(url) == shown


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"", ""),
        (b"a" * 40, "a" * 32),
        ("€".encode() * 20, "€" * 10),
        (b"a" * 30 + "€".encode(), "a" * 30),
        (b"a" * 29 + "€".encode(), "a" * 29 + "€"),
        ("😀".encode() * 8, "😀" * 8),
        (b"\xff" * 40, "\ufffd" * 10),
        (b"\xe2\x82", "\ufffd"),
    ],
)
def test_bodies_are_cut_between_characters(raw: bytes, text: str) -> None:
    """At most so many bytes of UTF-8, whether the sender had cut them already or not; what is none is replaced."""
    assert cut_text(raw, 32) == text
    assert cut_text(raw[:32], 32) == text
    assert len(text.encode()) <= 32


def test_traces_of_earlier_releases_open() -> None:
    """A stored trace without the members that came later is read as it was."""
    members = {
        "delivery_id": "d-1",
        "event_code": "com.acme.low",
        "client_id": "key",
        "url": "https://erp.example/hook",
        "method": "POST",
        "request_headers": [["a", "b"]],
        "request_body": None,
        "batch": False,
        "status": 200,
        "response_headers": [],
        "response_body": b"ok",
        "duration_ms": 22,
        "started_ms": 1000,
        "insights": [],
    }
    detail = msgspec.msgpack.decode(msgspec.msgpack.encode(members), type=TraceDetail)
    assert (detail.timings, detail.form, detail.duration_ms) == (None, None, 22)


def test_timings_survive_being_stored() -> None:
    """Each phase, and those that there were not."""
    timings = Timings(21.5, 0.25, None, 3.0, 12.345, reused=False)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(timings), type=Timings) == timings
