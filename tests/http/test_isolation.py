"""No organisation reaches another: every route that is served is walked with a foreign organisation's token.

The routes come from the application's own router, so that a new one is walked as soon as it is served, and fails here
until its parameters have values below. Strict mode throughout.
"""

from __future__ import annotations

import base64
import inspect
import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, NamedTuple

import pytest

from eventmill.store import base
from eventmill.web.routes import Route, build_router
from tests.http.client import Answer
from tests.http.world import BASE, CLIENT, FOREIGN_CLIENT, FOREIGN_IMS_ORG, IMS_ORG, World, registration_form, running

pytestmark = pytest.mark.anyio


class Served(NamedTuple):
    method: str
    pattern: str
    route: Route

    @property
    def name(self) -> tuple[str, str]:
        return self.method, self.pattern


def served_routes() -> list[Served]:
    """Everything in the router of an application in dev mode: those are the most there are."""
    return list(_walk(build_router(dev_mode=True)._root, []))


def _walk(node: Any, segments: list[str]) -> Iterator[Served]:
    for method, route in node.methods.items():
        names = iter(node.names)
        pattern = "".join("/" + (f"{{{next(names)}}}" if each == "{}" else each) for each in segments)
        yield Served(method, pattern, route)
    for literal, child in node.literals.items():
        yield from _walk(child, [*segments, literal])
    if node.parameter is not None:
        yield from _walk(node.parameter, [*segments, "{}"])


OPEN = {
    ("GET", "/"): "says what this is",
    ("GET", "/healthz"): "for load balancers",
    ("GET", "/readyz"): "for load balancers",
    ("GET", "/metrics"): "for Prometheus; asks for a token of its own where one is set, and names registrations only",
    ("GET", "/openapi.json"): "describes the API; the same for everybody",
    ("GET", "/asyncapi/catalog.json"): "describes the built-in events; the same for everybody",
    ("GET", "/asyncapi/catalog.yaml"): "describes the built-in events; the same for everybody",
    ("GET", "/csm/registrations/validate"): "asks for the secret of the link, which only the webhook was told",
    ("GET", "/prod/client-certificate.pem"): "public halves, for webhooks that are to trust it",
    ("GET", "/prod/keys/{file}"): "public halves of the delivery keys, for whoever verifies a delivery",
    ("GET", "/containers/{namespace}/data/{key}"): "the same public keys, as a key cache",
    ("PUT", "/containers/{namespace}/data/{key}"): "stores nothing: takes only what is there already",
    ("GET", "/ims/keys"): "public halves of the token keys, for whoever verifies a token",
    ("GET", "/.well-known/jwks.json"): "public halves of the token keys, for whoever verifies a token",
    ("POST", "/ims/token/v1"): "asks for the client secret itself, and a code or refresh token",
    ("POST", "/ims/token/v2"): "asks for the client secret itself",
    ("POST", "/ims/token/v3"): "asks for the client secret itself",
    ("POST", "/ims/exchange/jwt"): "asks for the client secret itself, and an assertion",
    ("POST", "/ims/validate_token/v1"): "says only whether the token sent is good",
    ("POST", "/ims/invalidate_token/v2"): "asks for the client secret itself, and the token",
    ("GET", "/ims/organizations/v6"): "asks for the token itself, and for no api key (test_ims_tokens)",
    ("GET", "/ims/profile/v1"): "asks for the token itself, and for no api key (test_ims_tokens)",
    ("GET", "/_dev/clock"): "dev mode only, from this machine only",
    ("POST", "/_dev/clock"): "dev mode only, from this machine only",
    ("GET", "/_dev/mailbox"): "dev mode only, from this machine only",
    ("GET", "/_dev/mailbox/{mail}"): "dev mode only, from this machine only",
    ("DELETE", "/_dev/mailbox"): "dev mode only, from this machine only",
    ("GET", "/_dev/faults"): "dev mode only, from this machine only",
    ("POST", "/_dev/faults"): "dev mode only, from this machine only",
    ("DELETE", "/_dev/faults"): "dev mode only, from this machine only",
    ("GET", "/_dev/snapshot"): "dev mode only, from this machine only",
    ("POST", "/_dev/restore"): "dev mode only, from this machine only",
    ("POST", "/_dev/reset"): "dev mode only, from this machine only",
}
"""Routes that ask for no token before their handler runs, each with the reason why that is right."""

