"""Bad input on every route that writes: a 4xx that says what and where, never a 5xx, and nothing is stored."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.http.world import WORKSPACE, World, registration_form, running

pytestmark = pytest.mark.anyio

WRITES = (
    ("POST", "providers"),
    ("PUT", "providers/{provider}"),
    ("PATCH", "providers/{provider}"),
    ("POST", "providers/{provider}/eventmetadata"),
    ("PUT", "providers/{provider}/eventmetadata/{code}"),
    ("PATCH", "providers/{provider}/eventmetadata/{code}"),
    ("POST", "registrations"),
    ("PUT", "registrations/{registration}"),
    ("PATCH", "registrations/{registration}"),
    ("POST", "isv/registrations/validate"),
)
CONTROL = ("\u0000", "\u0001", "\n", "\r", "\u001b", "\u007f", "\u0085")

NO_DECENT_JSON = (
    (b"", "the body is empty; a JSON document is expected"),
    (b" \n", "the body is empty; a JSON document is expected"),
    (b"{", "the body is not JSON"),
    (b"\xef\xbb\xbf{}", "the body is not JSON"),
    (b'{"label":"a"}{}', "the body is not JSON"),
    (b"{'label':'a'}", "the body is not JSON"),
    (b'{"label":"a\nb"}', "the body is not JSON"),
    (b'[{"label":"\xff"}]', "the body is not UTF-8 (byte 11)"),
    (b'[{"label":"\xed\xa0\x80"}]', "the body is not UTF-8 (byte 11)"),
    ('{"label":"a"}'.encode("utf-16"), "the body is not UTF-8 (byte 0)"),
    (b'[{"op":"a","op":"b"}]', "member 'op' appears twice in one object"),
    (b'{"x":[{"a":1,"\\u0061":2}]}', "member 'a' appears twice in one object"),
    (b'{"\\u0000":1,"\\u0000":2}', "member '\\x00' appears twice in one object"),
    (b"[" * 500_000, "the body is nested deeper than 64 levels"),
    (b'{"x":' * 150_000, "the body is nested deeper than 64 levels"),
    (b"[" * 500_000 + b"]" * 500_000, "the body is nested deeper than 64 levels"),
    (b"[NaN]", "NaN is not JSON"),
    (b"[-Infinity]", "-Infinity is not JSON"),
    (b"[" + b"9" * 5000 + b"]", "the body holds a number with too many digits"),
    (b'[{"x":"\\udc00\\ud800"}]', "[0].x: holds the character U+DC00 at offset 0"),
    (b'{"x\\ud800":1}', "the body: holds the character U+D800 at offset 1"),
)


class Gateway:
    """One of each kind of thing, and the paths to them."""

    def __init__(self, world: World, topic: dict[str, Any], registration: dict[str, Any]) -> None:
        self.world = world
        self.topic = topic
        self.names = {
            "provider": topic["provider_id"],
            "code": topic["event_code"],
            "registration": registration["registration_id"],
        }

    def path(self, pattern: str) -> str:
        return f"{WORKSPACE}/" + pattern.format(**self.names)

    async def refuse(
        self, method: str, pattern: str, body: Any, media_type: str = "application/json"
    ) -> dict[str, Any]:
        """The refusal of a request: a 4xx as JSON that changed nothing and called nobody."""
        epoch = await self.world.epoch()
        headers = {**self.world.auth(), "content-type": media_type}
        answer = await self.world.call(method, self.path(pattern), body, headers=headers)
        assert 400 <= answer.status < 500, (method, pattern, answer.status)
        assert answer.header("content-type") == "application/json"
        assert await self.world.epoch() == epoch
        assert self.world.hooks.asked == []
        refusal: dict[str, Any] = answer.json()
        assert answer.body.isascii()
        return {"status": answer.status, **refusal}


@pytest.fixture(scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    async with running(tmp_path_factory.mktemp("bad")) as world:
        topic = await world.topic()
        registration = await world.register(topic, name="Before")
        world.hooks.asked.clear()
        yield Gateway(world, topic, registration)


@pytest.mark.parametrize(("method", "pattern"), WRITES)
@pytest.mark.parametrize(("body", "message"), NO_DECENT_JSON, ids=range(len(NO_DECENT_JSON)))
async def test_bytes_that_are_no_decent_json(
    gateway: Gateway, method: str, pattern: str, body: bytes, message: str
) -> None:
    """400 that says what and where: names that repeat, bytes that are no UTF-8, half a megabyte of `[`."""
    if method == "PATCH" and len(body) > gateway.world.parts.config.patch_bytes_max:
        message = "the request body is larger than"

    refusal = await gateway.refuse(method, pattern, body)

    assert refusal["message"].startswith(message)


@pytest.mark.parametrize(("method", "pattern"), WRITES)
@pytest.mark.parametrize("body", [None, True, 0, 1.5, "text", [None], [[]], [1], {"x": 1}, [{}]])
async def test_json_of_another_shape(gateway: Gateway, method: str, pattern: str, body: Any) -> None:
    """400 for every document that is not what the route takes."""
    refusal = await gateway.refuse(method, pattern, json.dumps(body).encode())

    assert refusal["status"] == 400


@pytest.mark.parametrize(("method", "pattern"), WRITES)
@pytest.mark.parametrize(
    "media_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "application/jsonx",
        "json",
        "\u0001",
    ],
)
async def test_bodies_that_say_they_are_no_json(gateway: Gateway, method: str, pattern: str, media_type: str) -> None:
    """415 that names the type, before the body is read."""
    refusal = await gateway.refuse(method, pattern, b"{}", media_type)

    assert (refusal["status"], refusal["reason"]) == (415, "unsupported_media_type")
    assert ascii(media_type.partition(";")[0]) in refusal["message"]


@pytest.mark.parametrize(
    "media_type", ["", "application/json", "Application/JSON;charset=UTF-8", "application/hal+json"]
)
async def test_json_types_are_taken(tmp_path: Path, media_type: str) -> None:
    """Any type that is JSON, and none at all: clients leave it out, or say it on requests without a body."""
    async with running(tmp_path) as world:
        headers = {**world.auth(), **({"content-type": media_type} if media_type else {})}
        created = await world.call("POST", f"{WORKSPACE}/providers", {"label": "One"}, headers=headers)
        listed = await world.call("GET", "/events/1001/providers", headers=headers)
        deleted = await world.call("DELETE", f"{WORKSPACE}/providers/{created.json()['id']}", headers=headers)

        assert (created.status, listed.status, deleted.status) == (201, 200, 204)


@pytest.mark.parametrize("character", CONTROL)
async def test_control_characters_in_any_text(gateway: Gateway, character: str) -> None:
    """Refused by the member's name in every name, URL, code and id; nowhere stored, nowhere sent on."""
    text = f"abc{character}def"
    code = {"event_code": "com.acme.new", "label": "New", "description": "New"}
    hook = registration_form(gateway.topic, name="New")
    for pattern, form, members in (
        ("providers", {"label": "New"}, ("label", "docs_url", "instance_id", "provider_metadata")),
        ("providers/{provider}/eventmetadata", code, ("event_code", "label", "sample_event_template")),
        ("registrations", hook, ("name", "client_id", "webhook_url", "runtime_action", "delivery_type")),
        ("registrations", hook, ("destination_metadata.aws_region", "destination_metadata.aws_account_id")),
        ("registrations", hook, ("events_of_interest[0].provider_id", "events_of_interest[0].event_code")),
    ):
        for member in members:
            refusal = await gateway.refuse("POST", pattern, form | _with(member, text))

            assert refusal["status"] in (400, 404), member
            assert member.partition(".provider_id")[0].partition(".event_code")[0] in refusal["message"]


