"""The console in process: who is let in, what a viewer and a foreigner get, forms of other sites, headers."""

from __future__ import annotations

import base64
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from eventmill.errors import GatewayError
from eventmill.ui.app import POLICY, ConsoleApp
from eventmill.ui.page import Page
from eventmill.ui.routes import PAGES, path_of
from tests.http.world import CLIENT, World, running

pytestmark = pytest.mark.anyio

PASSWORD = "correct horse battery"
ORG = "/ui/orgs/1001"
COMPUTING = ("/filter/check", "/filter/try")
"""How paths end whose form changes nothing, so that viewers may send it."""


class Visitor:
    """A browser, as far as the console sees it: keeps cookies, sends the forms of the pages it was shown."""

    def __init__(self, app: ConsoleApp) -> None:
        self._app = app
        self.cookies: dict[str, str] = {}
        self.csrf = ""
        self.headers: dict[str, str] = {}
        self.body = ""

    async def send(self, method: str, target: str, form: Any = None, **headers: str) -> int:
        path, _, query = target.partition("?")
        payload = b"" if form is None else urlencode(form).encode()
        sent = {
            "accept": "text/html",
            "cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items()),
        }
        sent.update({name.replace("_", "-"): value for name, value in headers.items()})
        if form is not None:
            sent.setdefault("content-type", "application/x-www-form-urlencoded")
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(k.encode(), v.encode()) for k, v in sent.items()],
            "client": ("127.0.0.1", 5000),
        }
        messages: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": payload, "more_body": False}

        async def keep(message: Any) -> None:
            messages.append(message)

        await self._app(scope, receive, keep)
        for name, value in messages[0]["headers"]:
            if name == b"set-cookie":
                key, _, rest = value.decode().partition("=")
                self.cookies[key] = rest.partition(";")[0]
        self.headers = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
        self.body = b"".join(message.get("body", b"") for message in messages[1:]).decode()
        found = re.search('name="csrf" value="([0-9a-f]+)"', self.body)
        self.csrf = found[1] if found else self.csrf
        return int(messages[0]["status"])

    async def get(self, target: str) -> int:
        return await self.send("GET", target)

    async def post(self, target: str, **form: str) -> int:
        return await self.send("POST", target, {"csrf": self.csrf, **form})


async def signed_in(world: World, role: str, *, org: str = "", app: ConsoleApp | None = None) -> Visitor:
    name = f"{role}{org}"
    form = {"name": name, "password": PASSWORD, "role": role, "organizations": [org] if org else []}
    made = await world.call("POST", "/console/users", form, headers=operator(world))
    assert made.status == 201, made.body
    visitor = Visitor(app or ConsoleApp(world.parts, world.app))
    assert await visitor.get("/ui/sign-in") == 200
    assert await visitor.post("/ui/sign-in", name=name, password=PASSWORD, next=ORG) == 303
    return visitor


def operator(world: World) -> dict[str, str]:
    token = world.token("", "eventmill-admin", user_id="eventmill-admin", scope="eventmill_admin,adobeio_api")
    return {"authorization": f"Bearer {token}"}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path) as opened:
        yield opened


def gets() -> list[Page]:
    return [page for page in PAGES if page.method == "GET" and not page.is_open and "{org}" in path_of(page)]


def posts(*, dev_only: bool = False) -> list[Page]:
    return [
        page
        for page in PAGES
        if page.method == "POST" and not page.is_open and "{org}" in path_of(page) and page.dev_only == dev_only
    ]


def filled(page: Page, things: Mapping[str, str]) -> str:
    """Its path; a parameter that nobody made a thing for stands for nothing that exists."""
    return path_of(page).format_map(defaultdict(lambda: "x", things))


async def make_things(world: World) -> dict[str, str]:
    """Of the first organization, by the names that parameters have."""
    topic = await world.topic()
    registration = (await world.register(topic))["registration_id"]
    places = {"org": "1001", "project": "2001", "workspace": "3001", "credential": "4001"}
    things = {"provider": topic["provider_id"], "code": topic["event_code"], "registration": registration}
    assert await world.publish(topic, "made") == 200
    found = (await world.call("GET", "/events/1001/search?id=made")).json()["events"]
    return {**places, **things, "event": found[0]["id"]}


