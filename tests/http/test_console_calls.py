"""What a page offers to do, it tells as an API call too; what it says of an event's way, people can read."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest

from eventmill.ui.app import ConsoleApp
from tests.http.test_console_pages import ORG, Visitor, make_things, signed_in
from tests.http.world import BASE, WORKSPACE, running

pytestmark = pytest.mark.anyio

CALL = re.compile(r'<summary>([^<]*)</summary>\s*<div class="code-box"><pre[^>]*>(.*?)</pre>', re.DOTALL)


def calls_of(visitor: Visitor) -> dict[str, str]:
    """Method and path of each call of the page, by what it is for."""
    found: dict[str, str] = {}
    for label, block in CALL.findall(visitor.body):
        text = unescape(block)
        method = re.search(r"-X ([A-Z]+)", text)
        path = re.search(rf"{re.escape(BASE)}([^\s']*)", text)
        assert path is not None, text
        found[label.removesuffix(" as an API call")] = f"{method[1] if method else 'GET'} {path[1]}"
    return found


async def test_whatever_a_page_does_is_told_as_a_call(tmp_path: Path) -> None:
    """Each button of the pages that have several, by the words that it bears."""
    async with running(tmp_path, dev=True) as world:
        things, visitor = await make_things(world), Visitor(ConsoleApp(world.parts, world.app))
        one = f"{WORKSPACE}/registrations/{things['registration']}"
        kind = f"/events/providers/{things['provider']}/eventmetadata/{things['code']}"

        async def told(path: str) -> dict[str, str]:
            assert await visitor.get(f"{ORG}{path}") == 200
            return calls_of(visitor)

        details = await told(f"/registrations/{things['registration']}")
        assert details["Switch off"] == f"PATCH {one}"
        assert details["Retry webhook"] == f"POST {one}/challenge"
        journal = await told(f"/registrations/{things['registration']}/journal")
        assert journal["Delete a cursor"].startswith("DELETE ") and journal["Set a cursor"].startswith("PUT ")
        event_type = await told(f"/providers/{things['provider']}/events/{things['code']}")
        assert event_type["Send sample"] == f"POST {kind}/sample_event/{things['registration']}"
        assert event_type["Versions of the schema"] == f"GET {kind}/schemas"
        assert event_type["Publish"] == "POST /ingress" and event_type["Delete"].startswith("DELETE ")
        credential = await told("/projects/2001/workspaces/3001/credentials/4001")
        assert {"New secret", "Delete a secret", "Delete credential"} <= set(credential)
        users = await told("/operations/users")
        assert users["Set role"] == "PATCH /console/users/ann@example.com"
        emulator = await told("/emulator")
        assert emulator["Restore"] == "POST /_dev/restore" and emulator["Clear all"] == "DELETE /_dev/faults"
        assert emulator["Empty it"] == "DELETE /_dev/mailbox" and emulator["Reset"] == "POST /_dev/reset"


async def test_why_an_event_was_not_sent_is_told_in_words(tmp_path: Path) -> None:
    """With the time as everywhere on the page, and no code of the API."""
    async with running(tmp_path) as world:
        visitor, topic = await signed_in(world, "viewer"), await world.topic()
        registration = await world.register(topic)
        path = f"{WORKSPACE}/registrations/{registration['registration_id']}"
        off = [{"op": "replace", "path": "/enabled", "value": False}]
        assert (await world.call("PATCH", path, off)).status == 200
        assert await world.publish(topic, "missed") == 200
        (found,) = (await world.call("GET", "/events/1001/search?id=missed")).json()["events"]
        assert await visitor.get(f"{ORG}/events/{found['id']}") == 200
        assert re.search(r"disabled since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC \(it came while", visitor.body)