WITHOUT_ORGANIZATION = {
    ("GET", "/events/providermetadata"): "the families, the same for everybody",
    ("GET", "/console/organizations"): "those that the token may see",
    ("GET", "/console/services/ims/terms"): "a fixed text",
    ("GET", "/console/users"): "those that may see the organization of the token, and no other",
}
"""Routes that name nothing of an organisation; what they answer must not either."""

SAYS_WHOSE = ("/providers/{provider}",)
"""Providers are the one thing whose foreign id is 403, not 404, below one's own organisation: the Provider API tells
"not the owner" from "not found", as it does where the path has no organisation at all."""

CREDENTIAL_TYPE = "oauth_server_to_server"


async def make_things(world: World, own: str, project: str, workspace: str, credential: str) -> dict[str, str]:
    """A value for every path parameter, all of them existing and one organisation's."""
    client_id = CLIENT if own == "1001" else FOREIGN_CLIENT
    headers = world.auth() if own == "1001" else world.foreign_auth()
    at = f"/events/{own}/{project}/{workspace}"
    provider = (await world.call("POST", f"{at}/providers", {"label": "Warehouse"}, headers=headers)).json()
    sample = base64.b64encode(b'{"stock": 1}').decode()
    code = {"event_code": f"com.acme.of{own}", "label": "Low", "description": "Low", "sample_event_template": sample}
    made = await world.call("POST", f"{at}/providers/{provider['id']}/eventmetadata", code, headers=headers)
    assert made.status == 201, made.body
    form = registration_form({"provider_id": provider["id"], "event_code": code["event_code"]}, client_id=client_id)
    form["subscriber_filters"] = [{"name": "Everything", "subscriber_filter": '{"type":[{"exists":true}]}'}]
    made = await world.call("POST", f"{at}/registrations", form, headers=headers)
    assert made.status == 201, made.body
    path = f"/console/organizations/{own}/credentials/{credential}/secrets"
    secrets = (await world.call("GET", path, headers=headers)).body
    return {
        "org": own,
        "project": project,
        "workspace": workspace,
        "credential": credential,
        "provider": provider["id"],
        "code": code["event_code"],
        "registration": made.json()["registration_id"],
        "filter": made.json()["subscriber_filters"][0]["id"],
        "secret": _first_uuid(json.loads(secrets)),
        "type": CREDENTIAL_TYPE,
        "binding": "none-is-kept",
        "cursor": await _put_cursor(world, made.json()["_links"]["rel:events"]["href"], headers),
        "replay": await _start_replay(world, f"{at}/registrations/{made.json()['registration_id']}", headers),
        "attempt": "none-was-made",
        "event": await _publish_unheard(world, provider["id"], f"order-of-{own}", headers),
        "client": client_id,
        "user": "nobody",
        "sdk": "AdobeAnalyticsSDK",
    }


async def _start_replay(world: World, registration: str, headers: Mapping[str, str]) -> str:
    """Of nothing: it stays running, because nobody works it off."""
    started = await world.call("POST", f"{registration}/replays", {}, headers=headers)
    assert started.status == 201, started.body
    return str(started.json()["id"])


async def _publish_unheard(world: World, provider_id: str, id: str, headers: Mapping[str, str]) -> str:
    """An event that nobody gets: remembered under this id, and stored nowhere."""
    event = {"specversion": "1.0", "id": id, "source": f"urn:uuid:{provider_id}", "type": "unheard-of"}
    sent = await world.call("POST", "/", event, headers={**headers, "content-type": "application/cloudevents+json"})
    assert sent.status == 204, sent.body
    return id


async def _put_cursor(world: World, journal: str, headers: Mapping[str, str]) -> str:
    path = journal.removeprefix(BASE)
    start = re.search("since=([^&>]*)>; rel=.next", str((await world.call("GET", path, headers=headers)).headers))
    assert start is not None
    put = await world.call("PUT", f"{path}/cursors/reader-{len(path)}", {"position": start[1]}, headers=headers)
    assert put.status == 201, put.body
    return str(put.json()["name"])