async def test_a_browser_comes_to_the_console(world: World) -> None:
    """`/` leads there when a page is wanted; programs get what they always got."""
    visitor = Visitor(ConsoleApp(world.parts, world.app))
    assert await visitor.send("GET", "/", accept="text/html,application/xhtml+xml") == 303
    assert visitor.headers["location"] == "/ui/"
    for accept in ("*/*", "application/json", "text/html,application/json"):
        assert await visitor.send("GET", "/", accept=accept) == 200
        assert '"eventmill"' in visitor.body


async def test_nobody_comes_in_without_signing_in(world: World) -> None:
    """Every page asks first, and leads back afterwards; what is no page says 401."""
    visitor = Visitor(ConsoleApp(world.parts, world.app))
    for page in gets():
        path = filled(page, {})
        assert await visitor.get(path) == 303, path
        assert visitor.headers["location"].startswith("/ui/sign-in?next=")
        assert await visitor.send("GET", path, accept="text/event-stream") == 401
    for page in posts():
        assert await visitor.post(filled(page, {})) == 401


async def test_a_viewer_changes_nothing(world: World) -> None:
    """Every form, sent by hand with a sound token of the session, is refused; nothing in the store moves."""
    things = await make_things(world)
    visitor = await signed_in(world, "viewer")
    assert await visitor.get(ORG) == 200
    epoch = await world.epoch()
    for page in posts():
        path = filled(page, things)
        status = await visitor.post(path, name="x", label="x", client_id=CLIENT, data="1", registration="x")
        assert status == 403 or path.endswith(COMPUTING), (path, status)
    assert await world.epoch() == epoch


async def test_a_viewer_moves_nothing_of_the_emulator(tmp_path: Path) -> None:
    """Nor does a developer of one organization, who does not even see it: clock, mails and reset are everybody's."""
    async with running(tmp_path, dev=True, auth="strict") as world:
        app = ConsoleApp(world.parts, world.app)
        viewer, developer = (
            await signed_in(world, "viewer", app=app),
            await signed_in(world, "developer", org="1001", app=app),
        )
        assert await viewer.get(f"{ORG}/emulator") == 200
        assert await developer.get(ORG) == 200
        assert await developer.get(f"{ORG}/emulator") == 404
        for page in posts(dev_only=True):
            path = filled(page, {"org": "1001"})
            assert await viewer.post(path, seconds="60", kind="drop", registration="x") == 403, path
            assert await developer.post(path, seconds="60", kind="drop", registration="x") == 404, path


async def test_everybody_changes_their_own_password(world: World) -> None:
    """Who knows the present one; the session goes on, others of the person end, and the new one is good."""
    visitor, other = await signed_in(world, "viewer"), Visitor(ConsoleApp(world.parts, world.app))
    await other.get("/ui/sign-in")
    assert await other.post("/ui/sign-in", name="viewer", password=PASSWORD, next=ORG) == 303
    assert await visitor.get("/ui/password") == 200
    assert await visitor.post("/ui/password", now="wrong one it is", new="another long one") == 403
    assert await visitor.post("/ui/password", now=PASSWORD, new="short") == 400
    assert await visitor.post("/ui/password", now=PASSWORD, new="another long one") == 303
    assert await visitor.get(ORG) == 200
    assert await other.get(ORG) == 303


async def test_users_are_changed_by_who_runs_the_gateway(world: World) -> None:
    """Added, given another role, deleted; an admin of one organization finds no such page."""
    app = ConsoleApp(world.parts, world.app)
    admin, of_one = await signed_in(world, "admin", app=app), await signed_in(world, "admin", org="1001", app=app)
    users = f"{ORG}/operations/users"
    assert await admin.get(users) == 200
    assert await admin.post(users, name="ann", password="short", role="viewer") == 400
    assert await admin.post(users, name="ann", password=PASSWORD, role="viewer", organization="1001") == 303
    assert await admin.post(f"{users}/ann", role="developer") == 303
    assert await admin.get(users) == 200 and "ann" in admin.body and PASSWORD not in admin.body
    assert await admin.post(f"{users}/ann/delete") == 303
    await of_one.get(ORG)
    assert await of_one.get(users) == 404
    assert await of_one.post(users, name="bob", password=PASSWORD, role="admin") == 404


