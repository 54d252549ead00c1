"""Nodes on one database: what one has answered all obey, whatever any of them does to the others' work."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlencode

import pytest

from eventmill.cli.environment import mint_admin_token
from eventmill.config import Config
from tests.e2e.gateway import Gateway, call
from tests.e2e.harness.cluster import Cluster, running_cluster
from tests.e2e.harness.database import DatabaseServer
from tests.e2e.harness.hook import Hook
from tests.e2e.harness.http_client import Answer, Client
from tests.e2e.harness.process import delivery_pids, frozen, run_eventmill
from tests.e2e.harness.production import OPEN_LOOPBACK, tenants, write_bootstrap
from tests.e2e.harness.tenant import Tenant, Topic, event_bytes
from tests.waiting import eventually

pytestmark = pytest.mark.anyio

PASSWORD = "correct horse battery"
LEASE_S = 6.0
WAYS = ["term", "kill", "stop"] if os.environ.get("EVENTMILL_E2E") == "full" else ["term", "stop"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two nodes that front and deliver."""
    with running_cluster(tmp_path_factory.mktemp("cluster"), 2) as (started, _server):
        yield started


@pytest.fixture(scope="module")
def server() -> Iterator[DatabaseServer]:
    """A database for nodes that a test starts itself."""
    with DatabaseServer.new() as made:
        made.start()
        yield made


@pytest.fixture
async def database(server: DatabaseServer) -> str:
    """Nobody's yet."""
    for statement in ("DROP DATABASE IF EXISTS gateway WITH (FORCE)", "CREATE DATABASE gateway"):
        await server.execute(statement, "postgres")
    return server.dsn


@asynccontextmanager
async def on_each(cluster: Cluster) -> AsyncIterator[list[Tenant]]:
    """The same client at every node, with a token that the first one issued."""
    token = (await asyncio.to_thread(cluster.env, 0))["access_token"]
    async with AsyncExitStack() as stack:
        views = []
        for number, node in enumerate(cluster.nodes):
            client = await stack.enter_async_context(Client(node.port))
            env = {**await asyncio.to_thread(cluster.env, number), "access_token": token}
            views.append(Tenant(client, env))
        yield views


async def publish(tenant: Tenant, topic: Topic, event_id: str) -> int:
    return (await tenant.post_event(event_bytes(topic, event_id, b"{}"))).status


async def test_what_one_node_answered_all_obey(cluster: Cluster) -> None:
    """A registration made on one node gets the next event that is published on the other, both show the same journal,
    and one deleted on the other gets nothing more, wherever it is published."""
    async with on_each(cluster) as (one, two):
        for turn in range(5):
            here, there = (one, two) if turn % 2 == 0 else (two, one)
            topic = await here.topic(f"com.acme.turn{turn}")
            assert await publish(there, topic, "before") == 204
            registration = await here.register(topic)
            assert [await publish(node, topic, f"of-{at}") for at, node in enumerate((there, here))] == [200, 200]
            assert await here.journal_ids(registration) == ["of-0", "of-1"]
            path = registration.link("rel:events").partition(here.env["journal_url"])[2]
            page = await there.call("GET", path)
            assert [entry["event"]["id"] for entry in page.json()["events"]] == ["of-0", "of-1"]
            gone = await there.call("DELETE", f"{there.workspace}/registrations/{registration.id}")
            assert gone.status == 204
            assert await publish(here, topic, "after") == 204


async def test_a_disabled_webhook_is_called_by_no_node(cluster: Cluster) -> None:
    """Disabling on one node is obeyed by the publish that follows on the other; so is enabling."""
    async with Hook() as hook, on_each(cluster) as (one, two):
        topic = await one.topic("com.acme.disabled")
        registration = await one.register(topic, url=f"{hook.url}/hook")
        await two.publish(topic, "first")
        await hook.until_posts(1)
        await one.update(registration, enabled=False)
        await two.publish(topic, "passed")
        await one.update(registration, enabled=True)
        await two.publish(topic, "last")
        posts = await hook.until_posts(2)
        assert [_id(post.body) for post in posts] == ["first", "last"]


