"""The bodies of answers can be described: as JSON Schema, with the wire's names, and absent members not required."""

from __future__ import annotations

import msgspec

from eventmill.web import bodies

ANSWERS = (
    bodies.EventMetadataCollection,
    bodies.ProviderCollection,
    bodies.FamilyCollection,
    bodies.SampleEventBody,
    bodies.RegistrationCollection,
    bodies.RegistrationPage,
    bodies.ErrorBody,
)


def test_every_body_has_a_schema() -> None:
    """One component each, and no name of ours in it."""
    _, components = msgspec.json.schema_components(ANSWERS, ref_template="#/components/schemas/{name}")

    assert {answer.__name__ for answer in ANSWERS} <= set(components)
    for component in components.values():
        assert not {"links", "embedded", "update", "number_of_elements"} & set(component["properties"])


def test_members_that_may_be_absent_are_not_required() -> None:
    """Those that are always there are."""
    _, components = msgspec.json.schema_components([bodies.RegistrationBody, bodies.ProviderLinks])
    registration, links = components["RegistrationBody"], components["ProviderLinks"]

    optional = set(registration["properties"]) - set(registration["required"])
    ours = {"ca_bundle", "max_in_flight", "events_per_second", "subscriber_filters", "undelivered"}
    assert optional == {"webhook_url", "runtime_action", "destination_metadata"} | ours
    assert (set(links["properties"]), links["required"]) == (
        {"rel:eventmetadata", "rel:update", "self"},
        ["rel:eventmetadata", "self"],
    )
