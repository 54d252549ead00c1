"""The check of an app's event registrations before it is packed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.http.world import WORKSPACE, World, running

pytestmark = pytest.mark.anyio

VALIDATE = f"{WORKSPACE}/isv/registrations/validate"
INTEREST = {"provider_metadata": "3rd_party_custom_events", "event_codes": ["com.acme.low"]}


def app_registration(**members: Any) -> dict[str, Any]:
    form = {
        "name": "Stock to ERP",
        "description": "Moves",
        "events_of_interest": [INTEREST],
        "runtime_action": "warehouse/on-low",
        "delivery_type": "webhook",
        **members,
    }
    return {name: value for name, value in form.items() if value is not ...}


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """No test changes it."""
    async with running(tmp_path_factory.mktemp("isv")) as each:
        await each.topic()
        yield each


async def test_valid_registrations(world: World) -> None:
    """200 with JSON, nothing stored; an app without registrations is valid too."""
    epoch = await world.epoch()
    answer = await world.call("POST", VALIDATE, [app_registration(), app_registration(name="Other", description=...)])
    empty = await world.call("POST", VALIDATE, [])

    assert (answer.status, answer.json()) == (200, {"valid": True, "registrations": ["Stock to ERP", "Other"]})
    assert (empty.status, empty.json()) == (200, {"valid": True, "registrations": []})
    assert await world.epoch() == epoch


@pytest.mark.parametrize(
    ("body", "reason", "message"),
    [
        ({}, "invalid_body", "the body must be a JSON array of registrations"),
        (["x"], "invalid_body", "[0]: expected object, got str"),
        ([app_registration(name=...)], "invalid_body", "[0].name: required, but missing"),
        ([app_registration(), app_registration(name="ab")], "invalid_body", "[1].name: must have 3 to 255 characters"),
        (
            [app_registration(), app_registration()],
            "invalid_body",
            "[1].name: 'Stock to ERP' is the name of [0] already",
        ),
        (
            [app_registration(runtime_action="on-low")],
            "invalid_body",
            "[0].runtime_action: must be <package>/<action>, but is 'on-low'",
        ),
        (
            [app_registration(events_of_interest=[])],
            "invalid_body",
            "[0].events_of_interest: must have at least 1 elements, but has 0",
        ),
        (
            [app_registration(events_of_interest=[{**INTEREST, "event_codes": ["a", 5]}])],
            "invalid_body",
            "[0].events_of_interest[0].event_codes[1]: expected str, got int",
        ),
        (
            [app_registration(events_of_interest=[INTEREST, {**INTEREST, "provider_metadata": "none"}])],
            "unknown_event_of_interest",
            "[0].events_of_interest[1].provider_metadata: 'none' does not exist",
        ),
        (
            [app_registration(events_of_interest=[{**INTEREST, "event_codes": ["com.acme.low", "none"]}])],
            "unknown_event_of_interest",
            "[0].events_of_interest[0].event_codes[1]: no provider of provider metadata 3rd_party_custom_events has",
        ),
        (
            [app_registration(events_of_interest=[{**INTEREST, "provider_metadata": "acs"}])],
            "unknown_event_of_interest",
            "[0].events_of_interest[0].event_codes[0]: no provider of provider metadata acs has the event code",
        ),
    ],
)
async def test_the_first_wrong_one_is_named(world: World, body: Any, reason: str, message: str) -> None:
    """400 as JSON, with index and member."""
    answer = await world.call("POST", VALIDATE, body)

    assert (answer.status, answer.header("content-type")) == (400, "application/json")
    assert answer.json()["reason"] == reason
    assert answer.json()["message"].startswith(message)


async def test_unknown_workspaces_and_other_organizations(world: World) -> None:
    """404 and 403 as everywhere below a workspace."""
    unknown = await world.call("POST", "/events/1001/2001/9/isv/registrations/validate", [])
    foreign = await world.call("POST", VALIDATE, [], headers=world.foreign_auth())

    assert (unknown.status, foreign.status) == (404, 403)