async def test_settings_hide_secrets(tmp_path: Path) -> None:
    """Those of passwords and tokens, and what an address holds before its @."""
    secrets = {"metrics_token": "open-sesame", "egress_proxy": "http://ann:pa55word@proxy.example:3128"}
    async with running(tmp_path, **secrets) as world:
        visitor = await signed_in(world, "admin")
        for query in ("", "?all=1", "?q=token"):
            assert await visitor.get(f"{ORG}/operations/settings{query}") == 200
            assert "open-sesame" not in visitor.body and "pa55word" not in visitor.body
        assert await visitor.get(f"{ORG}/operations/settings?q=egress") == 200
        assert "proxy.example" in visitor.body
        viewer = await signed_in(world, "viewer")
        await viewer.get(ORG)
        assert await viewer.get(f"{ORG}/operations/settings") == 403


async def test_the_bridge_itself_refuses_a_viewer(world: World) -> None:
    """A page that forgot to say what it needs would change nothing either."""
    from eventmill.ui.act import Actions
    from eventmill.ui.person import Person

    actions, viewer = Actions(world.parts), Person("v", "viewer")
    org = world.parts.catalogue.organizations()[0].id
    epoch = await world.epoch()
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        outcome = await actions.call(viewer, org, method, "/console/organizations/1001/projects", {"name": "Mine"})
        assert (outcome.status, outcome.reason) == (403, "not_permitted")
    outcome = await actions.publish(viewer, org, CLIENT, {"id": "1", "source": "s", "type": "t", "specversion": "1.0"})
    assert (outcome.status, await world.epoch()) == (403, epoch)


async def test_a_foreign_organization_is_not_there(world: World) -> None:
    """Every page and form of it is 404, also for an admin of another one; its things are not below one's own either."""
    things = await make_things(world)
    visitor = await signed_in(world, "admin", org="1002")
    assert await visitor.get("/ui/orgs/1002") == 200
    assert "Acme" not in visitor.body
    for page in gets():
        assert await visitor.get(filled(page, things)) == 404, page.pattern
        assert "Warehouse" not in visitor.body and "Acme" not in visitor.body
    for page in posts():
        assert await visitor.post(filled(page, things)) == 404, page.pattern
    for page in gets():
        path = filled(page, {**things, "org": "1002"})
        if set(re.findall(r"{(\w+)}", page.pattern)):
            assert await visitor.get(path) == 404, path


async def test_forms_of_other_sites_are_refused(world: World) -> None:
    """Without the session's token, with another's, or when the browser says where the form came from."""
    visitor, other = await signed_in(world, "developer"), await signed_in(world, "admin")
    await visitor.get(f"{ORG}/projects/new")
    await other.get(ORG)
    assert visitor.csrf != other.csrf
    target = f"{ORG}/projects"
    assert await visitor.send("POST", target, {"name": "A"}) == 403
    assert await visitor.send("POST", target, {"name": "A", "csrf": other.csrf}) == 403
    sound = {"name": "A", "csrf": visitor.csrf}
    assert await visitor.send("POST", target, sound, sec_fetch_site="cross-site") == 403
    assert await visitor.send("POST", target, sound, content_type="text/plain") == 415
    assert await visitor.send("POST", target, sound, sec_fetch_site="same-origin") == 303


async def test_every_answer_is_guarded(world: World) -> None:
    """No inline script, no framing, no sniffing; secrets are not kept by any cache."""
    visitor = await signed_in(world, "developer")
    for target in (ORG, "/ui/sign-in", "/ui/nothing", "/ui/static/none.css"):
        await visitor.get(target)
        assert visitor.headers["content-security-policy"] == POLICY, target
        assert visitor.headers["x-content-type-options"] == "nosniff"
        assert visitor.headers["x-frame-options"] == "DENY"
        assert not re.search(r"<script>|<style|style=|onclick=|javascript:", visitor.body), target
    place = f"{ORG}/projects/2001/workspaces/3001/credentials"
    await visitor.get(f"{place}/new")
    assert await visitor.post(place, name="Robot") == 200
    assert visitor.headers["cache-control"] == "no-store"


async def test_static_files_are_asked_for_once(world: World) -> None:
    """Their names change with what is in them, so browsers may keep them for good."""
    visitor = Visitor(ConsoleApp(world.parts, world.app))
    await visitor.get("/ui/sign-in")
    for url in re.findall(r'"(/ui/static/[^"]+)"', visitor.body):
        assert await visitor.get(url) == 200
        assert "immutable" in visitor.headers["cache-control"]


