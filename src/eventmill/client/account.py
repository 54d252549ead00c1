"""Who a client acts as, and where: Adobe's hosts unless others are named.

`Account.from_env` reads what `eventmill env` prints. Makes no call, and shows no secret when it is printed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from eventmill.client.errors import ClientError

ADOBE_API = "https://api.adobe.io"
ADOBE_INGRESS = "https://eventsingress.adobe.io"
ADOBE_IMS = "https://ims-na1.adobelogin.com"
ADOBE_KEYS = "https://static.adobeioevents.com"
MANAGEMENT_SCOPES = "openid,AdobeID,adobeio_api,read_organizations,additional_info.projectedProductContext"


@dataclass(frozen=True, kw_only=True)
class Account:
    """A credential of a workspace, and the hosts of the service it belongs to."""

    ims_org_id: str
    """`…@AdobeOrg`."""
    client_id: str
    """Sent as `x-api-key`."""
    access_token: str = field(default="", repr=False)
    """A token that is there already; used until it ends or is refused."""
    client_secret: str = field(default="", repr=False)
    """For new tokens (OAuth Server-to-Server, RFC 6749 §4.4); without it the client lives as long as its token."""
    scopes: str = MANAGEMENT_SCOPES
    consumer_org_id: str = ""
    project_id: str = ""
    workspace_id: str = ""
    api_url: str = ADOBE_API
    ingress_url: str = ADOBE_INGRESS
    ims_url: str = ADOBE_IMS
    keys_url: str = ADOBE_KEYS
    journal_hosts: tuple[str, ...] = ()
    """Hosts beside `api_url`'s and those of adobe.io that journal links may lead to: the token goes there."""

    def __post_init__(self) -> None:
        missing = [name for name in ("ims_org_id", "client_id") if not getattr(self, name)]
        if not (self.access_token or self.client_secret):
            missing.append("access_token or client_secret")
        if missing:
            raise ClientError(f"an account needs {', '.join(missing)}")
        for name in ("api_url", "ingress_url", "ims_url", "keys_url"):
            place = urlsplit(getattr(self, name))
            if place.scheme not in ("http", "https") or not place.hostname:
                raise ClientError(f"{name} is {getattr(self, name)!r}; expected something like https://host")

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Account:
        """From `IMS_ORG_ID`, `CLIENT_ID`, `CLIENT_SECRET`, `ACCESS_TOKEN`, `SCOPES`, `CONSUMER_ORG_ID`, `PROJECT_ID`,
        `WORKSPACE_ID`, `API_URL`, `INGRESS_URL`, `IMS_URL`, `KEYS_URL` and `JOURNAL_URL`.

        With `API_URL` the other hosts are a gateway's, without it Adobe's. Raises `ClientError` naming what is missing.
        """
        given = os.environ if environ is None else environ
        names = ("ims_org_id", "client_id", "access_token", "client_secret", "scopes")
        places = ("consumer_org_id", "project_id", "workspace_id")
        who = {name: given[name.upper()].strip() for name in (*names, *places) if given.get(name.upper(), "").strip()}
        for name in ("ims_org_id", "client_id"):
            if name not in who:
                raise ClientError(f'{name.upper()} is not set; for a gateway on this machine: eval "$(eventmill env)"')
        base = given.get("API_URL", "").rstrip("/")
        hosts = {"api_url": base, "ingress_url": f"{base}/ingress", "ims_url": base, "keys_url": base} if base else {}
        hosts |= {
            name: given[name.upper()] for name in ("ingress_url", "ims_url", "keys_url") if given.get(name.upper())
        }
        journal = given.get("JOURNAL_URL", "")
        return cls(**who, **hosts, journal_hosts=(journal,) if journal else ())
