"""How a subscriber is tested against a real gateway: what it does with events, duplicates, and a day of failures."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from eventmill.client import Client, Conflict, Trace
from eventmill.testing import Gateway, Hook, answering, is_success, response, status

numbers = count(1)


def stock_low(source: str, sku: str = "A1") -> dict[str, Any]:
    return {"id": f"order-{next(numbers)}", "source": source, "type": "com.acme.test", "data": {"sku": sku}}


def delivered(sku: str) -> Callable[[Trace], bool]:
    """What to wait for: an attempt that carried it, and that succeeded."""
    return lambda trace: is_success(trace) and f'"{sku}"' in trace["trace"]["tracingRequest"]["requestBody"]


def test_the_application_orders_what_runs_out(
    eventmill: Gateway, eventmill_client: Client, application_url: str, ordered: list[str]
) -> None:
    source = eventmill.topic(label="Ordering")
    registration = eventmill.subscribe(source, url=application_url)
    assert registration["webhook_status"] == "verified"

    eventmill_client.publish_event(stock_low(source))
    eventmill.wait_for_delivery(registration)

    assert ordered == ["A1"]


def test_a_duplicate_is_ordered_once(
    eventmill: Gateway, eventmill_client: Client, application_url: str, ordered: list[str]
) -> None:
    source = eventmill.topic(label="Duplicates")
    registration = eventmill.subscribe(source, url=application_url)
    eventmill.fault(registration, "duplicate")

    for sku in ("A1", "B2"):
        eventmill_client.publish_event(stock_low(source, sku))
        eventmill.wait_for_delivery(registration, delivered(sku))

    assert sorted(ordered) == ["A1", "B2"]


def test_a_receiver_that_fails_gets_its_events_later(
    eventmill: Gateway, eventmill_client: Client, eventmill_hook: Hook
) -> None:
    source = eventmill.topic(label="Failures")
    registration = eventmill.subscribe(source, url=eventmill_hook.url)
    eventmill_hook.behave(answering(response(b"busy", "503 Service Unavailable")))

    eventmill_client.publish_event(stock_low(source))
    eventmill.wait_for_delivery(registration, lambda trace: status(trace) == 503)
    before = eventmill.clock.now()
    eventmill.clock.advance("10m")

    assert eventmill.clock.now() - before >= timedelta(minutes=10)
    assert [request.header("x-adobe-retry-count") for request in eventmill_hook.requests] == [None, "1", "2", "3"]
    eventmill_hook.behave(answering(response()))
    eventmill.clock.advance("24h")
    eventmill.wait_for_delivery(registration)
    assert {event["data"]["sku"] for event in eventmill_hook.events} == {"A1"}


def test_an_event_is_in_the_journal(eventmill: Gateway, eventmill_client: Client) -> None:
    source = eventmill.topic(label="Journal")
    registration = eventmill.subscribe(source)

    eventmill_client.publish_event(stock_low(source, "C3"))
    entry = eventmill.wait_for_event(registration, lambda entry: entry["event"]["data"]["sku"] == "C3")

    assert entry["event"]["source"] == source


def test_code_that_reads_its_environment_finds_the_gateway(eventmill_env: dict[str, str]) -> None:
    assert os.environ["API_URL"] == eventmill_env["API_URL"]
    with Client.from_env() as client:
        client.create_provider({"label": "Only once"})
        with pytest.raises(Conflict) as conflict:
            client.create_provider({"label": "Only once"})
    assert conflict.value.conflicting_id
