"""What the demo says about an event, in whatever form it got it, and how rows look."""

from __future__ import annotations

import io
from typing import Any

import pytest

from eventmill.demo.screen import Screen
from eventmill.demo.wording import describe

CODE = "com.adobe.campaign.delivery-status"
CHANNELS = {CODE: "campaign/delivery-status"}
SAID: dict[str, Any] = {
    "header": {"eventType": CODE},
    "body": {"deliveryId": "dm-1", "recipientEmail": "kim@example.com", "status": "sent"},
}


@pytest.mark.parametrize("event", [{"event_id": "1", "event": SAID}, SAID, {"specversion": "1.0", "data": SAID}])
def test_every_form_of_a_built_in_event(event: dict[str, Any]) -> None:
    """Enveloped from a webhook, bare from a journal, or as a CloudEvent: the same words."""
    assert describe(event, CHANNELS) == ("campaign/delivery-status", "dm-1 sent, kim@example.com")


def test_a_custom_event() -> None:
    """Its type, and its data as it is."""
    event = {"specversion": "1.0", "type": "com.acme.stock.low", "data": {"sku": "A1", "left": 2}}

    assert describe(event, CHANNELS) == ("com.acme.stock.low", '{"sku":"A1","left":2}')


@pytest.mark.parametrize("data", [None, "text", [1], {"header": 1, "body": 2}])
def test_data_of_any_kind(data: Any) -> None:
    """Data may be any JSON value; whoever plays with the demo will find out."""
    assert describe({"specversion": "1.0", "type": "x.y", "data": data}, CHANNELS)[0] == "x.y"


@pytest.mark.parametrize("body", [{}, {"deliveryId": "dm-1"}])
def test_a_built_in_event_without_the_usual_members(body: dict[str, Any]) -> None:
    """Every member is optional by the schema of the channel."""
    channel, _ = describe({"event": {"header": {"eventType": CODE}, "body": body}}, CHANNELS)

    assert channel == "campaign/delivery-status"


def shown(*, colour: bool) -> str:
    stream = io.StringIO()
    screen = Screen(stream, colour=colour)
    screen.act("Headline", "Why it matters.")
    screen.row("name", "detail", "verified")
    screen.row("n" * 80, "d" * 80, "refused")
    screen.row("only a name", "")
    return stream.getvalue()


def test_rows_are_aligned_and_fit() -> None:
    """Verdicts stand below each other, nothing is wider than 100 columns, nothing ends in blanks."""
    lines = shown(colour=False).splitlines()

    assert lines[4].index("verified") == lines[5].index("refused")
    assert all(len(line) <= 100 and line == line.rstrip() for line in lines)


def test_colours_change_nothing_else() -> None:
    """Without them the text is the same, and has no escape sequence."""
    import click

    assert "\x1b" not in shown(colour=False)
    assert "\x1b" in shown(colour=True)
    assert [line.rstrip() for line in click.unstyle(shown(colour=True)).splitlines()] == shown(
        colour=False
    ).splitlines()
