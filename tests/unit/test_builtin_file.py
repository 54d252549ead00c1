"""Catalogue files: what may be left out, and that every fault is refused with its place and cause."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import pytest

from eventmill.config import Config
from eventmill.core.builtin_file import read_builtin
from eventmill.core.builtin_text import CatalogueFileError
from eventmill.errors import StartupError
from eventmill.flow.builtin import load_builtin

NAMESPACE = "11111111-2222-4333-8444-555555555555"
PROVIDER_ID = str(uuid5(UUID(NAMESPACE), "shop"))

FILE: dict[str, Any] = {
    "namespace": NAMESPACE,
    "publisher": "Acme",
    "provider_metadata": [{"id": "acme_shop", "group": "Acme", "label": "Shop", "description": "Events of the shop"}],
    "providers": [
        {
            "id": PROVIDER_ID,
            "provider_metadata": "acme_shop",
            "label": "The shop",
            "events": [
                {
                    "event_code": "com.acme.shop.order-placed",
                    "label": "Order placed",
                    "description": "Somebody bought something",
                    "channel": "shop/order-placed",
                    "body": {"type": "object", "properties": {"amount": {"type": "integer", "minimum": 0}}},
                    "sample_event": {"event": {"header": {}, "body": {"amount": 3}}},
                }
            ],
        }
    ],
}


def changed(path: str, value: Any = ...) -> bytes:
    """The file with one member set, or removed when `value` is left out; list indices are numbers in the path."""
    document = copy.deepcopy(FILE)
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    holder: Any = document
    for part in parents:
        holder = holder[part]
    if value is ...:
        del holder[last]
    elif isinstance(last, int) and last == len(holder):
        holder.append(value)
    else:
        holder[last] = value
    return json.dumps(document).encode()


def refusal(text: bytes) -> str:
    with pytest.raises(CatalogueFileError) as raised:
        read_builtin(text, "adobe_io")
    return str(raised.value)


def test_own_file() -> None:
    """A file gives its providers, families and publisher; a provider without description has its family's."""
    builtin = read_builtin(json.dumps(FILE).encode(), "cloud_events_v1")

    assert builtin.publisher == "Acme"
    assert [family.id for family in builtin.families] == ["acme_shop"]
    [each] = builtin.providers
    provider = each.provider
    assert (provider.id, provider.label, provider.description) == (PROVIDER_ID, "The shop", "Events of the shop")
    assert (provider.instance_id, provider.event_delivery_format) == (PROVIDER_ID, "cloud_events_v1")


def test_what_is_left_out_is_derived() -> None:
    """Code, label and description are enough: channel, operation, message, tags and schemas follow from them."""
    text = changed("providers.0.events.0", {"event_code": "com.acme.x", "label": "Order's lost", "description": "Lost"})

    [event] = read_builtin(text, "adobe_io").providers[0].events

    assert (event.channel, event.message, event.operation_id) == ("com.acme.x", "OrderSLostEvent", "onOrderSLostEvent")
    assert (event.message_title, event.summary) == ("Order's lost Event", "Subscribe to Order's lost")
    assert event.tags == ("The shop",)
    assert event.header == event.body == {"type": "object"}
    assert event.sample_event is None


EVENT = "providers.0.events.0"
SECOND = {"event_code": "com.acme.shop.order-placed", "label": "Again", "description": "Again"}
FAULTS = [
    ("providers.0.id", "shop-1", "providers[0].id: 'shop-1' is not a UUID"),
    ("providers.0.id", PROVIDER_ID.upper(), f"providers[0].id: must be written {PROVIDER_ID}"),
    (
        "providers.0.id",
        "ff15757e-dc59-543c-b3ef-25a3025279cd",
        f"providers[0].id: must be {PROVIDER_ID}, the UUIDv5 of 'shop' in the file's namespace, but is ff15757e",
    ),
    (
        "document",
        {"journal_url": "events.acme.com"},
        "document.journal_url: must be an http or https URL, but is 'even",
    ),
    ("document", {"contact": {"name": "Acme", "url": "mailto:a@b"}}, "document.contact.url: must be an http or https"),
    ("document", {"license": {"name": "MIT", "url": ""}}, "document.license.url: must be an http or https URL, but is"),
    ("namespace", "acme", "namespace: 'acme' is not a UUID"),
    ("providers.0.provider_metadata", "acme", "providers[0].provider_metadata: 'acme' is no family of this file"),
    ("provider_metadata.0.id", "a b", "provider_metadata[0].id: may only hold letters, digits and -_."),
    ("provider_metadata.0.id", "3rd_party_custom_events", "provider_metadata[0].id: 3rd_party_custom_events belongs"),
    ("provider_metadata.0.has_multiple_providers", True, "provider_metadata[0].has_multiple_providers: must be false"),
    ("provider_metadata.1", FILE["provider_metadata"][0], "provider_metadata: 'acme_shop' is the id of two of them"),
    ("providers.1", FILE["providers"][0], f"providers: '{PROVIDER_ID}' is the id of two of them"),
    (f"{EVENT}.event_code", "a/b", "providers[0].events[0].event_code: may only hold letters, digits and -_."),
    (f"{EVENT}.event_code", "", "providers[0].events[0].event_code: must have 1 to 255 characters"),
    (f"{EVENT}.label", "x" * 256, "providers[0].events[0].label: must have 1 to 255 characters, but has 256"),
    (f"{EVENT}.label", "a\nb", "providers[0].events[0].label: holds the character U+000A"),
    (f"{EVENT}.channel", "a b", "providers[0].events[0].channel: may only hold"),
    (f"{EVENT}.message", "a b", "providers[0].events[0].message: may only hold"),
    (f"{EVENT}.body", {"type": "objekt"}, "providers[0].events[0].body.type: must be one of array, boolean"),
    (f"{EVENT}.body", {"type": "string"}, 'providers[0].events[0].body.type: must be "object"'),
    (f"{EVENT}.body", [], "providers[0].events[0].body: expected object, got array"),
    (f"{EVENT}.sample_event", {}, 'providers[0].events[0].sample_event: lacks the object "event"'),
    (
        f"{EVENT}.sample_event",
        {"event": {"x": "y" * 65536}},
        "providers[0].events[0].sample_event.event: is larger than 65536 bytes",
    ),
    (f"{EVENT}.sampel", {}, "providers[0].events[0]: has the member sampel, which no catalogue file has"),
    ("providers.0.events.1", SECOND, "providers[0].events: 'com.acme.shop.order-placed' is the event_code of two"),
    (
        "providers.0.events.1",
        {**SECOND, "event_code": "other", "channel": "shop/order-placed"},
        "events of all providers: 'shop.order-placed' is the channel of two of them",
    ),
    (
        "providers.0.events.1",
        {**SECOND, "event_code": "other", "channel": "shop/other", "message": "OrderPlaced", "operation_id": "other"},
        "events of all providers: 'OrderPlaced' is the message (but for Event at its end) of two of them",
    ),
    ("providers.0.events", [], "providers[0].events: is empty"),
    ("providers", [], "providers: is empty"),
    ("providers", 3, "providers: expected array, got int"),
    ("publisher", "", "publisher: must have 1 to 255 characters"),
    ("document", {"title": 3}, "document.title: expected str, got int"),
]