def _with(member: str, text: str) -> dict[str, Any]:
    name, _, inner = member.partition(".")
    if name == "events_of_interest[0]":
        return {"events_of_interest": [{"provider_id": "p", "event_code": "c", inner: text}]}
    return {name: {inner: text}} if inner else {name: text}


@pytest.mark.parametrize(
    "text", ["Zeile\u2028zwei", "ab\u00a0c", "\u0661\u0662\u0663", "\u017ftock", "\u212aelvin", "abc\n"]
)
async def test_letters_and_blanks_are_ascii(gateway: Gateway, text: str) -> None:
    """What other engines do not take for a letter, digit or blank is refused here too, a last line break as well."""
    for pattern, form, member in (
        ("providers", {"label": "New"}, "label"),
        ("providers", {"label": "New"}, "instance_id"),
        ("providers/{provider}/eventmetadata", {"label": "New", "description": "New"}, "event_code"),
        ("registrations", registration_form(gateway.topic, name="New"), "client_id"),
    ):
        refusal = await gateway.refuse("POST", pattern, form | {member: text})

        assert refusal["status"] == 400
        assert refusal["message"].startswith(f"{member}: may only hold letters, digits")


@pytest.mark.parametrize("character", ["\u0000", "\n", "\u001b", "\u0085", "/", "..", "%", "\u2028", "💥", "\udcff"])
@pytest.mark.parametrize(("method", "pattern"), [*WRITES, ("DELETE", "providers/{provider}")])
async def test_odd_paths(gateway: Gateway, method: str, pattern: str, character: str) -> None:
    """Whatever stands for an id is an unknown id: 404, shown in printable ASCII."""
    odd = quote(character.encode("utf-8", "surrogateescape"), safe="")
    for name in ("1001", "2001", "3001", *gateway.names.values()):
        path = gateway.path(pattern)
        if f"/{name}" not in path:
            continue
        epoch = await gateway.world.epoch()
        answer = await gateway.world.call(method, path.replace(f"/{name}", f"/{odd}{name}", 1), {})

        assert answer.status in (403, 404)
        assert answer.body.isascii()
        assert await gateway.world.epoch() == epoch


