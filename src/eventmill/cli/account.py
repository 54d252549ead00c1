"""Who a command acts as, and where: hosts, ids and a credential, from flags, variables or the gateway's data directory.

A credential of one workspace, so everything that uses it works with Adobe's service as well. Makes no call.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from eventmill.errors import StartupError

ADOBE_API = "https://api.adobe.io"
ADOBE_INGRESS = "https://eventsingress.adobe.io"
ADOBE_IMS = "https://ims-na1.adobelogin.com"
ADOBE_KEYS = "https://static.adobeioevents.com"

_MANAGEMENT_SCOPES = "openid,AdobeID,adobeio_api,read_organizations,additional_info.projectedProductContext"


def is_adobe(url: str) -> bool:
    """Whether Adobe's own service is at the URL."""
    return (urlsplit(url).hostname or "").endswith(".adobe.io")


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """What `eventmill env` prints; empty where it is not known."""

    api_url: str
    ingress_url: str
    ims_url: str
    keys_url: str = ""
    ims_org_id: str = ""
    consumer_org_id: str = ""
    project_id: str = ""
    workspace_id: str = ""
    client_id: str = ""
    client_secret: str = ""
    scopes: str = _MANAGEMENT_SCOPES
    access_token: str = ""
    public_url: str = ""
    """What the links of a gateway on this machine begin with, in place of `api_url`."""


class Named(msgspec.Struct, frozen=True):
    """What the flags of a command say; None: not given."""

    url: str | None = None
    token: str | None = None
    data: str | None = None
    store: str | None = None
    port: int | None = None
    console_file: str | None = None
    org: str | None = None
    project: str | None = None
    workspace: str | None = None


def find_account(named: Named, environ: Mapping[str, str]) -> Account:
    """The first of these that is there: the console's file; the URL of a gateway; the variables of `eventmill env`
    (unless a data directory, database or port is given); the data directory of the gateway on this machine.

    Raises `StartupError` naming what is missing and the remedy.
    """
    if named.console_file is not None:
        found = _from_console_file(named.console_file, environ)
    elif named.url is not None:
        found = _from_url(named.url, named, environ)
    elif not any(_place(named).values()) and environ.get("API_URL"):
        found = _from_variables(environ["API_URL"], environ)
    else:
        found = _from_data_directory(named, environ)
    if named.token is not None:
        found = msgspec.structs.replace(found, access_token=named.token.strip(), client_secret="")
    return found


def _place(named: Named) -> dict[str, Any]:
    """The flags that say where a gateway of this machine has its data, and where it listens."""
    return {"data": named.data, "store": named.store, "port": named.port}


def _from_variables(api_url: str, environ: Mapping[str, str]) -> Account:
    """Hosts that no variable names are those of one gateway."""
    base = api_url.rstrip("/")
    members = ("ims_org_id", "consumer_org_id", "project_id", "workspace_id", "client_id", "client_secret")
    given = {name: environ.get(name.upper(), "").strip() for name in (*members, "access_token")}
    return Account(
        api_url=base,
        ingress_url=environ.get("INGRESS_URL") or f"{base}/ingress",
        ims_url=(environ.get("IMS_URL") or base).rstrip("/"),
        keys_url=(environ.get("KEYS_URL") or base).rstrip("/"),
        scopes=environ.get("SCOPES") or _MANAGEMENT_SCOPES,
        **given,
    )


def _from_url(url: str, named: Named, environ: Mapping[str, str]) -> Account:
    """Another gateway than the variables' gets nothing of what is theirs."""
    if environ.get("API_URL", "").rstrip("/") == url.rstrip("/"):
        return _from_variables(url, environ)
    hosts = _from_variables(url, {})
    if named.token is not None:
        return hosts
    own = _from_data_directory(named, environ)
    _check_own(url, named, environ)
    return msgspec.structs.replace(
        own, api_url=hosts.api_url, ingress_url=hosts.ingress_url, ims_url=hosts.ims_url, keys_url=hosts.keys_url
    )


def _check_own(url: str, named: Named, environ: Mapping[str, str]) -> None:
    """A token goes to no other gateway than the one that will take it."""
    from eventmill.cli.wire import read_place
    from eventmill.config import is_loopback
    from eventmill.config_sources import load_config

    config = load_config(_place(named), environ)
    place = read_place(url)
    if not is_loopback(place.hostname or "") and place.netloc != read_place(config.url).netloc:
        raise StartupError(
            f"{url} is another machine's: say with --token who you are there, or set the variables that "
            "`eventmill env` prints there"
        )


def _from_data_directory(named: Named, environ: Mapping[str, str]) -> Account:
    from eventmill.cli.environment import read_environment
    from eventmill.cli.wire import local_url
    from eventmill.config_sources import load_config

    config = load_config(_place(named), environ)
    values = read_environment(config, named.workspace)
    members = ("ims_org_id", "consumer_org_id", "project_id", "workspace_id", "client_id", "client_secret")
    base = local_url(config)
    return Account(
        api_url=base,
        ingress_url=f"{base}/ingress",
        ims_url=base,
        keys_url=base,
        access_token=values["access_token"],
        public_url=config.url.rstrip("/"),
        **{name: values[name] for name in members},
    )


def _from_console_file(path: str, environ: Mapping[str, str]) -> Account:
    """The Developer Console's download: ids, client id, secret. The hosts are Adobe's, unless variables name others."""
    try:
        project = json.loads(Path(path).read_text("utf-8"))["project"]
        org, workspace = project["org"], project["workspace"]
        ids = {
            "ims_org_id": str(org["ims_org_id"]),
            "consumer_org_id": str(org["id"]),
            "project_id": str(project["id"]),
            "workspace_id": str(workspace["id"]),
        }
        credentials = workspace["details"]["credentials"]
    except OSError as error:
        raise StartupError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError):
        raise StartupError(
            f"{path} is not the file that the Developer Console (or `eventmill workspace download`) gives"
        ) from None
    oauth = _find_oauth(credentials, path)
    return Account(
        api_url=(environ.get("API_URL") or ADOBE_API).rstrip("/"),
        ingress_url=environ.get("INGRESS_URL") or ADOBE_INGRESS,
        ims_url=(environ.get("IMS_URL") or ADOBE_IMS).rstrip("/"),
        keys_url=(environ.get("KEYS_URL") or ADOBE_KEYS).rstrip("/"),
        **ids,
        client_id=str(oauth["client_id"]),
        client_secret=str((oauth.get("client_secrets") or [""])[0]),
        scopes=",".join(oauth.get("scopes") or ()) or _MANAGEMENT_SCOPES,
    )


def _find_oauth(credentials: Any, path: str) -> Mapping[str, Any]:
    for each in credentials if isinstance(credentials, list) else ():
        found = each.get("oauth_server_to_server") if isinstance(each, dict) else None
        if isinstance(found, dict) and "client_id" in found:
            return found
    raise StartupError(f"{path} has no OAuth server-to-server credential; add one to the workspace, and download again")


def read_account(named: Named) -> Account:
    """As `find_account`, of this process."""
    return find_account(named, os.environ)