@pytest.mark.parametrize(("path", "value", "message"), FAULTS)
def test_faults(path: str, value: Any, message: str) -> None:
    """The message opens with the place of the fault and says what is wrong, and what is expected when that is known."""
    assert refusal(changed(path, value)).startswith(message)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("providers", "the file: lacks the member providers"),
        ("provider_metadata", "the file: lacks the member provider_metadata"),
        ("providers.0.id", "providers[0]: lacks the member id"),
        (f"{EVENT}.description", "providers[0].events[0]: lacks the member description"),
    ],
)
def test_missing_members(path: str, message: str) -> None:
    """A member that must be there is named with the object that lacks it."""
    assert refusal(changed(path)) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "line 1 column 1: is not JSON"),
        (b'{\n "a": 1,\n}', "line 3 column 1: is not JSON"),
        (b"[]", "line 1: a catalogue file holds one JSON object"),
        (b'{"a": 1, "a": 2}', "a: appears twice in one object"),
        (b'{"a": NaN}', "NaN: is not JSON"),
        (b'{"a": "\xff"}', "byte 7: is not UTF-8"),
        (b'{"a": "\\ud800"}', "a string holds half of a surrogate pair"),
        (b'{"a": ' + b"9" * 5000 + b"}", "a number has too many digits"),
        (b'{"a": ' + b"[" * 70 + b"]" * 70 + b"}", "the file is nested deeper than 60 levels"),
        (b"[" * 100_000, "the file is nested deeper than 60 levels"),
    ],
)
def test_no_json(text: bytes, message: str) -> None:
    """Text that is no JSON object is refused with the line, or with what is unusable in it."""
    assert refusal(text).startswith(message)


def test_missing_file(tmp_path: Path) -> None:
    """A file that is not there: the message names it, the cause, and what to do."""
    with pytest.raises(StartupError) as raised:
        load_builtin(Config(catalog=str(tmp_path / "none.json")))
    message = str(raised.value)
    assert f"{tmp_path}/none.json cannot be read: No such file or directory" in message
    assert '"off"' in message


def test_directory(tmp_path: Path) -> None:
    """A directory is no catalogue file."""
    with pytest.raises(StartupError, match="cannot be read: Is a directory"):
        load_builtin(Config(catalog=str(tmp_path)))


def test_faulty_file(tmp_path: Path) -> None:
    """A file with a fault: the message names the file, the place in it, the fault, and what to do."""
    path = tmp_path / "catalogue.json"
    path.write_bytes(changed("providers.0.id", "x"))
    with pytest.raises(StartupError) as raised:
        load_builtin(Config(catalog=str(path)))
    message = str(raised.value)
    assert f"the catalogue file {path} cannot be used: providers[0].id: 'x' is not a UUID." in message
    assert "--catalog off" in message


def test_huge_file(tmp_path: Path) -> None:
    """A file beyond the limit is not read to its end."""
    path = tmp_path / "catalogue.json"
    path.write_bytes(b" " * (4 * 1024 * 1024 + 1))
    with pytest.raises(StartupError, match="is larger than 4194304 bytes"):
        load_builtin(Config(catalog=str(path)))


def test_documented_example() -> None:
    """The file that the guide shows is one that can be used."""
    guide = (Path(__file__).parent.parent.parent / "docs/catalog.md").read_text()
    [example] = re.findall(r"^```json\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)

    [provider] = read_builtin(example.encode(), "adobe_io").providers

    assert [event.channel for event in provider.events] == ["shop/order-placed"]