async def test_tokens_and_their_keys_are_everybodys(cluster: Cluster, tmp_path: Path) -> None:
    """Tokens of one node open the other, those of a key that was made just now too; withdrawn ones open none."""
    async with on_each(cluster) as (one, two):
        path = f"{one.workspace}/registrations"
        assert (await two.call("GET", path)).status == 200
        node = cluster.nodes[1]
        where = ("--data", str(node.data), "--port", str(node.port), "--store", node.flags[1])
        rotated = await asyncio.to_thread(
            lambda: run_eventmill(
                "keys", "rotate", "--revoke-earlier", "--yes", *where, directory=tmp_path, variables=node.variables
            )
        )
        assert rotated.code == 0, rotated.message
        assert [(await each.call("GET", path)).status for each in (one, two)] == [401, 401]
        fresh = (await asyncio.to_thread(cluster.env, 1))["access_token"]
        for each in (one, two):
            each.headers["authorization"] = f"Bearer {fresh}"
            assert (await each.call("GET", path)).status == 200
        client = {name: one.env[name] for name in ("client_id", "client_secret")}
        form = urlencode({"token": fresh, "token_type": "access_token", **client}).encode()
        headers = {"content-type": "application/x-www-form-urlencoded"}
        answer = await one.client.call("POST", "/ims/invalidate_token/v2", headers, form)
        assert answer.status == 200, answer
        assert [(await each.call("GET", path)).status for each in (one, two)] == [401, 401]


async def test_sessions_of_the_console_are_everybodys(cluster: Cluster) -> None:
    """Who signed in on one node is signed in on the other; who signed out there is out here."""
    node = cluster.nodes[0]
    config = Config(store=node.flags[1], seal_key=node.variables["EVENTMILL_SEAL_KEY"])
    token = await asyncio.to_thread(mint_admin_token, config)
    operator = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    user = {"name": "pat", "role": "admin", "password": PASSWORD}
    made = await asyncio.to_thread(call, "POST", f"{node.url}/console/users", operator, user)
    assert made.status == 201, made
    async with Client(cluster.nodes[0].port) as one, Client(cluster.nodes[1].port) as two:
        page = await one.call("GET", "/ui/sign-in")
        fields = {"name": "pat", "password": PASSWORD, "csrf": _csrf(page)}
        signed_in = await _post(one, "/ui/sign-in", fields, _cookies(page))
        given = dict(pair.split("=", 1) for pair in _cookies(signed_in).split("; "))
        (session,) = [value for name, value in given.items() if "session" in name]
        cookie = "; ".join(f"eventmill_session_{each.port}={session}" for each in cluster.nodes)
        pages = [await each.call("GET", "/ui/password", {"cookie": cookie}) for each in (one, two)]
        assert [page.status for page in pages] == [200, 200]
        await _post(two, "/ui/sign-out", {"csrf": _csrf(pages[1])}, cookie)
        statuses = [(await each.call("GET", "/ui/password", {"cookie": cookie})).status for each in (one, two)]
        assert statuses == [401, 401]


