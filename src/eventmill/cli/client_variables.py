"""What official clients read from their environment, and the `aio` command line from its configuration.

Pure: values in, values out; `environ` is the shell that the variables will be set in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from eventmill.cli.environment import Coordinates
from eventmill.errors import StartupError

_LOCAL = ("localhost", "127.0.0.1", "::1")


def aio_variables(
    environ: Mapping[str, str], *, proxy_url: str, ca_file: str, token: tuple[str, int], hosts: Sequence[str]
) -> dict[str, str]:
    """For the `aio` command line; `token` comes with the milliseconds since the epoch at which it ends."""
    no_proxy = _no_proxy(environ.get("NO_PROXY") or environ.get("no_proxy") or "", hosts)
    variables = {
        "HTTPS_PROXY": proxy_url,
        "NO_PROXY": no_proxy,
        "NODE_EXTRA_CA_CERTS": ca_file,
        "AIO_IMS_CONTEXTS_CLI_ACCESS__TOKEN_TOKEN": token[0],
        "AIO_IMS_CONTEXTS_CLI_ACCESS__TOKEN_EXPIRY": str(token[1]),
    }
    # Both would knock at the proxy for hosts of their own, and wait for nothing.
    variables |= {"AIO_TELEMETRY_DISABLED": "true", "AIO_SKIP_NEW_VERSION_CHECK": "true"}
    # Node's clients prefer the lower-case spelling, so one that is set would win over ours.
    for name in ("HTTPS_PROXY", "NO_PROXY"):
        if environ.get(name.lower()):
            variables[name.lower()] = variables[name]
    return variables


def _no_proxy(given: str, hosts: Sequence[str]) -> str:
    """The given list and this machine, without entries that would lead Adobe's hosts past the proxy."""
    kept = [
        entry
        for entry in re.split(r"[,\s]+", given)
        if entry and entry not in _LOCAL and not any(_bypasses(entry.lower(), host) for host in hosts)
    ]
    return ",".join((*kept, *_LOCAL))


def _bypasses(entry: str, host: str) -> bool:
    suffix = entry.partition(":")[0].lstrip("*").lstrip(".")
    return host == suffix or host.endswith(f".{suffix}") or not suffix


def node_variables(
    environ: Mapping[str, str], *, preload: str, gateway_url: str, coordinates: Coordinates
) -> dict[str, str]:
    """For the JavaScript SDK's signature verifier: where its public keys and its cache of them are."""
    return {
        "NODE_OPTIONS": _node_options(environ.get("NODE_OPTIONS", ""), preload),
        "KEYS_URL": gateway_url,
        "AIO_STATE_ENDPOINT": gateway_url,
        "__OW_NAMESPACE": _namespace(coordinates),
        "__OW_API_KEY": "eventmill:eventmill",
    }


def _node_options(given: str, preload: str) -> str:
    path = preload if re.fullmatch(r"[^\s\"\\]+", preload) else json.dumps(preload, ensure_ascii=False)
    option = f"--require {path}"
    return given if option in given else f"{given} {option}".strip()


def _namespace(coordinates: Coordinates) -> str:
    """`<digits>-<project>-<workspace>`, in the alphabet and lengths that the state library allows."""
    number = re.sub(r"[^0-9]", "", coordinates.organization.id)[:10].zfill(3)
    names = [
        re.sub(r"[^a-z0-9]", "", name.lower())[:20] for name in (coordinates.project.name, coordinates.workspace.name)
    ]
    return "-".join([number, *(name or "eventmill" for name in names)])


def aio_config(coordinates: Coordinates) -> dict[str, Any]:
    """What `aio console … select` and the events plugin would have stored."""
    organization, project, workspace = coordinates.organization, coordinates.project, coordinates.workspace
    credential = coordinates.credential
    return {
        "console": {
            "org": {"id": organization.id, "code": organization.ims_org_id, "name": organization.name},
            "project": {"id": project.id, "name": project.name, "title": project.title or project.name},
            "workspace": {"id": workspace.id, "name": workspace.name},
        },
        "events": {
            "integration": {"id": credential.id, "name": credential.name, "clientId": credential.client_id},
            "workspaceId": workspace.id,
        },
    }


def merge_config(existing: str, ours: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The existing JSON text with our members in it, every other one kept. Raises `StartupError` for other formats."""
    if not existing.strip():
        return dict(ours)
    try:
        merged = json.loads(existing)
    except ValueError:
        merged = None
    if not isinstance(merged, dict):
        raise StartupError(
            f"{name} is not a JSON object, and Hjson and YAML are not rewritten. Write to a new file instead, such as "
            ".aio in the directory you work in; or select with `aio console org|project|workspace select`."
        )
    _merge(merged, ours)
    return merged


def _merge(into: dict[str, Any], ours: Mapping[str, Any]) -> None:
    for key, value in ours.items():
        below = into.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            _merge(below, value)
        else:
            into[key] = value
