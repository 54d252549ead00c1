"""GET /asyncapi/catalog.json and .yaml: the events of the catalogue as an AsyncAPI document, for people and for tools.

Open to everybody and to web pages of any origin, as it says nothing that its file or the sources do not. Each text is
made once: YAML takes tens of milliseconds, in which nobody could publish.
"""

from __future__ import annotations

from typing import Any

import msgspec

from eventmill.core.asyncapi import build_document
from eventmill.core.asyncapi_v3 import build_document_v3
from eventmill.errors import GatewayError, Reason
from eventmill.web.checks import show
from eventmill.web.documents import document_reply
from eventmill.web.http import JSON_TYPE, Reply, Request
from eventmill.web.parts import Parts

YAML_TYPE = "application/yaml"

_VERSIONS = {"2.6.0": build_document, "3.0.0": build_document_v3}


async def get_json(parts: Parts, request: Request) -> Reply:
    return _reply(parts, request, JSON_TYPE)


async def get_yaml(parts: Parts, request: Request) -> Reply:
    return _reply(parts, request, YAML_TYPE)


def _reply(parts: Parts, request: Request, content_type: str) -> Reply:
    version = _asked_version(parts, request)

    def make() -> bytes:
        return _make_body(parts, version, content_type)

    return document_reply(parts, request, f"asyncapi {version}", content_type, make)


def _asked_version(parts: Parts, request: Request) -> str:
    if not parts.catalogue.builtin.providers:
        message = "the built-in catalogue is switched off (EVENTMILL_CATALOG=off), so there is no document of it"
        raise GatewayError(Reason.NOT_FOUND, message)
    return read_version(request)


def read_version(request: Request) -> str:
    version = request.query_value("version")
    if version is None:
        version = "2.6.0"
    if version not in _VERSIONS:
        message = f"version must be {' or '.join(_VERSIONS)}, but is {show(version)}"
        raise GatewayError(Reason.INVALID_PARAMETER, message)
    return version


def _make_body(parts: Parts, version: str, content_type: str) -> bytes:
    return encode_document(_VERSIONS[version](parts.catalogue.builtin, parts.config.url), content_type)


def encode_document(document: dict[str, Any], content_type: str) -> bytes:
    text = msgspec.json.encode(document)
    if content_type == YAML_TYPE:
        import yaml  # seldom asked for, and half of what the start of a gateway would spend on imports of this layer

        dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # in C wherever libyaml came along
        # Decoded again, no part of the document is the same object as another, for which YAML would use an alias.
        plain = msgspec.json.decode(text)
        return yaml.dump(plain, Dumper=dumper, sort_keys=False, allow_unicode=True, width=110).encode()
    return msgspec.json.format(text, indent=2)
