"""The documents that are tested against, fitted to the gateway that is tested: its ids for path parameters.

Nothing else of a document changes, but that webhooks are on this machine, and that the calls are left out that would
end the test: those that void its token or wipe what it made.
"""

from __future__ import annotations

import copy
from typing import Any

from tests.api.things import HOOK, UNKNOWN, Things

Json = dict[str, Any]

_LEFT_OUT = {("/_dev/reset", "post"), ("/_dev/clock", "post"), ("/ims/keys", "post")}
_SET_BY_THE_RUNNER = {"x-ims-org-id", "x-gw-ims-org-id"}


def fit_document(document: Json, things: Things) -> Json:
    fitted = copy.deepcopy(document)
    for path, method in _LEFT_OUT:
        fitted["paths"].get(path, {}).pop(method, None)
    for operations in fitted["paths"].values():
        for method, operation in operations.items():
            values = things.kept if method != "delete" else things.expendable
            operation["parameters"] = [
                _fit_parameter(each, values, things)
                for each in operation.get("parameters", ())
                if each.get("$ref", "").rpartition("/")[2] not in _SET_BY_THE_RUNNER
            ]
    for schema in fitted["components"]["schemas"].values():
        if "webhook_url" in schema.get("properties", {}) and "_links" not in schema["properties"]:
            schema["properties"]["webhook_url"] = {"enum": [HOOK, "", None]}
    return fitted


def _fit_parameter(parameter: Json, values: dict[str, Any], things: Things) -> Json:
    if parameter.get("in") != "path":
        return parameter
    found = values.get(parameter["name"], things.kept[parameter["name"]])
    several = found if isinstance(found, list) else [found]
    return parameter | {"schema": {"type": "string", "enum": [*several, UNKNOWN]}}
