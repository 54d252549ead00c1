"""Calls in the name of an account: its headers, a token that is got or renewed when needed, refusals as messages.

Works with any service that speaks the contract; ids that nobody gave are looked up where there is a Console API.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import click
import msgspec

from eventmill.cli.account import Account, Named, is_adobe, read_account
from eventmill.cli.remote import (
    CONSOLE_API_KEY,
    Failed,
    Refused,
    Remote,
    accepted,
    needs_eventmill,
    read_token,
    store_option,
)
from eventmill.cli.wire import TIMEOUT_S, Reply, Wire
from eventmill.errors import StartupError

JSON_TYPE = "application/json"
JSON_PATCH = "application/json-patch+json"


class Session:
    """One account and the connections that its calls go over."""

    def __init__(self, account: Account, named: Named) -> None:
        self._account = account
        self.named = named
        self._is_complete = False
        self._token = account.access_token
        self.wire = Wire()

    @property
    def account(self) -> Account:
        """With every id; asks the Console API for those that are not known."""
        if not self._is_complete:
            self._account = _complete(self._account, self.named, self.token)
            self._is_complete = True
        return self._account

    @property
    def org_path(self) -> str:
        return f"/events/{quote(self.account.consumer_org_id, safe='')}"

    @property
    def workspace_path(self) -> str:
        account = self.account
        return f"{self.org_path}/{quote(account.project_id, safe='')}/{quote(account.workspace_id, safe='')}"

    @property
    def token(self) -> str:
        if not self._token:
            self._renew_token()
        return read_token(self._token)

    def check_eventmill(self, what: str) -> None:
        """Raises `StartupError` where Adobe's service is meant, which does not know `what`."""
        if is_adobe(self._account.api_url):
            raise needs_eventmill(what, self._account.api_url)

    def url(self, path: str) -> str:
        return self._account.api_url + path

    def local(self, href: str) -> str:
        """A link of the gateway's as it is reached from here."""
        public = self._account.public_url
        if public and (href == public or href.startswith(f"{public}/")):
            return self._account.api_url + href[len(public) :]
        return href

    def call(self, method: str, path: str, body: object = None, media_type: str = JSON_TYPE) -> Any:
        """The parsed JSON of a successful answer, None where there is no content. `path` may be a URL.

        Raises `Refused`, and `NoAnswer`.
        """
        payload = None if body is None else json.dumps(body).encode()
        headers = {"accept": JSON_TYPE} | ({} if body is None else {"content-type": media_type})
        url = path if "://" in path else self.url(path)
        return accepted(url, self.send(method, url, headers, payload))

    def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None, timeout_s: float = TIMEOUT_S
    ) -> Reply:
        """Any answer, whatever its status. An expired token is renewed, once."""
        reply = self.wire.send(method, url, self._headers(headers), body, timeout_s)
        if reply.status == 401 and self._can_renew:
            self._renew_token()
            reply = self.wire.send(method, url, self._headers(headers), body, timeout_s)
        return reply

    def _headers(self, more: Mapping[str, str]) -> dict[str, str]:
        account = self.account
        return {
            "authorization": f"Bearer {self.token}",
            "x-api-key": account.client_id or CONSOLE_API_KEY,
            "x-ims-org-id": account.ims_org_id,
            **more,
        }

    @property
    def _can_renew(self) -> bool:
        return bool(self._account.client_id and self._account.client_secret)

    def _renew_token(self) -> None:
        """By the credential's own id and secret: OAuth server-to-server."""
        account = self._account
        if not self._can_renew:
            raise StartupError(
                "there is no access token: set ACCESS_TOKEN, or CLIENT_ID and CLIENT_SECRET to get one with, or say "
                "--token"
            )
        url = f"{account.ims_url}/ims/token/v3?{urlencode({'client_id': account.client_id})}"
        form = {"grant_type": "client_credentials", "client_secret": account.client_secret, "scope": account.scopes}
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": JSON_TYPE}
        reply = self.wire.send("POST", url, headers, urlencode(form).encode())
        told = reply.json()
        if reply.status != 200 or not isinstance(told, dict) or not isinstance(told.get("access_token"), str):
            why = told.get("error_description") or told.get("message") or told.get("error") if told else None
            raise Failed(f"{account.ims_url} gave no token for client {account.client_id}: {why or reply.status}")
        self._token = told["access_token"]