async def test_commands_find_their_way_by_the_database(cluster: Cluster, tmp_path: Path) -> None:
    """`env` and the commands of the operator work with --store or EVENTMILL_STORE, and say what is amiss without."""
    node = cluster.nodes[0]
    where = {**node.variables, "EVENTMILL_STORE": node.flags[1], "EVENTMILL_PORT": str(node.port)}

    def run(*words: str, **others: str) -> tuple[int, str]:
        done = run_eventmill(*words, directory=tmp_path, variables={**where, **others})
        return done.code, done.output + done.message

    code, text = await asyncio.to_thread(run, "env", "--json")
    assert code == 0, text
    assert json.loads(text)["client_secret"] == "p8e-secret-of-the-first"
    for words in (("org", "list"), ("workspace", "list", "--org", "1001"), ("user", "list"), ("keys", "list")):
        code, text = await asyncio.to_thread(run, *words)
        assert (code, bool(text)) == (0, True), text
    code, text = await asyncio.to_thread(run, "env", EVENTMILL_SEAL_KEY="")
    assert code == 2 and "EVENTMILL_SEAL_KEY" in text and "--data" in text
    code, text = await asyncio.to_thread(run, "env", EVENTMILL_STORE=node.flags[1].removesuffix("gateway") + "postgres")
    assert code == 2 and "no gateway has its data in database postgres" in text, text


@pytest.mark.slow
async def test_first_starts_at_the_same_time(database: str, tmp_path: Path) -> None:
    """Two nodes that start in one empty directory, on an empty database, with the same bootstrap file, agree on the
    sealing key and make everything once. A third that has another key is refused, and leaves none behind."""
    bootstrap = write_bootstrap(tmp_path)
    flags = ("--store", database, "--bootstrap", str(bootstrap), "--roles", "front")
    data = tmp_path / "shared"
    nodes = [Gateway(data, flags), Gateway(data, flags)]
    try:
        await asyncio.gather(*(asyncio.to_thread(node.start) for node in nodes))
        env = await asyncio.to_thread(nodes[1].env, "--store", database)
        assert (
            env["client_secret"]
            == tenants()["organizations"][0]["projects"][0]["workspaces"][0]["credentials"][0]["client_secret"]
        )
        keys = await asyncio.to_thread(lambda: {call("GET", f"{node.url}/ims/keys").body for node in nodes})
        assert len(keys) == 1
        stranger = ("serve", "--store", database, "--port", "0", "--data", str(tmp_path / "elsewhere"))
        refused = await asyncio.to_thread(lambda: run_eventmill(*stranger, directory=tmp_path))
        assert refused.code == 2 and "there is no sealing key" in refused.message, refused.message
        assert not (tmp_path / "elsewhere" / "seal.key").exists()
        other = {"EVENTMILL_SEAL_KEY": "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE="}
        refused = await asyncio.to_thread(lambda: run_eventmill(*stranger, directory=tmp_path, variables=other))
        assert refused.code == 2 and "sealed with another key than that of EVENTMILL_SEAL_KEY" in refused.message
    finally:
        for node in nodes:
            node.close()


@pytest.mark.slow
async def test_roles(database: str, tmp_path: Path) -> None:
    """A front alone delivers nothing, and takes everything; a node that delivers alone does that, says how it is, and
    replaces a delivery process that was killed."""
    bootstrap = write_bootstrap(tmp_path)
    flags = ("--store", database, "--bootstrap", str(bootstrap))
    data = tmp_path / "data"
    front = Gateway(data, (*flags, "--roles", "front"), OPEN_LOOPBACK)
    delivering = Gateway(data, ("--store", database, "--roles", "deliver"), OPEN_LOOPBACK)
    try:
        await asyncio.to_thread(front.start)
        env = await asyncio.to_thread(front.env, "--store", database)
        async with Hook() as hook, Client(front.port) as client, Client(delivering.port) as aside:
            tenant = Tenant(client, env)
            topic = await tenant.topic()
            await tenant.register(topic, url=f"{hook.url}/hook")
            await tenant.publish(topic, "early")
            assert delivery_pids(front) == []
            await asyncio.to_thread(delivering.start)
            await hook.until_posts(1)
            assert await eventually(lambda: _delivered(aside), "the delivery process told what it did") == 1
            answers = [(await aside.call("GET", path)).status for path in ("/healthz", "/readyz", "/events", "/ui/")]
            assert answers == [200, 200, 404, 404]
            os.kill(delivery_pids(delivering)[-1], signal.SIGKILL)
            await tenant.publish(topic, "late")
            await hook.until_posts(2)
            assert await asyncio.to_thread(delivering.stop) == 0
    finally:
        for node in (front, delivering):
            node.close()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.slow
