"""`eventmill.core.asyncapi_import`: what is read from documents of both generations, and what is passed over."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventmill.core.asyncapi_import import Imported, read_document
from eventmill.core.asyncapi_provider import DescribedEvent, Subject, build_provider_document, infer_schema
from eventmill.errors import GatewayError, Reason

SCHEMA = {"type": "object", "properties": {"sku": {"type": "string"}}, "required": ["sku"]}


def document(channels: Any, version: str = "2.6.0", **components: Any) -> dict[str, Any]:
    info = {"title": "Shop", "version": "1", "description": "What moves"}
    return {"asyncapi": version, "info": info, "channels": channels, "components": components}


def subscribed(message: Any, **members: Any) -> dict[str, Any]:
    return {"stock/low": {"description": "Stock fell", "subscribe": {"message": message}, **members}}


def read(given: Any, prefix: str = "") -> Imported:
    return read_document(given, prefix)


def told(imported: Imported) -> list[tuple[str, str, Any, Any]]:
    return [(each.event_code, each.label, each.data_schema, each.sample) for each in imported.events]


def test_bare_payload() -> None:
    """A payload of one's own is `data`; the code is the channel's name, after the prefix."""
    message = {"title": "Low", "payload": SCHEMA, "examples": [{"payload": {"sku": "A1"}}]}

    imported = read(document(subscribed(message)), "com.acme.")

    assert (imported.title, imported.description, imported.warnings) == ("Shop", "What moves", ())
    assert told(imported) == [("com.acme.stock.low", "Low", SCHEMA, {"sku": "A1"})]
    assert (imported.events[0].description, imported.delivery_format) == ("Stock fell", "cloud_events_v1")


def test_envelope_and_references() -> None:
    """The envelope's `event` is the data; references are followed, also from reference to reference."""
    payload = {
        "type": "object",
        "properties": {"event_id": {"type": "string"}, "event": {"$ref": "#/components/schemas/a~1b"}},
    }
    example = {"name": "x", "x-default": True, "payload": {"event_id": "1", "event": {"sku": "A1"}}}
    message = {"name": "Low", "payload": {"$ref": "#/components/schemas/P"}, "examples": [example]}
    schemas = {"P": payload, "a/b": {"$ref": "#/components/schemas/S"}, "S": SCHEMA}

    imported = read(document(subscribed({"$ref": "#/components/messages/M"}), messages={"M": message}, schemas=schemas))

    assert told(imported) == [("stock.low", "Low", SCHEMA, {"sku": "A1"})]
    assert imported.delivery_format == "adobe_io"
    [warning] = imported.warnings
    assert warning.startswith("channels.stock/low.subscribe.message.examples[0].x-default: ")


def test_several_messages() -> None:
    """`oneOf`, and both directions; a CloudEvent says its own code, others the channel's, and a code comes once."""
    cloud_event = {"properties": {"specversion": {}, "source": {}, "type": {"const": "com.acme.b"}, "data": SCHEMA}}
    channel = {
        "subscribe": {"message": {"oneOf": [{"payload": cloud_event}, {"payload": {}, "name": "Other"}]}},
        "publish": {"message": {"payload": True}},
    }

    imported = read(document({"a": channel}))

    assert [each.event_code for each in imported.events] == ["com.acme.b", "a"]
    assert imported.events[0].data_schema == SCHEMA
    assert imported.warnings == ("channels.a.publish.message: the event code a comes twice; the first one counts",)


def test_version_3() -> None:
    """Messages are the channel's; the address, not the key, names it; a payload may say its schema's format."""
    payload = {"schemaFormat": "application/vnd.aai.asyncapi;version=3.0.0", "schema": SCHEMA}
    channels = {"c": {"address": "stock/low", "messages": {"m": {"payload": payload}}}}

    assert told(read(document(channels, "3.0.0"))) == [("stock.low", "stock.low", SCHEMA, msgspec.UNSET)]
    both = {"c": {"address": "stock", "messages": {"low": {"name": "low", "payload": {}}, "out": {"name": "out"}}}}
    assert [each.event_code for each in read(document(both, "3.0.0")).events] == ["stock.low", "stock.out"]


@pytest.mark.parametrize(
    ("schema", "warning"),
    [
        ({"$ref": "#/components/schemas/none"}, "leads nowhere in this document"),
        ({"$ref": "https://schemas.example/a.json"}, "leads nowhere in this document"),
        ({"$ref": "#/components/schemas/Tree"}, "leads into itself"),
    ],
)
def test_references_that_lead_astray(schema: Any, warning: str) -> None:
    """They take anything, with a warning."""
    tree = {
        "type": "object",
        "properties": {"children": {"type": "array", "items": {"$ref": "#/components/schemas/Tree"}}},
    }
    imported = read(document(subscribed({"payload": schema}), schemas={"Tree": tree}))

    assert warning in imported.warnings[0]
    assert "$ref" not in str(imported.events[0].data_schema)