def _first_uuid(secrets: Any) -> str:
    """Of the only secret, wherever the body has it."""
    if isinstance(secrets, list):
        return _first_uuid(secrets[0])
    return str(secrets["uuid"] if "uuid" in secrets else _first_uuid(secrets["client_secrets"]))


class Two(NamedTuple):
    world: World
    first: dict[str, str]
    foreign: dict[str, str]


@pytest.fixture(scope="module")
async def two(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Two]:
    """Two organisations with one of everything each; no test takes anything away."""
    async with running(tmp_path_factory.mktemp("isolation")) as world:
        first = await make_things(world, "1001", "2001", "3001", "4001")
        yield Two(world, first, await make_things(world, "1002", "2009", "3009", "4009"))


def body_for(served: Served, values: Mapping[str, str]) -> tuple[Any, dict[str, str]]:
    """A body that is sound for as many routes as possible, and its media type."""
    if served.method == "PATCH" and served.pattern.startswith("/events"):
        return [{"op": "replace", "path": "/description", "value": "Stolen"}], {
            "content-type": "application/json-patch+json"
        }
    topic = {"provider_id": values["provider"], "event_code": values["code"]}
    form = registration_form(topic, label="Stolen", title="Stolen", client_id=FOREIGN_CLIENT)
    return (None if served.method == "GET" else form), {"content-type": "application/json"}


async def visit(world: World, served: Served, values: Mapping[str, str]) -> Answer:
    """With the foreign organisation's token."""
    body, headers = body_for(served, values)
    target = served.pattern.format(**values)
    return await world.call(served.method, target, body, headers={**world.foreign_auth(), **headers})


# --- The table ---


def test_every_route_is_known() -> None:
    """Open routes are those listed with their reasons; nothing is listed that is not served any more."""
    served = served_routes()
    found_open = {each.name for each in served if each.route.handler is None}

    assert found_open <= set(OPEN), f"give the reason why these need no token: {found_open - set(OPEN)}"
    assert set(OPEN) - found_open <= {("GET", "/openapi.json")}
    assert set(WITHOUT_ORGANIZATION) <= {each.name for each in served}


async def test_every_parameter_has_a_value(two: Two) -> None:
    """A route with a parameter that the walk does not know must be given one."""
    for served in served_routes():
        if served.route.handler is not None:
            try:
                served.pattern.format(**two.first)
            except KeyError as error:
                pytest.fail(f"{served.name}: give the parameter {error} a value in make_things")


async def test_own_things_are_reached(two: Two) -> None:
    """The walk proves something: with the right token the very same paths are permitted, and find everything."""
    missed = []
    for served in served_routes():
        if served.method == "GET" and served.route.handler is not None:
            answer = await visit(two.world, served, two.foreign)
            if answer.status in (401, 403, 404):
                missed.append((served.pattern, answer.body))

    assert missed == []


# --- The walks ---


async def test_foreign_token_opens_no_route(two: Two) -> None:
    """403 or 404 on every route of another organisation, and none of the calls changes anything."""
    world = two.world
    epoch = await world.epoch()
    for served in served_routes():
        if served.route.handler is None or served.name in WITHOUT_ORGANIZATION:
            continue
        answer = await visit(world, served, two.first)
        assert answer.status in (403, 404), (served.name, answer.status, answer.body)
        assert answer.json()["reason"] in ("wrong_organization", "not_found", "not_permitted"), served.name
        check_tells_nothing(answer, two, served)
    assert await world.epoch() == epoch


async def test_foreign_token_publishes_nothing(two: Two) -> None:
    """The ingress stands beside the router: for another organisation's provider it is closed, too."""
    world = two.world
    source, type = f"urn:uuid:{two.first['provider']}", two.first["code"]
    event = {"specversion": "1.0", "id": "1", "source": source, "type": type, "data": 1}
    headers = {**world.foreign_auth(), "content-type": "application/cloudevents+json"}
    for path in ("/", "/ingress", "/ingress/"):
        answer = await world.call("POST", path, event, headers=headers)
        assert (answer.status, answer.json()["reason"]) == (403, "wrong_organization")
    organization = world.parts.catalogue.organizations()[0]
    assert world.store.stored_bytes(organization.id) == 0


