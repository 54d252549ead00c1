"""Who changed what: noted by every change of the API and the console, told to its organization, forgotten in time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from eventmill.flow.actions import KEPT_MS, KEPT_PER_ORG, action_id, note_action, read_actions
from eventmill.flow.sweeping import sweep
from eventmill.model import BUILTIN_ORG, Action, OrgId, Session
from eventmill.store.control import Create, Key
from tests.http.test_console_pages import PASSWORD, signed_in
from tests.http.world import CLIENT, World, running

pytestmark = pytest.mark.anyio
ORG = OrgId("1001")


async def next_ms(world: World) -> None:
    """The order of notes is that of their milliseconds."""
    clock = world.parts.clock
    now_ms = clock.machine_ms()
    while clock.machine_ms() == now_ms:
        await asyncio.sleep(0)


async def changes(world: World, query: str = "") -> Any:
    answer = await world.call("GET", f"/events/1001/changes{query}")
    assert answer.status == 200, answer.body
    return answer.json()


async def test_changes_are_told_newest_first(tmp_path: Path) -> None:
    """Who, when, what; refused and reading calls are not among them, and no body is."""
    async with running(tmp_path) as world:
        topic = await world.topic()
        await next_ms(world)
        registration = (await world.register(topic))["registration_id"]
        path = f"/events/1001/2001/3001/registrations/{registration}"
        await world.call("GET", path)
        await world.call("DELETE", "/events/1001/2001/3001/registrations/nobodys")
        await next_ms(world)
        assert (await world.call("DELETE", path)).status == 204
        listed = (await changes(world))["changes"]
        assert [(each["method"], each["path"], each["status"]) for each in listed][:2] == [
            ("DELETE", path, 204),
            ("POST", "/events/1001/2001/3001/registrations", 201),
        ]
        assert {each["who"] for each in listed} == {CLIENT}
        assert len(listed) == len({each["id"] for each in listed})


async def test_changes_are_paged(tmp_path: Path) -> None:
    """`next` goes on where a page ended; what is no number is refused."""
    async with running(tmp_path) as world:
        for label in ("Warehouse", "Order desk", "Returns desk"):
            await world.topic(label)
            await next_ms(world)
        whole = (await changes(world))["changes"]
        first = await changes(world, "?limit=2")
        rest = await changes(world, f"?after={first['next']}")
        assert (first["changes"] + rest["changes"], rest["next"]) == (whole, None)
        assert (await world.call("GET", "/events/1001/changes?limit=0")).status == 400


async def test_notes_and_sessions_go_in_time(tmp_path: Path) -> None:
    """The oldest of too many notes, those too old, and sessions that are over; nothing else."""
    async with running(tmp_path) as world:
        parts, store = world.parts, world.store
        now_ms = parts.clock.machine_ms()
        for age_ms in (0, KEPT_MS - 1000, KEPT_MS + 1000):
            await note_action(store, ORG, _action(world, now_ms - age_ms))
        for number in range(KEPT_PER_ORG + 3):
            await note_action(store, BUILTIN_ORG, _action(world, now_ms - number))
        idle_ms = parts.config.session_idle_s * 1000
        for name, seen_ms in (("here", now_ms - idle_ms + 1000), ("gone", now_ms - idle_ms)):
            session = Session(id=name, user="ann", role=None, orgs=(), started_ms=seen_ms, seen_ms=seen_ms)
            await store.write(
                [Create("session", BUILTIN_ORG, name, msgspec.json.encode(session), (Key("user", "ann"),))]
            )
        assert await sweep(store, parts.config, now_ms) == 5
        assert [each.at_ms for each in await read_actions(store, ORG)] == [now_ms, now_ms - KEPT_MS + 1000]
        kept = await read_actions(store, BUILTIN_ORG)
        assert [each.at_ms for each in kept] == [now_ms - number for number in range(KEPT_PER_ORG)]
        assert [each.id for each in await store.list_docs("session", BUILTIN_ORG)] == ["here"]


def _action(world: World, at_ms: int) -> Action:
    return Action(id=action_id(world.parts.ids, at_ms), at_ms=at_ms, who="w", method="POST", path="/p", status=200)


async def test_changes_of_users_are_the_gateways(tmp_path: Path) -> None:
    """Made, given another role, a password of their own, deleted: by name, in nobody's organization, in the order they
    were made; a refused one is not among them.
    """
    async with running(tmp_path) as world:
        admin, path = await signed_in(world, "admin"), "/ui/orgs/1001/operations/users"
        await admin.get(path)
        for target, form in (
            (path, {"name": "ann@acme.example", "password": PASSWORD, "role": "viewer"}),
            (path, {"name": "ann@acme.example", "password": PASSWORD, "role": "viewer"}),
            (f"{path}/ann%40acme.example", {"role": "developer"}),
            (f"{path}/ann%40acme.example/delete", {}),
            ("/ui/password", {"now": PASSWORD, "new": "another long one"}),
        ):
            await next_ms(world)
            await admin.post(target, **form)
        noted = [(each.who, each.method, each.path) for each in await read_actions(world.store, BUILTIN_ORG)]
        person, users = "console:admin", "/console/users"
        assert noted == [
            (person, "PATCH", f"{users}/admin"),
            (person, "DELETE", f"{users}/ann%40acme.example"),
            (person, "PATCH", f"{users}/ann%40acme.example"),
            (person, "POST", f"{users}/ann%40acme.example"),
            ("eventmill-admin", "POST", f"{users}/admin"),
        ]
        assert all("users" not in each.path for each in await read_actions(world.store, ORG))
