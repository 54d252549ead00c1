"""Files that declare what a workspace has: what they mean, and what is said of faults in them."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from eventmill.cli.declared_file import Declared, read_declared, read_set_name
from eventmill.cli.remote import Failed
from eventmill.core.declared import Key

SCHEMA = Path(__file__).parent.parent.parent / "docs/schemas/events.schema.json"
WHOLE = """\
name: shop
providers:
  Warehouse:
    description: Stock moves
    events:
      stock.low:
        label: Low
        schema: {type: object}
        sample: {sku: A1}
      stock.in: {}
registrations:
  To ERP:
    webhook_url: https://${HOST}/hook?$${not}
    events: ["Warehouse:stock.low"]
    filter: {data: {sku: [A1]}}
  Reader:
    events: [Warehouse:stock.in]
"""


def read(directory: Path, *texts: str, **environ: str) -> Declared:
    files = []
    for at, text in enumerate(texts):
        file = directory / f"{at}.yaml"
        file.write_text(text)
        files.append(str(file))
    return read_declared(files, environ)


def fault(directory: Path, *texts: str, **environ: str) -> str:
    """What is said, without the directory."""
    with pytest.raises(Failed) as failed:
        read(directory, *texts, **environ)
    return failed.value.message.removeprefix(f"{directory}/")


def test_a_file_says_what_is_wanted(tmp_path: Path) -> None:
    """With what is left out as it is meant, variables put in, and lines."""
    name, wanted = read(tmp_path, WHOLE, HOST="erp.example")
    by_key = {each.key: each for each in wanted}

    assert name == "shop" and len(wanted) == 5
    assert by_key[Key("event code", "stock.in", "Warehouse")].fields["description"] == "stock.in"
    erp = by_key[Key("registration", "To ERP")]
    assert erp.fields["webhook_url"] == "https://erp.example/hook?${not}" and erp.hidden == {"webhook_url"}
    assert erp.fields["delivery_type"] == "webhook" and erp.place == f"{tmp_path}/0.yaml:12"
    reader = by_key[Key("registration", "Reader")]
    assert reader.fields["delivery_type"] == "journal" and "enabled" not in reader.fields


def test_the_published_schema_takes_what_is_taken() -> None:
    """Editors say what the command says."""
    schema = json.loads(SCHEMA.read_text())
    jsonschema.validate(yaml.safe_load(WHOLE), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"name": "shop", "registrations": {"Reader": {"event": ["a:b"]}}}, schema)


def test_several_files_are_one_set(tmp_path: Path) -> None:
    """One says the name; nothing stands in two."""
    rest = "registrations:\n  Other:\n    events: [Warehouse:stock.in]\n"
    assert len(read(tmp_path, WHOLE, rest, HOST="h").wanted) == 6
    assert fault(tmp_path, WHOLE, rest + "name: two\n", HOST="h").startswith("1.yaml:4: name: is 'two', but ")
    assert "registration Reader is declared in " in fault(tmp_path, WHOLE, rest.replace("Other", "Reader"), HOST="h")
    assert fault(tmp_path, rest).startswith("0.yaml: name: required")


def test_samples_and_schemas_may_have_files_of_their_own(tmp_path: Path) -> None:
    """Beside the file that names them."""
    (tmp_path / "low.json").write_text('{"sku": "B2"}')
    head = "name: shop\nproviders:\n  W:\n    events:\n      a:\n        "
    assert read(tmp_path, head + "sample_file: low.json\n").wanted[1].fields["sample"] == {"sku": "B2"}
    both = fault(tmp_path, head + "sample_file: low.json\n        sample: 1\n")
    assert both == "0.yaml:6: sample and sample_file do not go together"
    assert "none.json cannot be read" in fault(tmp_path, head + "schema_file: none.json\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: shop\nproviders: [\n", "0.yaml:3: neither YAML nor JSON: "),
        ("name: shop\nprovider: {}\n", "0.yaml:2: unknown member 'provider'; there are: name, providers, registr"),
        ("name: a b\n", "0.yaml:1: name: may only hold letters, digits and -_."),
        ("- 1\n", "0.yaml:1: expected `name`"),
        ("name: s\nproviders:\n  W: {}\n  W: {}\n", "0.yaml:4: 'W' stands here twice, first in line 3"),
        ("name: s\nproviders:\n  W:\n    docs_url: x\n", "0.yaml:4: docs_url: must be an http or https URL"),
        ("name: s\nproviders:\n  W:\n    color: x\n", "0.yaml:4: object contains unknown field color"),
        ("name: s\nproviders:\n  W/: {}\n", "0.yaml:3: 'W/': "),
        ("name: s\nproviders:\n  W: 1\n", "0.yaml:3: "),
        ("name: s\nproviders:\n  W:\n    events: 1\n", "0.yaml:4: events: expected names"),
        ("name: s\nproviders:\n  W:\n    events:\n      a:\n        schema: {type: x}\n", "0.yaml:6: schema"),
        ("name: s\nproviders:\n  W:\n    description: " + "x" * 240, "0.yaml:4: description: must have at most "),
        ("name: s\nregistrations:\n  Reader: {}\n", "0.yaml:3: events: required, but missing"),
        ("name: s\nregistrations:\n  Reader:\n    events:\n    - a:b\n    - c\n", "0.yaml:6: events[1]: must be PROV"),
        ("name: s\nregistrations:\n  Reader:\n    events: [a:b]\n    filter: {a: 1}\n", "0.yaml:5: filter: "),
        (
            "name: s\nregistrations:\n  Reader:\n    events: [a:b]\n    delivery_type: webhook\n",
            "0.yaml:3: delivery_typ",
        ),
        (
            "name: s\nregistrations:\n  Reader:\n    events: [a:b]\n    delivery_type: journal\n    webhook_url: http://h\n",
            "0.yaml:6: webhook_url: does not go with delivery_type journal",
        ),
        ("name: ${NAME}\n", "0.yaml:1: the variable NAME is not set"),
        ("name: ${NA ME}\n", "0.yaml:1: ${NA ME} is no variable"),
        ("name: s\nproviders:\n  W:\n    docs_url: !!binary aGk=\n", "0.yaml:4: a value that JSON has not"),
        ("name: s\nproviders: &a\n  W: *a\n", "0.yaml:"),
    ],
)
def test_a_fault_is_told_by_its_line(tmp_path: Path, text: str, message: str) -> None:
    """And what is wrong there."""
    assert fault(tmp_path, text).startswith(message)


def test_a_value_of_a_variable_is_shown_to_nobody(tmp_path: Path) -> None:
    """Not even when it is wrong."""
    text = "name: s\nregistrations:\n  Reader:\n    events: [a:b]\n    webhook_url: ${HOOK}\n"
    assert "s3cret" not in fault(tmp_path, text, HOOK="https://s3cret\x01")


def test_the_name_alone_needs_no_variables(tmp_path: Path) -> None:
    """For `destroy`."""
    (tmp_path / "a.yaml").write_text(WHOLE)
    assert read_set_name([str(tmp_path / "a.yaml")]) == "shop"
