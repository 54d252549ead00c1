"""The AsyncAPI documents of a running gateway pass the official parser and the official JSON Schemas."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import Gateway, call
from tests.unit.catalogue_facts import CHANNELS

NODE = Path(__file__).parent / "asyncapi"
SCHEMAS = NODE / "node_modules/@asyncapi/specs/schemas"
VERSIONS = ("2.6.0", "3.0.0")
FORMATS = ("adobe_io", "cloud_events_v1")


@pytest.fixture(scope="module", params=FORMATS)
def gateway(request: pytest.FixtureRequest, start_shared_gateway: StartGateway) -> Gateway:
    return start_shared_gateway("--dev", "--catalog-delivery-format", request.param)


def fetch(gateway: Gateway, form: str, version: str) -> str:
    answer = call("GET", f"{gateway.url}/asyncapi/catalog.{form}?version={version}")
    assert answer.status == 200, answer
    return answer.body.decode()


def parse(documents: dict[str, str]) -> Any:
    """What the official parser says of each document."""
    done = subprocess.run(
        ["node", "parse-documents.mjs"],
        cwd=NODE,
        input=json.dumps(documents).encode(),
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_official_parser(gateway: Gateway) -> None:
    """No error in any form and version, and the parser sees the eight operations with their messages and tags."""
    documents = {
        f"{form} {version}": fetch(gateway, form, version) for form in ("json", "yaml") for version in VERSIONS
    }

    told = parse(documents)

    for name, found in told.items():
        assert found["errors"] == [], name
        assert found["version"] == name.split(" ")[1]
        assert (found["title"], found["servers"]) == ("Adobe I/O Events", ["webhook", "journal"])
        assert found["operations"] == [
            {
                "id": facts.operation,
                "channels": [facts.channel],
                "messages": [facts.message],
                "tags": list(facts.tags),
            }
            for facts in CHANNELS
        ]
        assert found["schemas"][1:] == [facts.payload for facts in CHANNELS]


def test_the_parser_finds_errors() -> None:
    """The parser is really asked: a member that no message example may have is an error."""
    document = """{"asyncapi": "2.6.0", "info": {"title": "T", "version": "1"}, "channels": {"c": {"subscribe": {
      "message": {"payload": {}, "examples": [{"payload": {}, "x-default": true}]}}}}}"""

    assert parse({"faulty": document})["faulty"]["errors"]


@pytest.mark.parametrize("version", VERSIONS)
def test_official_json_schemas(gateway: Gateway, version: str) -> None:
    """The published JSON Schema of the version accepts the document, in both forms."""
    schema = json.loads((SCHEMAS / f"{version}.json").read_text())
    validator = jsonschema.Draft7Validator(schema)

    for document in (json.loads(fetch(gateway, "json", version)), yaml.safe_load(fetch(gateway, "yaml", version))):
        assert [error.message for error in validator.iter_errors(document)] == []
        assert not validator.is_valid({**document, "info": {}})
