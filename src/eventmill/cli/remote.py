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
from urllib.parse import SplitResult, urlsplit

import click

from eventmill.errors import StartupError

if TYPE_CHECKING:
    from http.client import HTTPConnection

    from eventmill.config import Config

store_option = click.option(
    "--store", metavar="URL", help="postgresql://... of the gateway, if that is where its data are."
)
CONSOLE_API_KEY = "aio-cli-console-auth"
"""What the official command line sends to the Console API; any bearer may use it there."""
_TIMEOUT_S = 60.0
_TOKEN = re.compile(r"[\x21-\x7e]+")
_ANSWER_BYTES_MAX = 64 * 1024 * 1024


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
    """One gateway and one token. A connection per call: commands make a few calls and end."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self._place = _place(self.url)
        token = token.strip()
        if not _TOKEN.fullmatch(token):  # not shown: it may be a token with something amiss
            raise StartupError("the access token is not one: it must be a single word of printable ASCII characters")
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

        Raises `Refused` for every status from 300 on and for what is no JSON, `StartupError` when no gateway answers.
        """
        headers = self.headers(org)
        payload = None
        if body is not None:
            headers["content-type"] = "application/json"
            payload = json.dumps(body).encode()
        status, content_type, raw = self._exchange(method, path, payload, headers)
        parsed = _parse(content_type, raw)
        if status >= 300 or (parsed is None and status != HTTPStatus.NO_CONTENT):
            raise _refused(self.url, status, parsed)
        return status, parsed

    def _exchange(
        self, method: str, path: str, payload: bytes | None, headers: dict[str, str]
    ) -> tuple[int, str, bytes]:
        from http.client import HTTPException, InvalidURL

        try:
            connection = self._connect()
        except InvalidURL:
            raise _no_url(self.url) from None
        try:
            connection.request(method, self._place.path + path, payload, headers)
            response = connection.getresponse()
            return response.status, response.getheader("content-type") or "", response.read(_ANSWER_BYTES_MAX)
        except (InvalidURL, UnicodeError):
            raise _no_url(self.url) from None
        except (OSError, HTTPException) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise StartupError(
                f"no gateway answers at {self.url} ({why}); "
                "start one with: eventmill serve (--dev to try things out), or name another with "
                "--url, --port or --data"
            ) from error
        finally:
            connection.close()

    def _connect(self) -> HTTPConnection:
        from http.client import HTTPConnection, HTTPSConnection

        kind = HTTPSConnection if self._place.scheme == "https" else HTTPConnection
        return kind(self._place.hostname or "", self._place.port, timeout=_TIMEOUT_S)


def _from_variables(config: Config) -> tuple[str, str] | None:
    """URL and token that `eventmill env` printed; None when they are of this machine's gateway: it has an operator."""
    url, token = os.environ.get("API_URL", ""), os.environ.get("ACCESS_TOKEN", "")
    if not url or not token:
        return None
    is_own = _place(url).netloc in (urlsplit(config.url).netloc, urlsplit(local_url(config)).netloc)
    return None if is_own and (config.store or os.path.isdir(config.data)) else (url, token)


def _place(url: str) -> SplitResult:
    try:
        place = urlsplit(url)
        if place.scheme in ("http", "https") and place.hostname and place.port != 0:
            return place
    except ValueError:
        pass
    raise _no_url(url)


def _no_url(url: str) -> StartupError:
    return StartupError(f"{url!r} is not the URL of a gateway; expected something like http://127.0.0.1:8080")


def _check_own(url: str, config: Config) -> None:
    """Whoever gets an operator's token is the operator: it goes to no other gateway than its own."""
    from eventmill.config import is_loopback
    from eventmill.store.open import place_of

    place = _place(url)
    if not is_loopback(place.hostname or "") and place.netloc != urlsplit(config.url).netloc:
        raise StartupError(
            f"{url} is another machine's: say with --token who you are there. "
            f"If it is the gateway of {place_of(config)}, set EVENTMILL_BASE_URL to that URL."
        )


def local_url(config: Config) -> str:
    """Not the public base URL: that may lead through a proxy which only the outside can reach."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(config.host, config.host)  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{config.port}"


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


def _parse(content_type: str, raw: bytes) -> Any:
    if "json" not in content_type or not raw:
        return None
    try:
        return json.loads(raw)
    except ValueError:
        return None


def _refused(url: str, status: int, parsed: Any) -> Refused:
    message = parsed.get("message") if isinstance(parsed, dict) else None
    if not isinstance(message, str):
        return Refused(f"{url} answered with status {status}, and not as a gateway would", status, "")
    return Refused(message, status, str(parsed.get("reason", "")))


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
        command(*args, remote=Remote.of(url, token, data, port, store), **options)

    return with_remote
