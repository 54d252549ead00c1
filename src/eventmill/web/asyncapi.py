"""GET /asyncapi/catalog.json and .yaml: the events of the catalogue as an AsyncAPI document, for people and for tools.

Open to everybody and to web pages of any origin, as it says nothing that its file or the sources do not.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import yaml

from eventmill.core.asyncapi import build_document
from eventmill.core.asyncapi_v3 import build_document_v3
from eventmill.errors import GatewayError, Reason
from eventmill.web.checks import show
from eventmill.web.http import JSON_TYPE, Reply, Request
from eventmill.web.parts import Parts

YAML_TYPE = "application/yaml"

_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
"""In C wherever libyaml came along."""
_VERSIONS = {"2.6.0": build_document, "3.0.0": build_document_v3}


async def get_json(parts: Parts, request: Request) -> Reply:
    return _reply(request, msgspec.json.format(msgspec.json.encode(_document(parts, request)), indent=2), JSON_TYPE)


async def get_yaml(parts: Parts, request: Request) -> Reply:
    # Encoded and decoded, no part of the document is the same object as another, for which YAML would use an alias.
    document = msgspec.json.decode(msgspec.json.encode(_document(parts, request)))
    text = yaml.dump(document, Dumper=_DUMPER, sort_keys=False, allow_unicode=True, width=110)
    return _reply(request, text.encode(), YAML_TYPE)


def _document(parts: Parts, request: Request) -> dict[str, Any]:
    builtin = parts.catalogue.builtin
    if not builtin.providers:
        message = "the built-in catalogue is switched off (EVENTMILL_CATALOG=off), so there is no document of it"
        raise GatewayError(Reason.NOT_FOUND, message)
    version = request.query_value("version") or "2.6.0"
    build = _VERSIONS.get(version)
    if build is None:
        message = f"version must be {' or '.join(_VERSIONS)}, but is {show(version)}"
        raise GatewayError(Reason.INVALID_PARAMETER, message)
    return build(builtin, parts.config.url)


def _reply(request: Request, body: bytes, content_type: str) -> Reply:
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = ((b"etag", tag.encode()), (b"access-control-allow-origin", b"*"))
    known = {each.strip().removeprefix("W/") for each in request.header(b"if-none-match").split(",")}
    if known & {tag, "*"}:
        return Reply(304, headers=headers)
    return Reply(200, body, content_type, headers)
