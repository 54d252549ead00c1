"""The official description (Swagger 2.0) of the Events API, repaired: as published it contradicts the service itself.

What is mended: ranges in patterns that no engine takes (`\\s-_`), a JSON Patch that is an object, a sample event that
is text, and the refusals of bad input, of which it has none.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from tests.api.things import HOOK, Things

Json = dict[str, Any]

_NAMES = {
    "consumerOrgId": "org",
    "projectId": "project",
    "workspaceId": "workspace",
    "providerId": "provider",
    "id": "provider",
    "eventCode": "code",
    "credentialId": "credential",
    "registrationId": "registration",
    "subscriberFilterId": "filter",
}
_SET_BY_THE_RUNNER = {"authorization", "x-api-key", "x-ims-org-id", "accept", "content-type"}
_REFUSALS = ("400", "404", "409", "413", "415")


def read_official(file: Path, things: Things) -> Json:
    """Repaired, and fitted to the gateway that is tested."""
    text = file.read_text().replace(r"\s-_", r"\s\-_").replace(r"\w-_", r"\w\-_")
    document: Json = json.loads(json.dumps(yaml.safe_load(text)))
    definitions = document["definitions"]
    definitions["JsonPatch"] = {"type": "array", "items": {"type": "object"}}
    definitions["JsonNode"] = {}
    for definition in definitions.values():
        members = definition.get("properties", {})
        if members.get("sample_payload", {}).get("type") == "string":
            members["sample_payload"] = {"type": "object"}
        if "webhook_url" in members and "_links" not in members:
            members["webhook_url"] = {"type": "string", "enum": [HOOK]}
    for operations in document["paths"].values():
        for method, operation in operations.items():
            values = things.kept if method != "delete" else things.kept | things.expendable
            parameters = [_resolve(document, each) for each in operation.get("parameters", ())]
            operation["parameters"] = [
                _fit(each, values) for each in parameters if each["name"].lower() not in _SET_BY_THE_RUNNER
            ]
            operation.setdefault("produces", []).append("application/json")  # refusals
            for status in _REFUSALS:
                operation["responses"].setdefault(status, {"description": "Refused."})
    return document


def _resolve(document: Json, parameter: Json) -> Json:
    found: Json = document["parameters"][parameter["$ref"].rpartition("/")[2]] if "$ref" in parameter else parameter
    return found


def _fit(parameter: Json, values: dict[str, Any]) -> Json:
    if parameter["in"] != "path":
        return parameter
    found = values[_NAMES[parameter["name"]]]
    return parameter | {"enum": found if isinstance(found, list) else [found]}
