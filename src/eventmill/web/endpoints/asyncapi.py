"""AsyncAPI documents of what organizations publish, and providers from such documents. Additions of ours."""

from __future__ import annotations

from typing import Any, Literal

from eventmill.errors import Reason
from eventmill.web import asyncapi_documents as documents
from eventmill.web.asyncapi import YAML_TYPE
from eventmill.web.endpoint import Answer, Endpoint, Group, Operation, Parameter, RequestBody, json_answer
from eventmill.web.endpoints.parameters import WORKSPACE
from eventmill.web.http import JSON_TYPE

_ANSWERS = (Answer(200, dict[str, Any], JSON_TYPE), Answer(200, dict[str, Any], YAML_TYPE))
_PARAMETERS = (
    Parameter("version", Literal["2.6.0", "3.0.0"], "Of AsyncAPI. Left out: 2.6.0."),
    Parameter("format", Literal["json", "yaml"], "Left out: json."),
)
_REFUSALS = (Reason.TOO_LARGE,)
_MESSAGE = {
    "title": "Stock low",
    "payload": {"type": "object", "properties": {"sku": {"type": "string"}}},
    "examples": [{"payload": {"sku": "A1"}}],
}
_DOCUMENT = {
    "asyncapi": "2.6.0",
    "info": {"title": "Warehouse", "version": "1.0.0"},
    "channels": {"stock/low": {"description": "Stock fell under its floor", "subscribe": {"message": _MESSAGE}}},
}

ASYNCAPI = Group(
    tag="AsyncAPI",
    about="Providers and their events as AsyncAPI documents, both ways. Additions to the Adobe API.",
    for_callers=(
        Endpoint(
            "GET",
            "/events/providers/{provider}/asyncapi",
            documents.get_provider_asyncapi,
            Operation("getProviderAsyncApi", "Describe the events of a provider", _ANSWERS, _PARAMETERS, (), _REFUSALS),
        ),
        Endpoint(
            "GET",
            "/events/{org}/asyncapi",
            documents.get_organization_asyncapi,
            Operation(
                "getOrganizationAsyncApi",
                "Describe all events of an organization",
                _ANSWERS,
                _PARAMETERS,
                (),
                _REFUSALS,
            ),
        ),
        Endpoint(
            "POST",
            WORKSPACE + "/asyncapi",
            documents.import_asyncapi,
            Operation(
                "importAsyncApi",
                "Make a provider from an AsyncAPI document",
                (json_answer(documents.AsyncApiImport), json_answer(documents.AsyncApiImport, 201)),
                (
                    Parameter("provider", str, "Id of a provider of the workspace, to change that instead."),
                    Parameter("label", str, "Of the new provider. Left out: the document's title."),
                    Parameter("prefix", str, "Opens the event codes that the document does not tell."),
                    Parameter("force", bool, "Change schemas even if they would refuse what was accepted before."),
                    Parameter("dry_run", bool, "Write nothing; say what would be."),
                ),
                (RequestBody(dict[str, Any], example=_DOCUMENT),),
                (Reason.CONFLICT, Reason.STALE_VERSION, Reason.INCOMPATIBLE_SCHEMA),
                "With event codes, JSON Schemas and samples. All of it, or nothing.",
            ),
        ),
    ),
)