def test_a_schema_that_is_none() -> None:
    """It is left out with a warning; the event stays."""
    imported = read(document(subscribed({"payload": {"type": "thing"}})))

    assert told(imported) == [("stock.low", "stock.low", None, msgspec.UNSET)]
    assert imported.warnings[0].endswith("; the schema is left out")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "asyncapi: is missing"),
        ({"openapi": "3.1.0"}, "asyncapi: is missing"),
        ({"asyncapi": "1.2.0", "info": {"title": "T"}}, "asyncapi: '1.2.0' cannot be read"),
        ({"asyncapi": "2.6.0"}, "info.title: is missing"),
        (document({}), "channels: no message was found"),
        (document([]), "channels: no message was found"),
        (document({"a": {"subscribe": {"message": {"$ref": "#/none"}}}}), "channels: no message was found"),
        (
            document({str(n): {"subscribe": {"message": {"payload": {}}}} for n in range(501)}),
            "channels: they have more",
        ),
    ],
)
def test_refusals(given: Any, message: str) -> None:
    """What is no such document, or has nothing to import."""
    with pytest.raises(GatewayError) as caught:
        read(given)
    assert caught.value.reason is Reason.INVALID_BODY
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize("name", ["k", "n" * 200_000])
def test_many_warnings(name: str) -> None:
    """A hundred are told, and the number of the others; whatever the document's names, they stay short."""
    examples = [{"x-z": 1, "x-a": 1, "payload": {}}] * 300

    warnings = read(document({name: {"subscribe": {"message": {"examples": examples}}}})).warnings

    assert (len(warnings), warnings[-1]) == (101, "and 500 more")
    place = f"channels.{name if len(name) < 60 else name[:60] + '...'}.subscribe.message.examples[0]"
    assert [each.partition(": ")[0] for each in warnings[:2]] == [f"{place}.x-a", f"{place}.x-z"]


def test_references_that_multiply() -> None:
    """A few lines whose references unfold to millions are refused before they do."""
    schemas: dict[str, Any] = {"0": {"type": "string"}}
    for level in range(1, 30):
        both = {"$ref": f"#/components/schemas/{level - 1}"}
        schemas[str(level)] = {"anyOf": [both, both, both]}
    with pytest.raises(GatewayError, match="too large"):
        read(document(subscribed({"payload": {"$ref": "#/components/schemas/29"}}), schemas=schemas))


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("#/info") | st.just("$ref"),
    lambda each: (
        st.lists(each, max_size=4)
        | st.dictionaries(
            st.sampled_from(["$ref", "message", "payload", "properties", "oneOf", "messages", "examples", "a"]),
            each,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(_VALUES, _VALUES, st.sampled_from(["2.6.0", "3.0.0"]))
def test_anything(channel: Any, component: Any, version: str) -> None:
    """Whatever a document holds, it is read or refused."""
    given = document({"a": channel, "b": {"subscribe": component, "messages": component}}, version, a=component)
    with contextlib.suppress(GatewayError):
        assert read(given).events


@pytest.mark.parametrize("version", ["2.6.0", "3.0.0"])
@pytest.mark.parametrize("form", ["cloud_events_v1", "adobe_io"])
def test_there_and_back(version: str, form: Any) -> None:
    """What was exported is read back: codes, words, schemas and samples."""
    events = tuple(
        DescribedEvent(
            provider_id="p1",
            provider_label="Shop",
            event_code=code,
            label=f"Label of {code}",
            description="Moves",
            delivery_format=form,
            data_schema=SCHEMA,
            sample={"sku": code},
        )
        for code in ("com.acme.low", "com.acme.out")
    )
    imported = read(build_provider_document(Subject("Shop", "Sells", events, "https://gw.example"), version))

    assert (imported.title, imported.description, imported.delivery_format, imported.warnings) == (
        "Shop",
        "Sells",
        form,
        (),
    )
    assert told(imported) == [(each.event_code, each.label, each.data_schema, each.sample) for each in events]


def test_codes_that_several_providers_have() -> None:
    """Each has a channel of its own, and its code is still told."""
    events = tuple(
        DescribedEvent(
            provider_id=provider,
            provider_label=provider,
            event_code="low",
            label="Low",
            description="Low",
            delivery_format="cloud_events_v1",
        )
        for provider in ("p1", "p2")
    )
    made = build_provider_document(Subject("Shop", "", events, "https://gw.example"), "2.6.0")

    assert list(made["channels"]) == ["p1.low", "p2.low"]
    assert [each["x-event-code"] for each in made["channels"].values()] == ["low", "low"]


def test_schema_of_a_sample() -> None:
    """Types and members as the sample shows them; what it does not show is left open."""
    sample = {"a": 1, "b": 1.5, "c": "x", "d": True, "e": None, "f": [1, 2], "g": [1, "x"], "h": [], "i": {"j": []}}

    properties = infer_schema(sample)["properties"]

    assert {name: schema.get("type") for name, schema in properties.items()} == {
        "a": "integer",
        "b": "number",
        "c": "string",
        "d": "boolean",
        "e": None,
        "f": "array",
        "g": "array",
        "h": "array",
        "i": "object",
    }
    assert properties["f"]["items"] == {"type": "integer"} and "items" not in properties["g"]
