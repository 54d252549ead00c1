"""Headers of deliveries and probes: names, values and content types as documented; nothing forgeable in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventmill.core.delivery_headers import Headers, challenge_headers, delivery_headers, header_value
from eventmill.model import DeliveryFormat, OrgId, Origin

IDS = [f"0199a3c0-0000-7000-8000-{number:012}" for number in range(20)]


def origin(
    code: str = "com.acme.stock.low",
    provider: str = "3rd_party_custom_events_ORG@AdobeOrg_IDP01",
    delivery_format: DeliveryFormat = "cloud_events_v1",
) -> Origin:
    return Origin(OrgId("1001"), "provider-id", code, provider, "Warehouse", delivery_format, "client")


def headers_of(*events: tuple[str, Origin], batch: bool = False, retry_count: int = 0) -> Headers:
    return delivery_headers(events, batch=batch, retry_count=retry_count, delivery_id="d1", request_id="r1")


def test_single_cloudevent() -> None:
    """The whole list, in order, of a first attempt; no retry count."""
    assert headers_of((IDS[0], origin())) == [
        ("content-type", "application/cloudevents+json; charset=UTF-8"),
        ("accept-encoding", "deflate,compress,identity"),
        ("user-agent", "Adobe/1.0"),
        ("x-adobe-delivery-id", "d1"),
        ("x-adobe-event-code", "com.acme.stock.low"),
        ("x-adobe-event-id", IDS[0]),
        ("x-adobe-provider", "3rd_party_custom_events_ORG@AdobeOrg_IDP01"),
        ("x-request-id", "r1"),
    ]


def test_retry_count_is_that_of_the_retries_so_far() -> None:
    """Absent at first, then 1, 2, ..."""
    assert "x-adobe-retry-count" not in dict(headers_of((IDS[0], origin())))
    assert dict(headers_of((IDS[0], origin()), retry_count=1))["x-adobe-retry-count"] == "1"
    assert dict(headers_of((IDS[0], origin()), retry_count=99))["x-adobe-retry-count"] == "99"


@pytest.mark.parametrize(
    ("delivery_format", "batch"), [("adobe_io", False), ("cloud_events_v1", True), ("adobe_io", True)]
)
def test_everything_but_a_single_cloudevent_is_plain_json(delivery_format: DeliveryFormat, batch: bool) -> None:
    """Arrays (of one, too) and the legacy envelope."""
    headers = dict(headers_of((IDS[0], origin(delivery_format=delivery_format)), batch=batch))
    assert headers["content-type"] == "application/json; charset=utf-8"


def test_batch_joins_distinct_values_in_body_order() -> None:
    """Codes and providers appear once each, ids all, in the order of the array."""
    headers = dict(
        headers_of((IDS[2], origin("b", "p2")), (IDS[0], origin("a", "p1")), (IDS[1], origin("b", "p1")), batch=True)
    )
    assert headers["x-adobe-event-code"] == "b,a"
    assert headers["x-adobe-provider"] == "p2,p1"
    assert headers["x-adobe-event-id"] == f"{IDS[2]},{IDS[0]},{IDS[1]}"


def test_batch_of_one_has_the_event_headers_of_a_single_delivery() -> None:
    """Only the content type differs."""
    single, batch = headers_of((IDS[0], origin())), headers_of((IDS[0], origin()), batch=True)
    assert single[1:] == batch[1:]


def test_challenge_headers() -> None:
    """Exactly those of the documented probe, without a body's content type."""
    assert challenge_headers("0b7e", 1772359201123, "c2ln") == [
        ("accept-encoding", "deflate,compress,identity"),
        ("user-agent", "Adobe/1.0"),
        ("x-adobe-event-code", "challenge"),
        ("x-adobe-event-id", "0b7e-probe-1772359201123"),
        ("x-adobe-provider", "adobe-io"),
        ("x-adobe-signature", "c2ln"),
    ]


def test_line_breaks_and_other_scripts_are_percent_encoded() -> None:
    """A publisher's event code cannot add a header; text in any script survives."""
    headers = dict(headers_of((IDS[0], origin("a\r\nx-forged: 1", "käse"))))
    assert headers["x-adobe-event-code"] == "a%0D%0Ax-forged: 1"
    assert headers["x-adobe-provider"] == "k%C3%A4se"


@given(st.text())
def test_every_text_becomes_printable_ascii(text: str) -> None:
    """Whatever goes in, the value is legal; what was legal is unchanged."""
    value = header_value(text)
    assert value.isascii()
    assert value.isprintable()
    if text.isascii() and text.isprintable():
        assert value == text
