"""Who is mailed about failing webhooks: recipients of an organization, projects that are paused, both in a bootstrap
file."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from eventmill.errors import StartupError
from tests.http.console import ask
from tests.http.world import TENANTS, running

pytestmark = pytest.mark.anyio

ORGS = "/console/organizations"
ORG, PROJECT = f"{ORGS}/1001", f"{ORGS}/1001/projects/2001"
A, B = "a@acme.example", "b@acme.example"


def tenants(recipients: Any = (A,), pause: Any = True) -> dict[str, Any]:
    wanted = copy.deepcopy(TENANTS)
    wanted["organizations"][0]["notice_recipients"] = list(recipients)
    wanted["organizations"][0]["projects"][0]["pause_notices"] = pause
    return wanted


async def test_recipients_of_an_organization(tmp_path: Path) -> None:
    """Given at creation or later, each once; what a change leaves out stays."""
    async with running(tmp_path) as world:
        made = (await ask(world, "POST", ORGS, {"name": "New", "notice_recipients": [A, B, A]})).json()
        assert made["notice_recipients"] == [A, B]
        path = f"{ORGS}/{made['id']}"
        assert (await ask(world, "PATCH", path, {"name": "Newer"})).json()["notice_recipients"] == [A, B]
        assert (await ask(world, "PATCH", path, {"notice_recipients": [B]})).json()["name"] == "Newer"
        assert (await ask(world, "GET", path)).json()["notice_recipients"] == [B]
        assert (await ask(world, "PATCH", path, {"notice_recipients": []})).json()["notice_recipients"] == []


@pytest.mark.parametrize(
    ("recipients", "message"),
    [
        (["Ops <ops@acme.example>"], "notice_recipients[0]: must be a mail address like ops@example.com"),
        ([A, "b@acme.example\r\nBcc: c@acme.example"], "notice_recipients[1]: "),
        ([f"{number}@acme.example" for number in range(21)], "notice_recipients: "),
        (["a@" + "b." * 130 + "example"], "notice_recipients[0]: "),
        (A, "notice_recipients: "),
    ],
)
async def test_refused_recipients(tmp_path: Path, recipients: Any, message: str) -> None:
    """Only plain addresses, and not too many."""
    async with running(tmp_path) as world:
        answer = await ask(world, "PATCH", ORG, {"notice_recipients": recipients})
        assert (answer.status, answer.json()["reason"]) == (400, "invalid_body")
        assert answer.json()["message"].startswith(message)
        assert (await ask(world, "GET", ORG)).json()["notice_recipients"] == []


async def test_recipients_are_the_operators(tmp_path: Path) -> None:
    """An organization's own token reads them, and does not have mails sent to anybody."""
    async with running(tmp_path) as world:
        answer = await world.call("PATCH", ORG, {"notice_recipients": [A]})
        assert (answer.status, answer.json()["reason"]) == (403, "not_permitted")
        assert (await world.call("GET", ORG)).json()["notice_recipients"] == []


async def test_a_project_is_paused_by_its_organization(tmp_path: Path) -> None:
    """Its own token does; what a change leaves out stays; a foreign one does not; a workspace has no such member."""
    async with running(tmp_path) as world:
        paused = (await world.call("PATCH", PROJECT, {"pause_notices": True})).json()
        assert (paused["pause_notices"], paused["name"]) == (True, "Shop")
        assert (await world.call("PATCH", PROJECT, {"title": "The shop"})).json()["pause_notices"] is True
        assert (await world.call("PATCH", PROJECT, {"pause_notices": False})).json()["pause_notices"] is False
        assert (await world.call("PATCH", PROJECT, {"pause_notices": "yes"})).status == 400
        foreign = await world.call("PATCH", PROJECT, {"pause_notices": True}, headers=world.foreign_auth())
        assert foreign.status == 403
        workspace = await world.call("GET", f"{PROJECT}/workspaces/3001")
        assert "pause_notices" not in workspace.json()


async def test_bootstrap(tmp_path: Path) -> None:
    """The file sets both at the first start; what was changed since stays, and is no contradiction."""
    async with running(tmp_path, tenants=tenants()) as world:
        assert (await ask(world, "GET", ORG)).json()["notice_recipients"] == [A]
        assert (await ask(world, "GET", PROJECT)).json()["pause_notices"] is True
        await ask(world, "PATCH", ORG, {"notice_recipients": [B]})
        await ask(world, "PATCH", PROJECT, {"pause_notices": False})
    async with running(tmp_path, tenants=tenants()) as world:
        assert (await ask(world, "GET", ORG)).json()["notice_recipients"] == [B]
        assert (await ask(world, "GET", PROJECT)).json()["pause_notices"] is False


async def test_an_unusable_bootstrap(tmp_path: Path) -> None:
    """An address that is none stops the start."""
    with pytest.raises(StartupError, match=r"notice_recipients\[0\]"):
        async with running(tmp_path, tenants=tenants(recipients=["everybody"])):
            pass
