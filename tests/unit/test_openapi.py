"""The OpenAPI document says of everything that is served what it is, and of nothing else."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from eventmill import __version__
from eventmill.errors import Reason
from eventmill.web.app import INGRESS_PATHS
from eventmill.web.endpoints.parameters import PATH
from eventmill.web.openapi import build_document
from eventmill.web.routes import GROUPS, build_router, served_groups

URL = "https://gw.example"
OF_THE_CONNECTION = {Reason.METHOD_NOT_ALLOWED, Reason.HEADERS_TOO_LARGE, Reason.MALFORMED_REQUEST}
"""Refusals that belong to no operation."""


@cache
def document() -> Any:
    return json.loads(json.dumps(build_document(GROUPS, URL)))


def operations() -> list[tuple[str, str, Any]]:
    paths = document()["paths"]
    return [(method.upper(), path, each) for path, methods in paths.items() for method, each in methods.items()]


def schema_errors(schema: Any, value: Any) -> list[str]:
    registry = Registry().with_resource("urn:api", Resource.from_contents(document(), DRAFT202012))
    pointed = json.loads(json.dumps(schema).replace('"#/', '"urn:api#/'))
    return [error.message for error in Draft202012Validator(pointed, registry=registry).iter_errors(value)]


def served(dev_mode: bool) -> set[tuple[str, str]]:
    """What the router finds, walked from its root."""
    found = set()

    def walk(node: Any, segments: list[str | None]) -> None:
        for method in node.methods:
            names = iter(node.names)
            found.add((method, "".join("/" + (f"{{{next(names)}}}" if each is None else each) for each in segments)))
        for literal, child in node.literals.items():
            walk(child, [*segments, literal])
        if node.parameter is not None:
            walk(node.parameter, [*segments, None])

    walk(build_router(dev_mode=dev_mode)._root, [])
    return found


def test_every_route_is_described() -> None:
    """And nothing is that is not served: the router and the ingress together are the document's operations."""
    publishing = {("POST", path) for path in INGRESS_PATHS if path == "/" or not path.endswith("/")}

    assert {(method, path) for method, path, _ in operations()} == served(dev_mode=True) | publishing
    without_dev = build_document(served_groups(dev_mode=False), URL)
    described = {(method.upper(), path) for path, methods in without_dev["paths"].items() for method in methods}
    assert described == served(dev_mode=False) | publishing


def test_names_are_unique() -> None:
    """No two operations have one id, no two groups one tag."""
    ids = Counter(each["operationId"] for _, _, each in operations())
    assert max(ids.values()) == 1, ids.most_common(1)
    assert all(re.fullmatch(r"[a-z]\w+", name) for name in ids)
    assert len({group.tag for group in GROUPS}) == len(GROUPS)


def test_path_parameters() -> None:
    """Each is described where it stands, and none that stands nowhere."""
    seen = set()
    for _, path, operation in operations():
        in_path = re.findall(r"\{(\w+)\}", path)
        assert in_path == [each["name"] for each in operation.get("parameters", ()) if each.get("in") == "path"]
        seen.update(in_path)
    assert seen == set(PATH)


def test_every_refusal_belongs_somewhere() -> None:
    """Every reason there is can be found at an operation, but those of the connection."""
    responses = [*document()["components"]["responses"].values()]
    responses += [each for _, _, operation in operations() for each in operation["responses"].values()]
    told = {code for each in responses for code in re.findall(r"`(\w+)`", each.get("description", ""))}
    for response in responses:
        for narrowing in response.get("content", {}).get("application/json", {}).get("schema", {}).get("allOf", ())[1:]:
            told.update(narrowing["properties"]["reason"]["enum"])

    # As `error` in a token endpoint's refusal, not in a shared one.
    assert {reason.code for reason in set(Reason) - OF_THE_CONNECTION} - told == {Reason.INVALID_CLIENT.code}


def examples() -> Iterator[tuple[str, Any, Any]]:
    for _, _, operation in operations():
        for media_type, told in operation.get("requestBody", {}).get("content", {}).items():
            if "example" in told:
                yield f"{operation['operationId']} {media_type}", told["schema"], told["example"]
    for name, schema in document()["components"]["schemas"].items():
        for member, about in schema.get("properties", {}).items():
            for each in (about, *about.get("anyOf", ())):
                yield from ((f"{name}.{member}", about, example) for example in each.get("examples", ()))


@pytest.mark.parametrize(("where", "schema", "example"), list(examples()), ids=[name for name, _, _ in examples()])
def test_examples_are_valid(where: str, schema: Any, example: Any) -> None:
    """Every example is what its schema asks for."""
    assert schema_errors(schema, example) == [], where


def test_writes_have_examples() -> None:
    """Whoever creates something finds out what to send."""
    for method, path, operation in operations():
        if method == "POST" and "201" in operation["responses"] and "requestBody" in operation:
            told = operation["requestBody"]["content"]["application/json"]
            assert "example" in told or path == "/ims/keys", path


def test_references_lead_somewhere() -> None:
    """Every reference is to a component that exists, and every component is referred to."""
    text = json.dumps(document())
    referred = set(re.findall(r'"\$ref": "#/components/(\w+)/([\w-]+)"', text))
    there = {(kind, name) for kind, named in document()["components"].items() for name in named}

    assert referred == {each for each in there if each[0] != "securitySchemes"}


def test_what_it_is() -> None:
    """Version and address are those of the gateway that serves it; no private word of the code got in."""
    assert document()["openapi"] == "3.1.0"
    assert document()["info"]["version"] == __version__
    assert document()["servers"] == [{"url": URL}]
    assert "Base of all" not in json.dumps(document())


def test_who_may_call() -> None:
    """Every operation says whether it needs a token, and an api key with it."""
    needs = {(method, path): operation["security"] for method, path, operation in operations()}

    assert needs["POST", "/"] == needs["GET", "/events/providermetadata"] == [{"token": [], "apiKey": []}]
    assert needs["GET", "/ims/profile/v1"] == [{"token": []}]
    assert needs["GET", "/"] == needs["POST", "/ims/token/v3"] == []
