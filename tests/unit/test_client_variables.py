"""`cli.client_variables` and `cli.login`: what official clients are told, and what is kept of what they had."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from eventmill.cli.client_variables import aio_config, aio_variables, merge_config, node_variables
from eventmill.cli.environment import Coordinates
from eventmill.cli.login import LoginRequest, find_login_request
from eventmill.config import ADOBE_HOSTS
from eventmill.errors import StartupError
from eventmill.model import Credential, Organization, OrgId, Project, Workspace

ORG = OrgId("1001")
STATE_NAMESPACE = r"(development-)?([0-9]{3,10})-([a-z0-9]{1,20})(-([a-z0-9]{1,20}))?"
"""What `@adobe/aio-lib-state` takes for a namespace."""


def coordinates(org_id: str = "1001", project: str = "Shop", workspace: str = "Stage") -> Coordinates:
    org = OrgId(org_id)
    return Coordinates(
        organization=Organization(id=org, ims_org_id="ABC@AdobeOrg", name="Acme"),
        project=Project(id="2001", org=org, name=project),
        workspace=Workspace(id="3001", org=org, project_id="2001", name=workspace),
        credential=Credential(
            id="4001",
            org=org,
            project_id="2001",
            workspace_id="3001",
            name="Cred",
            client_id="5c1d",
            sealed_secret="",
        ),
    )


def for_aio(**environ: str) -> dict[str, str]:
    return aio_variables(
        environ, proxy_url="http://127.0.0.1:8888", ca_file="/d/ca.pem", token=("a.b.c", 1700), hosts=ADOBE_HOSTS
    )


def for_node(options: str = "", preload: str = "/p/preload.cjs", **names: str) -> dict[str, str]:
    return node_variables(
        {"NODE_OPTIONS": options},
        preload=preload,
        gateway_url="http://127.0.0.1:8080",
        coordinates=coordinates(**names),
    )


def test_the_variables_of_aio() -> None:
    """Proxy, authority, token with its end in milliseconds, and this machine kept away from the proxy."""
    assert for_aio() == {
        "HTTPS_PROXY": "http://127.0.0.1:8888",
        "NO_PROXY": "localhost,127.0.0.1,::1",
        "NODE_EXTRA_CA_CERTS": "/d/ca.pem",
        "AIO_IMS_CONTEXTS_CLI_ACCESS__TOKEN_TOKEN": "a.b.c",
        "AIO_IMS_CONTEXTS_CLI_ACCESS__TOKEN_EXPIRY": "1700",
        "AIO_TELEMETRY_DISABLED": "true",
        "AIO_SKIP_NEW_VERSION_CHECK": "true",
    }


def test_lower_case_variables_that_are_set_are_replaced_too() -> None:
    """Clients prefer the lower-case spelling; a company proxy in it would otherwise win."""
    variables = for_aio(https_proxy="http://corp:3128", no_proxy="corp.example")

    assert variables["https_proxy"] == variables["HTTPS_PROXY"] == "http://127.0.0.1:8888"
    assert variables["no_proxy"] == variables["NO_PROXY"] == "corp.example,localhost,127.0.0.1,::1"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("corp.example, 10.0.0.1 .intern:8443", "corp.example,10.0.0.1,.intern:8443,"),
        ("*", ""),
        (".adobe.io,corp.example", "corp.example,"),
        ("adobe.io,*.adobe.com,API.adobe.io:443,example.adobe.io.test", "example.adobe.io.test,"),
        ("localhost,127.0.0.1", ""),
        ("io", ""),
    ],
)
def test_no_proxy_keeps_what_does_no_harm(given: str, kept: str) -> None:
    """The shell's own exceptions stay, except those that would lead Adobe's hosts past the proxy."""
    assert for_aio(NO_PROXY=given)["NO_PROXY"] == f"{kept}localhost,127.0.0.1,::1"


def test_the_variables_of_node() -> None:
    """Everything that the signature verifier insists on."""
    variables = for_node()

    assert variables["NODE_OPTIONS"] == "--require /p/preload.cjs"
    assert variables["KEYS_URL"] == variables["AIO_STATE_ENDPOINT"] == "http://127.0.0.1:8080"
    assert variables["__OW_NAMESPACE"] == "1001-shop-stage"
    assert variables["__OW_API_KEY"]


def test_node_options_are_added_to() -> None:
    """What was there stays, a second call adds nothing, and a path with spaces is quoted as Node reads it."""
    once = for_node("--max-old-space-size=512")["NODE_OPTIONS"]

    assert once == "--max-old-space-size=512 --require /p/preload.cjs"
    assert for_node(once)["NODE_OPTIONS"] == once
    assert for_node(preload="/a b/p.cjs")["NODE_OPTIONS"] == '--require "/a b/p.cjs"'


@pytest.mark.parametrize(
    "names",
    [
        {},
        {"org_id": "7"},
        {"org_id": "123456789012345"},
        {"org_id": "no-digits"},
        {"project": "Ünïcode & spaces, and much too long for it", "workspace": "日本"},
    ],
)
def test_every_tenant_has_a_namespace(names: dict[str, str]) -> None:
    """Whatever the names, the state library takes the namespace."""
    assert re.fullmatch(STATE_NAMESPACE, for_node(**names)["__OW_NAMESPACE"])


def test_the_config_of_aio() -> None:
    """Organisation, project, workspace and integration as the CLI stores them after a selection."""
    assert aio_config(coordinates()) == {
        "console": {
            "org": {"id": "1001", "code": "ABC@AdobeOrg", "name": "Acme"},
            "project": {"id": "2001", "name": "Shop", "title": "Shop"},
            "workspace": {"id": "3001", "name": "Stage"},
        },
        "events": {"integration": {"id": "4001", "name": "Cred", "clientId": "5c1d"}, "workspaceId": "3001"},
    }


def test_other_members_stay() -> None:
    """Tokens and settings of the user's own are kept; what we know is replaced."""
    existing: dict[str, Any] = {
        "ims": {"contexts": {"cli": {"access_token": {"token": "t"}}}},
        "console": {"org": {"id": "old", "code": "old", "name": "old"}, "extra": 1},
    }

    merged = merge_config(json.dumps(existing), aio_config(coordinates()), ".aio")

    assert merged["ims"] == existing["ims"]
    assert merged["console"]["extra"] == 1
    assert merged["console"]["org"]["id"] == "1001"


