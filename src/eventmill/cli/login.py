"""`eventmill login`: completes `aio login --no-open`, in the place of the browser page that would post the token."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import parse_qs, urlencode, urlsplit

import click

from eventmill.cli.remote import store_option
from eventmill.errors import StartupError

_URL = re.compile(r"https?://[^\s\"'<>]+")
_ANSWER_BYTES_MAX = 64 * 1024
_TIMEOUT_S = 10.0


class LoginRequest(NamedTuple):
    """Where the waiting command listens, and the word by which it knows the answer is for it."""

    port: int
    id: str


@click.command(short_help="Complete `aio login --no-open`")
@click.argument("url", required=False)
@click.option("--data", metavar="DIR", help="Data directory of the gateway.  [default: .eventmill]")
@store_option
@click.option("--workspace", metavar="ID", help="Workspace whose credential signs in.  [default: first with one]")
def login(url: str | None, data: str | None, store: str | None, workspace: str | None) -> None:
    """Sign the aio command line in: give the URL that `aio login --no-open` printed, or pipe its output here.

    aio login --no-open 2>&1 | eventmill login
    """
    import json

    from eventmill.cli.environment import find_coordinates, mint_service_token
    from eventmill.clock import SystemClock
    from eventmill.config_sources import load_config

    config = load_config({"data": data, "store": store}, os.environ)
    coordinates = find_coordinates(config, workspace)
    asked = find_login_request([url] if url else sys.stdin)
    expiry = SystemClock().machine_ms() + config.token_lifetime_s * 1000
    token = {"access_token": {"token": mint_service_token(config, coordinates), "expiry": expiry}}
    _deliver(asked, json.dumps(token))
    click.echo(f"signed in to {coordinates.organization.name} ({coordinates.organization.ims_org_id})")
    if not url:
        for line in sys.stdin:  # the rest of what the waiting command has to say
            click.echo(line, nl=False)


def find_login_request(lines: Iterable[str]) -> LoginRequest:
    """Reads until a line holds a login URL. Raises `StartupError` when none does."""
    for line in lines:
        for url in _URL.findall(line):
            asked = _read_url(url)
            if asked is not None:
                return asked
    raise StartupError(
        "this is not the URL that `aio login --no-open` prints: it has an id and a port, such as "
        "https://aio-login.adobeioruntime.net/api/v1/web/default/applogin?id=1a2b3c4d&port=54321"
    )


def _read_url(url: str) -> LoginRequest | None:
    """With `aio login --force` the login URL is inside the `redirect_uri` of a logout URL."""
    try:
        query = parse_qs(urlsplit(url).query)
    except ValueError:
        return None
    word, port = query.get("id", [""])[0], query.get("port", [""])[0]
    if re.fullmatch(r"[0-9A-Za-z]{1,64}", word) and re.fullmatch(r"[0-9]{1,5}", port) and 0 < int(port) <= 65535:
        return LoginRequest(int(port), word)
    nested = query.get("redirect_uri", [""])[0]
    return _read_url(nested) if nested and len(nested) < len(url) else None


def _deliver(asked: LoginRequest, code: str) -> None:
    import json
    from http.client import HTTPConnection, HTTPException

    form = urlencode({"code_type": "access_token", "code": code, "state": json.dumps({"id": asked.id})})
    connection = HTTPConnection("127.0.0.1", asked.port, timeout=_TIMEOUT_S)
    try:
        connection.request("POST", "/", form, {"content-type": "application/x-www-form-urlencoded"})
        answer = connection.getresponse()
        status, body = answer.status, answer.read(_ANSWER_BYTES_MAX)
    except (OSError, HTTPException) as error:
        raise StartupError(
            f"nothing takes the login on 127.0.0.1 port {asked.port} ({error}). `aio login` waits for two minutes: "
            "run it again, and give its new URL."
        ) from error
    finally:
        connection.close()
    if status != 200:
        told = body.decode("utf-8", "replace").strip()[:500]
        raise StartupError(f"the program on 127.0.0.1 port {asked.port} refused the login with status {status}: {told}")