@pytest.mark.parametrize("header", ["authorization", "x-api-key", "x-ims-org-id", "x-gw-ims-org-id"])
@pytest.mark.parametrize("value", ["\u0001", "é" * 50, "x" * 60_000, "Bearer \u007f", ""])
async def test_odd_headers(gateway: Gateway, header: str, value: str) -> None:
    """401 or 403, or the header counts as missing."""
    headers = {**gateway.world.auth(), header: value}
    answer = await gateway.world.call("POST", f"{WORKSPACE}/providers", b"", headers=headers)

    assert answer.status in (400, 401, 403)
    assert answer.body.isascii()
    assert len(answer.body) < 1000


async def test_over_long_members(gateway: Gateway) -> None:
    """Refused with the limit and the length."""
    for pattern, form, member, longest in (
        ("providers", {"label": "New"}, "label", 255),
        ("providers", {"label": "New"}, "description", 255),
        ("providers", {"label": "New"}, "docs_url", 255),
        ("providers", {"label": "New"}, "provider_metadata", 255),
        ("providers", {"label": "New"}, "instance_id", 255),
        ("providers/{provider}/eventmetadata", {"label": "N", "description": "N"}, "event_code", 255),
        ("registrations", registration_form(gateway.topic), "name", 255),
        ("registrations", registration_form(gateway.topic), "description", 5000),
        ("registrations", registration_form(gateway.topic), "client_id", 128),
        ("registrations", registration_form(gateway.topic), "webhook_url", 4000),
        ("registrations", registration_form(gateway.topic), "runtime_action", 255),
    ):
        refusal = await gateway.refuse("POST", pattern, form | {member: "x" * 100_000})

        assert refusal["message"].startswith(f"{member}: must have ")
        assert refusal["message"].endswith(f"to {longest} characters, but has 100000")