def eventmill_only(command: Callable[..., None]) -> Callable[..., None]:
    """For commands below `session_options` that Adobe's service knows nothing of: they say so, and send nothing."""

    @functools.wraps(command)
    def with_check(*args: Any, session: Session, **options: Any) -> None:
        session.check_eventmill(f"`{click.get_current_context().command_path}`")
        command(*args, session=session, **options)

    return with_check


def _complete(account: Account, named: Named, token: str) -> Account:
    """With the ids that flags name, and those that were missing."""
    asked = named.org or named.project or named.workspace
    wanted = (account.consumer_org_id, account.project_id, account.workspace_id, account.ims_org_id)
    if (all(wanted) and not asked) or (asked and _names_its_own(account, named)):
        return account
    from eventmill.cli.places import find_org, find_workspace, list_credentials

    remote = Remote(account.api_url, token)
    try:
        org = find_org(remote, named.org or account.consumer_org_id or None)
        project = named.project or (account.project_id if not named.workspace else None)
        workspace = named.workspace or (account.workspace_id if not named.project else None)
        parent, place = find_workspace(remote, str(org["id"]), project or None, workspace or None)
        credentials = [] if account.client_id else list_credentials(remote, parent, place)
    except Refused as refused:
        raise StartupError(
            f"which workspace? Set IMS_ORG_ID, CONSUMER_ORG_ID, PROJECT_ID, WORKSPACE_ID and CLIENT_ID, as `eventmill "
            f"env` prints them, or say --console-file ({account.api_url}: {refused.message})"
        ) from None
    finally:
        remote.close()
    return msgspec.structs.replace(
        account,
        ims_org_id=str(org["code"]),
        consumer_org_id=str(org["id"]),
        project_id=str(parent["id"]),
        workspace_id=str(place["id"]),
        client_id=account.client_id or (str(credentials[0]["client_id"]) if credentials else ""),
    )


def _names_its_own(account: Account, named: Named) -> bool:
    pairs = (
        (named.org, (account.consumer_org_id, account.ims_org_id)),
        (named.project, (account.project_id,)),
        (named.workspace, (account.workspace_id,)),
    )
    return all(given is None or given in own for given, own in pairs)


_OPTIONS = (
    click.option("--workspace", metavar="ID", help="Workspace to work in.  [default: the account's]"),
    click.option("--project", metavar="PROJECT", help="Project that it is in.  [default: the account's]"),
    click.option("--org", metavar="ORG", help="Organization that it is in.  [default: the account's]"),
    click.option(
        "--console-file",
        metavar="FILE",
        help="Act with the credential of this file, which the Developer Console gives for download.",
    ),
    click.option("--url", metavar="URL", help="URL of the gateway.  [default: $API_URL, else the one on this machine]"),
    click.option("--token", metavar="TOKEN", envvar="EVENTMILL_TOKEN", help="Access token.  [default: the account's]"),
    click.option("--data", metavar="DIR", help="Data directory of the gateway on this machine.  [default: .eventmill]"),
    store_option,
    click.option("--port", type=int, help="Port of the gateway on this machine.  [default: 8080]"),
)


def session_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options that say who acts, and where; hands the `Session` over as `session`."""

    @functools.wraps(command)
    def with_session(*args: Any, **options: Any) -> None:
        named = Named(**{name: options.pop(name) for name in Named.__struct_fields__})
        session = Session(read_account(named), named)
        try:
            command(*args, session=session, **options)
        finally:
            session.wire.close()

    for option in reversed(_OPTIONS):
        with_session = option(with_session)
    return with_session