async def test_slots_of_a_node_that_goes(database: str, tmp_path: Path, way: str) -> None:
    """What a node had to deliver the other takes over: at once when it ends in order, within the lease time when it is
    killed or hangs; and one that wakes up again sends nothing that was sent meanwhile."""
    cluster = Cluster(tmp_path, [database] * 2, variables={"EVENTMILL_LEASE_TTL_S": str(_LEASES_S[way])})
    try:
        await asyncio.to_thread(cluster.start_all)
        async with Hook() as hook, on_each(cluster) as (one, _two):
            topic = await one.topic()
            for number in range(16):
                await one.register(topic, url=f"{hook.url}/{number}")
            await one.publish(topic, "before")
            await hook.until_posts(16)
            await asyncio.to_thread(_WAYS[way], cluster)
            await one.publish(topic, "after")
            await hook.until(lambda: _reached(hook, "after") == 16)
            if way == "stop":
                sent = _times(hook, "after")
                cluster.resume(1)
                await one.publish(topic, "later")
                await hook.until(lambda: _reached(hook, "later") == 16)
                assert _times(hook, "after") == sent
    finally:
        cluster.close()


@pytest.mark.slow
async def test_a_hanging_delivery_process_keeps_nothing(database: str, tmp_path: Path) -> None:
    """Of two delivery processes of one node one stands still: the other sends what is published meanwhile."""
    flags = ("--delivery-processes", "2")
    cluster = Cluster(tmp_path, [database], flags, {"EVENTMILL_LEASE_TTL_S": str(LEASE_S)})
    try:
        await asyncio.to_thread(cluster.start_all)
        async with Hook() as hook, on_each(cluster) as (tenant,):
            topic = await tenant.topic()
            for number in range(16):
                await tenant.register(topic, url=f"{hook.url}/{number}")
            await tenant.publish(topic, "before")
            await hook.until_posts(16)
            with frozen(delivery_pids(cluster.nodes[0])[0]):
                await tenant.publish(topic, "after")
                await hook.until(lambda: _reached(hook, "after") == 16)
    finally:
        cluster.close()


_LEASES_S = {"term": 300.0, "kill": LEASE_S, "stop": LEASE_S}
"""A node that waited for the other's leases to end would come too late."""
_WAYS: dict[str, Callable[[Cluster], object]] = {
    "term": lambda cluster: cluster.stop(1),
    "kill": lambda cluster: cluster.kill(1),
    "stop": lambda cluster: cluster.pause(1),
}


def _reached(hook: Hook, event_id: str) -> int:
    """How many webhooks got it."""
    return len({post.path for post in hook.posts if _id(post.body) == event_id})


def _times(hook: Hook, event_id: str) -> int:
    return sum(_id(post.body) == event_id for post in hook.posts)


def _id(body: bytes) -> str:
    return str(json.loads(body)["id"])


async def _delivered(client: Client) -> float:
    text = (await client.call("GET", "/metrics")).body.decode()
    (value,) = re.findall(r'^eventmill_delivery_attempts_total\{outcome="succeeded"\} (\S+)$', text, re.MULTILINE)
    return float(value)


def _csrf(page: Answer) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page.body.decode())
    assert found, page
    return found[1]


def _cookies(answer: Answer) -> str:
    return "; ".join(value.split(";")[0] for name, value in answer.fields if name == "set-cookie")


async def _post(client: Client, path: str, fields: dict[str, str], cookie: str) -> Answer:
    headers = {"content-type": "application/x-www-form-urlencoded", "cookie": cookie}
    answer = await client.call("POST", path, headers, urlencode(fields).encode())
    assert answer.status == 303, answer
    return answer
