"""The AsyncAPI documents of a running gateway pass the official parser and the official JSON Schemas."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import Gateway, auth_headers, call
from tests.e2e.harness.engines import PATIENCE, store_variables
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
        timeout=60 * PATIENCE,
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


@pytest.mark.slow
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


@pytest.mark.slow
def test_documents_of_providers(gateway: Gateway) -> None:
    """Those of providers and of the organization pass as well, with attached schemas, samples or neither; and what was
    exported is imported by the command line, from YAML."""
    env = gateway.env()
    headers = {**auth_headers(env), "content-type": "application/json"}
    workspace = f"{gateway.url}/events/{env['consumer_org_id']}/{env['project_id']}/{env['workspace_id']}"
    provider = ""
    for form in FORMATS:
        label = {"label": f"Shop {form}", "event_delivery_format": form}
        provider = call("POST", f"{workspace}/providers", headers, label).json()["id"]
        for code, more in (
            ("com.acme.low", {"data_schema": {"type": "object", "properties": {"sku": {"type": "string"}}}}),
            ("out", {"sample_event_template": base64.b64encode(b'{"a": [1, null, {"b": 1.5}]}').decode()}),
            ("odd_code.v1-a", {}),
        ):
            body = {"event_code": code, "label": "Of stock", "description": "Stock moved", **more}
            answer = call("POST", f"{workspace}/providers/{provider}/eventmetadata", headers, body)
            assert answer.status == 201, answer
    documents = {}
    for where in (f"providers/{provider}", env["consumer_org_id"]):
        for version in VERSIONS:
            for form in ("json", "yaml"):
                url = f"{gateway.url}/events/{where}/asyncapi?version={version}&format={form}"
                documents[f"{where} {form} {version}"] = call("GET", url, headers).body.decode()

    for name, found in parse(documents).items():
        assert found["errors"] == [], name
        assert found["servers"] == ["webhook", "journal"]
        assert len(found["operations"]) == (3 if name.startswith("providers/") else 6), name
    file = gateway.data.with_name("shop.yaml")
    file.write_text(documents[f"providers/{provider} yaml 3.0.0"])
    command = [sys.executable, "-m", "eventmill", "asyncapi", "import", str(file), "--label", "Again", "--json"]
    done = subprocess.run(
        [*command, "--data", str(gateway.data), "--port", str(gateway.port)],
        capture_output=True,
        timeout=30 * PATIENCE,
        env={**os.environ, **store_variables(str(gateway.data))},
    )
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout)["created"] == ["com.acme.low", "out", "odd_code.v1-a"]


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