async def test_what_belongs_to_nobody_tells_of_nobody(two: Two) -> None:
    """Routes without an organisation answer, with nothing of another one in it."""
    for served in served_routes():
        if served.name in WITHOUT_ORGANIZATION:
            answer = await visit(two.world, served, two.first)
            assert answer.status == 200, (served.name, answer.body)
            assert IMS_ORG not in answer.body.decode() and "Acme" not in answer.body.decode(), served.name


async def test_foreign_ids_among_ones_own(two: Two) -> None:
    """Each id of the path in turn replaced by the other organisation's: the answer is that for an id nobody has."""
    world = two.world
    epoch = await world.epoch()
    for served in served_routes():
        if served.route.handler is None:
            continue
        for name in (
            "project",
            "workspace",
            "credential",
            "provider",
            "code",
            "registration",
            "replay",
            "event",
            "filter",
            "secret",
        ):
            if f"{{{name}}}" not in served.pattern:
                continue
            theirs = await visit(world, served, {**two.foreign, name: two.first[name]})
            nobodys = await visit(world, served, {**two.foreign, name: "nobodys-id"})
            if name == "provider" and any(each in served.pattern for each in SAYS_WHOSE):
                assert theirs.status == 403, (served.name, theirs.body)
                continue
            assert theirs.status == 404, (served.name, name, theirs.status, theirs.body)
            assert neutral(theirs, two.first[name]) == neutral(nobodys, "nobodys-id"), (served.name, name)
    assert await world.epoch() == epoch


def neutral(answer: Answer, id: str) -> tuple[int, str]:
    """Status and message without the id that was asked for."""
    return answer.status, answer.json()["message"].replace(id, "")


def check_tells_nothing(answer: Answer, two: Two, served: Served) -> None:
    """Only what the path said already."""
    text = answer.body.decode()
    for name, value in two.first.items():
        if f"{{{name}}}" not in served.pattern and name not in ("type", "binding"):
            assert value not in text, (served.name, name, text)
    assert IMS_ORG not in text and "Warehouse" not in text and CLIENT not in text, (served.name, text)


async def test_every_route_needs_a_token(two: Two) -> None:
    """Without one each is 401, whatever else is wrong with the request; with any scope but the right one 403."""
    world = two.world
    weak = {"authorization": f"Bearer {world.token(scope='openid,AdobeID')}", "x-api-key": CLIENT}
    for served in served_routes():
        if served.route.handler is None:
            continue
        names = dict.fromkeys(two.first, "x")
        answer = await world.call(served.method, served.pattern.format(**names), b"{", headers={})
        assert (answer.status, answer.json()["reason"]) == (401, "missing_token"), served.name
        answer = await world.call(served.method, served.pattern.format(**two.first), b"{", headers=weak)
        assert (answer.status, answer.json()["reason"]) == (403, "missing_scope"), served.name


async def test_api_keys_of_the_official_cli(two: Two) -> None:
    """They open the Console API only, for the organisation of the token only."""
    world = two.world
    for key in ("aio-cli-console-auth", "aio-cli-console-auth-stage"):
        token = world.token(FOREIGN_IMS_ORG, key, user_id="ann@acme.example")
        headers = {"authorization": f"Bearer {token}", "x-api-key": key, "content-type": "application/json"}
        for served in served_routes():
            if served.route.handler is None or served.method != "GET":
                continue
            target = served.pattern.format(**two.first)
            answer = await world.call("GET", target, headers=headers)
            expected = {403, 404} if served.name not in WITHOUT_ORGANIZATION else {200, 403}
            assert answer.status in expected, served.name
            if not served.route.console:
                assert answer.json()["reason"] == "unknown_api_key", served.name
        own = await world.call("GET", "/console/organizations/1002/projects", headers=headers)
        assert own.status == 200


# --- The store ---

