"""GET /openapi.json, and the check that holds every answer of these tests against it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.http.described import deviations
from tests.http.world import BASE, running

pytestmark = pytest.mark.anyio


async def test_served_to_everybody(tmp_path: Path) -> None:
    """Without a token, to pages of any origin, once per version; without dev mode's own paths."""
    async with running(tmp_path) as world:
        answer = await world.call("GET", "/openapi.json", headers={})
        document = answer.json()

        assert (answer.status, answer.header("content-type")) == (200, "application/json")
        assert answer.header("access-control-allow-origin") == "*"
        assert document["servers"] == [{"url": BASE}]
        assert "/_dev/clock" not in document["paths"]
        tag = answer.header("etag") or ""
        again = await world.call("GET", "/openapi.json", headers={"if-none-match": f'"other", W/{tag}'})
        assert (again.status, again.body, again.header("etag")) == (304, b"", tag)
        changed = await world.call("GET", "/openapi.json", headers={"if-none-match": '"other"'})
        assert changed.body == answer.body


async def test_dev_mode_has_more(tmp_path: Path) -> None:
    """The document is of this very gateway."""
    async with running(tmp_path, dev=True) as world:
        document = (await world.call("GET", "/openapi.json", headers={})).json()

        assert {"get", "post"} == set(document["paths"]["/_dev/clock"])


HEALTHY = b'{"status":"ok"}'
JSON = ("content-type", "application/json")
NAMED = ("x-request-id", "r")


@pytest.mark.parametrize(
    ("method", "path", "status", "headers", "body", "what"),
    [
        ("GET", "/healthz", 200, [JSON, NAMED], HEALTHY, None),
        ("HEAD", "/healthz", 200, [JSON, NAMED], b"", None),
        ("OPTIONS", "/healthz", 204, [NAMED], b"", None),
        ("GET", "/healthz", 200, [JSON], HEALTHY, "no x-request-id"),
        ("GET", "/healthz", 418, [JSON, NAMED], HEALTHY, "getHealth does not say that it may answer 418"),
        ("GET", "/healthz", 200, [NAMED], HEALTHY, "content-type '', not one of ['application/json']"),
        ("GET", "/healthz", 200, [JSON, NAMED], b'{"status":"ill"}', "$.status: 'ill' is not one of ['ok']"),
        ("GET", "/healthz", 200, [JSON, NAMED], b'{"status":"ok","x":1}', "$: Additional properties are not allowed"),
        ("GET", "/healthz", 500, [JSON, NAMED], b'{"message":"","reason":"not_found"}', "$.reason: 'not_found' is not"),
        ("POST", "/healthz", 405, [JSON, NAMED], b'{"message":"","reason":"method_not_allowed"}', None),
        ("POST", "/healthz", 200, [JSON, NAMED], HEALTHY, "200 where the document has nothing"),
        ("GET", "/nothing", 404, [JSON, NAMED], b'{"message":"","reason":"not_found"}', None),
        ("GET", "/nothing", 404, [JSON, NAMED], b"{}", "$: 'reason' is a required property"),
        ("DELETE", "/events/1/2/3/registrations/4", 204, [NAMED], b"x", "a body of type '' where there is none"),
    ],
)
def test_deviations(
    method: str, path: str, status: int, headers: list[tuple[str, str]], body: bytes, what: Any
) -> None:
    """An answer that the document does not describe is found out: status, media type, members, their values."""
    found = list(deviations(method, path, status, headers, body))

    assert found == [] if what is None else found[0].startswith(what), found
