"""Holds every answer that a test gets against the OpenAPI document: status, media type, headers, and the body's schema.

A member that the document does not tell of is a deviation too: for answers, its objects are taken as closed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any
from urllib.parse import unquote

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from eventmill.web.openapi import build_document
from eventmill.web.routes import GROUPS
from eventmill.web.routing import Router

_URI = "urn:api"
_LISTS_CHECKED_BYTES_MAX = 200_000
"""Longer bodies are lists of what shorter ones have as well."""


@cache
def document() -> dict[str, Any]:
    """In dev mode: that is the most there is."""
    document: dict[str, Any] = json.loads(json.dumps(build_document(GROUPS, "https://gw.example")))
    return document


@cache
def _closed_document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(build_document(GROUPS, "https://gw.example")))
    for schema in document["components"]["schemas"].values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return document


@cache
def _router() -> Router[tuple[str, str]]:
    router: Router[tuple[str, str]] = Router()
    for pattern, methods in document()["paths"].items():
        for method in methods:
            router.add(method.upper(), pattern, (pattern, method))
    return router


@cache
def _registry() -> Registry[Any]:
    resource = Resource.from_contents(_closed_document(), default_specification=DRAFT202012)
    registry: Registry[Any] = Registry()
    filled: Registry[Any] = registry.with_resource(_URI, resource)
    return filled


@cache
def _validator(*path: str) -> Draft202012Validator:
    pointer = "/".join(each.replace("~", "~0").replace("/", "~1") for each in path)
    return Draft202012Validator({"$ref": f"{_URI}#/{pointer}"}, registry=_registry())


def deviations(method: str, path: str, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> Iterator[str]:
    """What the document does not say of this answer to a request for `path`, without its query."""
    names = {name.lower(): value for name, value in headers}
    if "x-request-id" not in names:
        yield "no x-request-id"
    segments = [unquote(each) for each in path.split("/")[1:]]
    if len(segments) > 1 and not segments[-1]:
        segments.pop()
    found = _router().find(segments)
    if status == 404 and path.startswith("/_dev/"):  # no dev mode
        found = None
    if found is None or method not in ({**found[0], "HEAD": None} if "GET" in found[0] else found[0]):
        yield from _unrouted(method, status, names, body)
        return
    pattern, verb = found[0]["GET" if method == "HEAD" else method]
    operation = document()["paths"][pattern][verb]
    at: tuple[str, ...] = ("paths", pattern, verb, "responses", str(status))
    response = operation["responses"].get(str(status))
    if response is None:
        yield f"{operation['operationId']} does not say that it may answer {status}"
        return
    if "$ref" in response:
        at = ("components", "responses", response["$ref"].rpartition("/")[2])
        response = document()["components"]["responses"][at[-1]]
    if method != "HEAD":
        yield from _wrong_content(at, response.get("content", {}), names, body)


def _unrouted(method: str, status: int, headers: dict[str, str], body: bytes) -> Iterator[str]:
    if status == 204 and method == "OPTIONS":
        return
    if status not in (404, 405):
        yield f"{status} where the document has nothing"
    elif method != "HEAD":
        yield from _wrong_schema(("components", "schemas", "ErrorBody"), headers, body)


def _wrong_content(at: tuple[str, ...], content: dict[str, Any], headers: dict[str, str], body: bytes) -> Iterator[str]:
    media_type = headers.get("content-type", "").partition(";")[0]
    if not content:
        if body or media_type:
            yield f"a body of type {media_type!r} where there is none"
    elif media_type not in content:
        yield f"content-type {media_type!r}, not one of {list(content)}"
    elif media_type.endswith("json"):
        yield from _wrong_schema((*at, "content", media_type, "schema"), headers, body)


def _wrong_schema(at: tuple[str, ...], _headers: dict[str, str], body: bytes) -> Iterator[str]:
    if len(body) > _LISTS_CHECKED_BYTES_MAX:
        return
    for error in _validator(*at).iter_errors(json.loads(body)):
        yield f"{error.json_path}: {error.message[:300]}"