SYSTEM = {
    "scan": "start, and processes that follow all organisations",
    "epoch": "the number of the last change; says nothing about whom",
    "changes": "processes that follow all organisations",
    "allocate": "a counter of the installation",
    "refusal": "whether the disk takes events",
    "expire": "retention, over everything",
    "drop_phi_audit": "retention, over everything",
    "clock_offset_ms": "dev mode's clock",
    "clock_jumped_ms": "dev mode's clock",
    "set_clock": "dev mode's clock",
    "reset": "dev mode's fresh start",
    "open": "the life of the store itself",
    "close": "the life of the store itself",
    "nodes": "operations: the processes that share the store",
    "leases": "delivery: which lanes are this process's",
    "lanes": "delivery: the lanes of this process",
    "heads": "delivery: the last position of every shard",
    "outlines": "undelivered and replays: events of positions that a lane holds",
    "scan_page": "processes that follow all organisations",
    "lanes_with_failures": "health: lanes to look at after a start",
    "alone": "the life of the store itself",
    "read_log": "delivery: every event of a shard, to find work",
    "fetch": "delivery: events of positions that it holds",
    "commit": "delivery: progress under a lease",
    "note_unmatched": "publishing: notes about events, each under the organization that it was matched for",
    "drop_observed": "retention, over everything",
    "backlog": "metrics: of every organization, but shown under registration ids only",
    "totals": "metrics: sums over everything",
    "clock_ahead_ms": "how far this machine's clock is off",
    "clock_doubt": "whether this machine's clock is to be relied upon",
    "presidency": "which process does what is done once for all",
    "counted": "health: lanes whose counters grew",
    "replay_tally": "how the events of a replay fared, by its random id; handlers found the replay in its organization",
    "on_append": "a hint without content",
    "on_change": "a hint without content",
    "on_documents": "a hint without content",
    "take_hints": "delivery: heads of shards",
    "head": "the last position of a shard",
    "seek": "a position of a shard at a time",
}
"""Methods that no organisation's key guards, each with what it is for. None of them is called with what a caller said,
except those about a shard, which hold positions only."""
LANE_IS_THE_KEY = "lane"
"""A lane is one registration: handlers take it from a registration that they found under its organisation."""


def test_store_methods_take_the_organization() -> None:
    """Every method of the store names the organisation, or what belongs to exactly one, or is listed above."""
    unguarded = set()
    for method, function in inspect.getmembers(base.Store, inspect.isfunction):
        guards = {"org", "ops", "events", LANE_IS_THE_KEY} & set(inspect.signature(function).parameters)
        if not method.startswith("_") and not guards:
            unguarded.add(method)

    assert unguarded == set(SYSTEM)


# --- What bodies name ---


async def test_bodies_reach_no_further_than_paths(two: Two) -> None:
    """A registration for somebody else's client or event is refused in the words for one that nobody has."""
    world, path = two.world, "/events/1002/2009/3009/registrations"
    own = {"provider_id": two.foreign["provider"], "event_code": two.foreign["code"]}
    theirs = {"provider_id": two.first["provider"], "event_code": two.first["code"]}
    epoch = await world.epoch()
    for name, nobodys, forms in (
        (CLIENT, "nobodys-client", [registration_form(own, client_id=each) for each in (CLIENT, "nobodys-client")]),
        (
            two.first["provider"],
            "nobodys-id",
            [
                registration_form(topic, client_id=FOREIGN_CLIENT)
                for topic in (theirs, {**theirs, "provider_id": "nobodys-id"})
            ],
        ),
    ):
        answers = [await world.call("POST", path, form, headers=world.foreign_auth()) for form in forms]
        assert 400 <= answers[0].status < 500
        assert neutral(answers[0], name) == neutral(answers[1], nobodys)
    assert await world.epoch() == epoch


async def test_registrations_keep_their_client(two: Two) -> None:
    """Replacing a registration does not hand it to somebody else's client, whose secret would sign its deliveries."""
    world = two.world
    path = f"/events/1002/2009/3009/registrations/{two.foreign['registration']}"
    topic = {"provider_id": two.foreign["provider"], "event_code": two.foreign["code"]}
    answer = await world.call("PUT", path, registration_form(topic, client_id=CLIENT), headers=world.foreign_auth())

    assert (answer.status, answer.json()["client_id"]) == (200, FOREIGN_CLIENT)
