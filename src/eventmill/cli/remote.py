"""Calls the management API of a running gateway for the command line, and turns its refusals into messages.

Without a token it signs in as the operator, which the gateway's data directory allows; it never reads tenants itself.
"""

from __future__ import annotations

import base64
import functools
import json
import os
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from eventmill.cli.account import is_adobe
from eventmill.cli.wire import Reply, Wire, local_url, read_place
from eventmill.errors import StartupError

if TYPE_CHECKING:
    from eventmill.config import Config

store_option = click.option(
    "--store", metavar="URL", help="postgresql://... of the gateway, if that is where its data are."
)
CONSOLE_API_KEY = "aio-cli-console-auth"
"""What the official command line sends to the Console API; any bearer may use it there."""
_TOKEN = re.compile(r"[\x21-\x7e]+")
_SHOWN_BYTES = 500


class Failed(click.ClickException):
    """What was asked for cannot be done: one line, exit code 1."""

    def show(self, file: Any = None) -> None:
        click.echo(f"eventmill: {self.message}", err=True)


class Refused(Failed):
    """The gateway answered, and said no, in its own words."""

    def __init__(self, message: str, status: int, reason: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        """The gateway's code, such as `not_found`; empty when something else answered."""


class Remote:
    """One gateway, one token, and the connection that calls go over."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        read_place(self.url)
        if is_adobe(self.url):
            raise needs_eventmill("this command", self.url)
        token = read_token(token)
        self._wire = Wire()
        self._headers = {"authorization": f"Bearer {token}", "accept": "application/json"}
        api_key = _api_key(token)
        if api_key:
            self._headers["x-api-key"] = api_key

    @classmethod
    def of(
        cls, url: str | None, token: str | None, data: str | None, port: int | None, store: str | None = None
    ) -> Remote:
        """The gateway at `url`, else the one that the variables of `eventmill env` name, else the one of this machine;
        with `token`, else as the operator, where that is possible.

        Raises `StartupError` when neither a token nor a data directory or database to make one from is there, or when
        the operator there is nobody at `url`.
        """
        from eventmill.config_sources import load_config

        config = load_config({"data": data, "port": port, "store": store}, os.environ)
        if not any((url, token, data, port, store)) and (elsewhere := _from_variables(config)) is not None:
            return cls(*elsewhere)
        if token is None:
            from eventmill.cli.environment import mint_admin_token

            if url is not None:
                _check_own(url, config)
            token = mint_admin_token(config)
        return cls(url or local_url(config), token)

    def headers(self, org: str | None = None) -> dict[str, str]:
        """Who asks, and for which IMS organization: what every request to the gateway carries."""
        return dict(self._headers) if org is None else {**self._headers, "x-ims-org-id": org}

    def call(self, method: str, path: str, body: object = None, org: str | None = None) -> tuple[int, Any]:
        """Status and the parsed JSON, None when there is no content. `org`: IMS organization id to act for.

        Raises `Refused` for every status from 300 on and for what is no JSON, `NoAnswer` when no gateway answers.
        """
        headers = self.headers(org)
        payload = None
        if body is not None:
            headers["content-type"] = "application/json"
            payload = json.dumps(body).encode()
        reply = self._wire.send(method, self.url + path, headers, payload)
        return reply.status, accepted(self.url, reply)

    def close(self) -> None:
        self._wire.close()


def needs_eventmill(what: str, url: str) -> StartupError:
    return StartupError(
        f"{what} needs an Eventmill gateway, and {url} is Adobe's service. That knows: provider, eventmetadata, "
        "registration, publish --mode structured, journal read, journal tail, filter validate, listen"
    )


def accepted(where: str, reply: Reply) -> Any:
    """What a successful answer from `where` says, None when there is no content. Raises `Refused`."""
    parsed = reply.json()
    if reply.status < HTTPStatus.MULTIPLE_CHOICES and (parsed is not None or reply.status == HTTPStatus.NO_CONTENT):
        return parsed
    message = parsed.get("message") if isinstance(parsed, dict) else None
    if not isinstance(message, str):
        text = " ".join(reply.body[:_SHOWN_BYTES].decode("utf-8", "replace").split())
        told = f": {text}" if text else ""
        raise Refused(
            f"{where} answered with status {reply.status}, and not as a gateway would{told}", reply.status, ""
        )
    said = message.replace("?force=true", "--force")  # the flag of the commands that have that parameter
    raise Refused(said, reply.status, str(parsed.get("reason", parsed.get("error_code", ""))))


def read_token(text: str) -> str:
    """An access token fit for a header. Raises `StartupError`, which does not show it."""
    token = text.strip()
    if not _TOKEN.fullmatch(token):
        raise StartupError("the access token is not one: it must be a single word of printable ASCII characters")
    return token


def _from_variables(config: Config) -> tuple[str, str] | None:
    """URL and token that `eventmill env` printed; None when they are of this machine's gateway: it has an operator."""
    url, token = os.environ.get("API_URL", ""), os.environ.get("ACCESS_TOKEN", "")
    if not url or not token:
        return None
    is_own = read_place(url).netloc in (urlsplit(config.url).netloc, urlsplit(local_url(config)).netloc)
    return None if is_own and (config.store or os.path.isdir(config.data)) else (url, token)


def _check_own(url: str, config: Config) -> None:
    """Whoever gets an operator's token is the operator: it goes to no other gateway than its own."""
    from eventmill.config import is_loopback
    from eventmill.store.open import place_of

    place = read_place(url)
    if not is_loopback(place.hostname or "") and place.netloc != urlsplit(config.url).netloc:
        raise StartupError(
            f"{url} is another machine's: say with --token who you are there. "
            f"If it is the gateway of {place_of(config)}, set EVENTMILL_BASE_URL to that URL."
        )


def _api_key(token: str) -> str:
    """The api key to send with a token: its client; none with the operator's, which needs none."""
    from eventmill.web.tokens import ADMIN_SCOPE

    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        if ADMIN_SCOPE in str(claims.get("scope", "")).replace(",", " ").split():
            return ""
        return str(claims.get("client_id") or CONSOLE_API_KEY)
    except (IndexError, ValueError, AttributeError):
        return CONSOLE_API_KEY


def remote_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds --url, --token, --data and --port to a command and hands it the `Remote` they name as `remote`."""

    @click.option("--url", metavar="URL", help="URL of the gateway.  [default: $API_URL, else this machine's]")
    @click.option(
        "--token",
        metavar="TOKEN",
        envvar="EVENTMILL_TOKEN",
        help="Access token.  [default: made from the data directory or database]",
    )
    @click.option("--data", metavar="DIR", help="Data directory of the gateway.  [default: .eventmill]")
    @store_option
    @click.option("--port", type=int, help="Port of the gateway on this machine.  [default: 8080]")
    @functools.wraps(command)
    def with_remote(
        *args: Any,
        url: str | None,
        token: str | None,
        data: str | None,
        store: str | None,
        port: int | None,
        **options: Any,
    ) -> None:
        remote = Remote.of(url, token, data, port, store)
        try:
            command(*args, remote=remote, **options)
        finally:
            remote.close()

    return with_remote
