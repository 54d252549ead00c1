"""The gateway's own document, fitted to the gateway that is tested: its ids, in paths and in bodies, beside any others.

Nothing else changes, but that webhooks are on this machine.
"""

from __future__ import annotations

import json
from typing import Any

from tests.api.things import HOOK, Things

Json = dict[str, Any]

_EXAMPLES = {"6f0d2a4e-58a9-4a33-8e8a-51d6e9f1a001": "provider", "5c1d0000000000000001": "client"}
"""What the document's examples say, and what it is here."""
_SET_BY_THE_RUNNER = {"x-ims-org-id", "x-gw-ims-org-id"}


def fit_document(document: Json, things: Things) -> Json:
    text = json.dumps(document)
    for example, name in _EXAMPLES.items():
        text = text.replace(example, things.kept[name])
    fitted: Json = json.loads(text)
    for operations in fitted["paths"].values():
        for method, operation in operations.items():
            values = things.kept if method != "delete" else things.kept | things.expendable
            operation["parameters"] = [
                _fit_parameter(each, values)
                for each in operation.get("parameters", ())
                if each.get("$ref", "").rpartition("/")[2] not in _SET_BY_THE_RUNNER
            ]
    schemas = fitted["components"]["schemas"]
    for name, members in _known_members(things).items():
        properties = schemas[name]["properties"]
        for member, value in members.items():
            properties[member] = {"anyOf": [{"enum": [value]}, properties[member]]}
    for name in ("RegistrationCreate", "RegistrationUpdate"):
        schemas[name]["properties"]["webhook_url"] = {"enum": [HOOK, "", None]}
    return fitted


def _fit_parameter(parameter: Json, values: dict[str, Any]) -> Json:
    if parameter.get("in") != "path" or parameter["name"] not in values:
        return parameter
    found = values[parameter["name"]]
    known = {"enum": found if isinstance(found, list) else [found]}
    return parameter | {"schema": {"anyOf": [known, {"type": "string", "minLength": 1}]}}


def _known_members(things: Things) -> dict[str, dict[str, str]]:
    """Values that exist, for members of bodies by schema."""
    provider, code, client = things.kept["provider"], things.kept["code"], things.kept["client"]
    signing_in = {"client_id": client, "client_secret": things.secret}
    return {
        "CloudEvent": {"source": f"urn:uuid:{provider}", "type": code},
        "InterestForm": {"provider_id": provider, "event_code": code},
        "RegistrationCreate": {"client_id": client},
        "JwtCredentialForm": {"certificate": things.certificate},
        "CertificateForm": {"certificate": things.certificate},
        "TokenForm": signing_in,
        "AssertionForm": signing_in,
        "TokenEnd": signing_in,
    }