async def test_a_changed_user_has_to_sign_in_again(world: World) -> None:
    """A new password ends the sessions of before; a deleted user's end as well."""
    visitor = await signed_in(world, "developer")
    assert await visitor.get(ORG) == 200
    changed = await world.call(
        "PATCH", "/console/users/developer", {"password": "another long one"}, headers=operator(world)
    )
    assert changed.status == 200
    assert await visitor.get(ORG) == 303
    second = await signed_in(world, "viewer")
    await world.call("DELETE", "/console/users/viewer", headers=operator(world))
    assert await second.get(ORG) == 303


async def test_sign_in_tells_nothing(world: World) -> None:
    """A wrong password and an unknown name look the same; names and passwords of any size do no harm."""
    await signed_in(world, "viewer")
    app = ConsoleApp(world.parts, world.app)
    answers = []
    for name, password in (("viewer", "wrong password"), ("nobody", PASSWORD), ("n" * 5000, "p" * 5000)):
        visitor = Visitor(app)
        await visitor.get("/ui/sign-in")
        assert await visitor.post("/ui/sign-in", name=name, password=password) == 401
        answers.append(re.sub(r'value="[^"]*"', "", visitor.body))
    assert answers[0] == answers[1] == answers[2]


async def test_a_stored_session_ends(tmp_path: Path) -> None:
    """After the longest time, whatever was done with it."""
    async with running(tmp_path, session_lifetime_s=0) as world:
        visitor = await signed_in(world, "viewer")
        assert await visitor.get(ORG) == 303


async def test_dev_mode_signs_in_by_itself(tmp_path: Path) -> None:
    """As an admin, whose forms need their token all the same."""
    async with running(tmp_path, dev=True) as world:
        visitor = Visitor(ConsoleApp(world.parts, world.app))
        assert await visitor.get(f"{ORG}/projects/new") == 200
        assert await visitor.send("POST", f"{ORG}/projects", {"name": "A"}) == 403
        assert await visitor.post(f"{ORG}/projects", name="A") == 303


async def test_a_schema_is_changed_all_the_same_when_told_so(world: World) -> None:
    """The form asks once the change was refused; the event type's page shows the versions, the provider's the rule."""
    visitor = await signed_in(world, "developer")
    provider = await world.provider(schema_enforcement="warn")
    sample = base64.b64encode(b'{"left":1}').decode()
    await world.metadata(provider, data_schema={}, sample_event_template=sample)
    page = f"{ORG}/providers/{provider['id']}"
    at = f"{page}/events/com.acme.low"
    stricter = {"label": "L", "description": "D", "sample": '{"left":1}', "schema": '{"required":["sku"]}'}

    assert await visitor.get(f"{at}/edit") == 200
    assert 'name="force"' not in visitor.body
    assert await visitor.post(f"{at}/edit", **stricter) == 409
    assert 'name="force"' in visitor.body
    assert await visitor.post(f"{at}/edit", **stricter, force="true") == 303

    assert await visitor.get(at) == 200
    assert "Version 2" in visitor.body and "View version 1" in visitor.body
    assert "</bdi>, in the console" in visitor.body
    assert await visitor.get(page) == 200
    assert "are taken, with a warning" in visitor.body


async def test_roles_of_users_are_the_operators(world: World) -> None:
    """A credential of an organization adds nobody, and sees those only that see the organization alone."""
    await signed_in(world, "viewer", org="1001")
    await signed_in(world, "admin")
    refused = await world.call("POST", "/console/users", {"name": "x", "password": PASSWORD, "role": "admin"})
    assert (refused.status, refused.json()["reason"]) == (403, "not_permitted")
    listed = (await world.call("GET", "/console/users")).json()
    assert [each["name"] for each in listed] == ["viewer1001"]
    assert PASSWORD not in str(listed) and "scrypt" not in str(listed)


def test_pages_have_what_pages_need() -> None:
    """A page that people see has a title; one that changes something says who may."""
    for page in PAGES:
        if page.method == "POST" and "{org}" in path_of(page) and not page.pattern.endswith(COMPUTING):
            assert page.role != "viewer", page.pattern
        if page.section and not page.pattern.endswith("/live"):
            assert page.title or page.method == "POST", page.pattern


def test_refusals_of_files_name_them() -> None:
    """Asked for under a name that is no file's."""
    from eventmill.ui.assets import Assets

    with pytest.raises(GatewayError, match="no file"):
        Assets().reply("../console.py")