@pytest.mark.parametrize("existing", ["", " \n"])
def test_an_empty_config(existing: str) -> None:
    """A new file and an empty one are the same."""
    assert merge_config(existing, {"a": 1}, ".aio") == {"a": 1}


@pytest.mark.parametrize("existing", ["{\n  console: {\n    org: x\n  }\n}", "console:\n  org: x\n", "[]", "{", "1"])
def test_a_config_that_is_no_json_object(existing: str) -> None:
    """Hjson and YAML are not rewritten; the message names the file and two ways on."""
    with pytest.raises(StartupError, match=r"my\.aio is not a JSON object.*new file.*select"):
        merge_config(existing, {}, "my.aio")


LOGIN = "https://aio-login.adobeioruntime.net/api/v1/web/default/applogin?id=1a2b3c4d&port=54321&redirect_uri=https%3A%2F%2Fx"


@pytest.mark.parametrize(
    "lines",
    [
        [LOGIN],
        ["- Visit this url to log in:\n", f"{LOGIN}\n", "- Waiting for browser login...\n"],
        ["see https://example.com/a?port=1 first\n", f"  {LOGIN}\n"],
        ["https://ims.example/logout?redirect_uri=https%3A%2F%2Faio-login.example%2Fl%3Fport%3D54321%26id%3D1a2b3c4d"],
    ],
)
def test_the_login_url_is_found(lines: list[str]) -> None:
    """As an argument, in the command's output, and inside the logout URL of a forced login."""
    assert find_login_request(lines) == LoginRequest(54321, "1a2b3c4d")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "https://example.com/",
        LOGIN.replace("54321", "0"),
        LOGIN.replace("54321", "70000"),
        LOGIN.replace("54321", "x"),
        LOGIN.replace("1a2b3c4d", ""),
        "https://[broken?id=1&port=2",
    ],
)
def test_what_is_no_login_url(text: str) -> None:
    """The message shows what one looks like."""
    with pytest.raises(StartupError, match=r"applogin\?id="):
        find_login_request([text])
