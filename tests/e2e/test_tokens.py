"""Tokens of a real gateway: an issuer beside it, keys that change while it runs, endings that survive a power cut."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jwt
import pytest

from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import Gateway, call
from tests.e2e.harness.engines import store_variables
from tests.e2e.harness.production import write_bootstrap
from tests.http.issuer import AUDIENCE, public_jwk, rsa_key, sign

CLIENT, SECRET, IMS_ORG = "a" * 32, "p8e-secret-of-the-first", "0123456789ABCDEF01234567@AdobeOrg"
FORM = {"content-type": "application/x-www-form-urlencoded"}


class KeyServer(ThreadingHTTPServer):
    """An OpenID Connect issuer as far as a gateway asks it."""

    keys: list[dict[str, Any]]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answers(BaseHTTPRequestHandler):
    server: KeyServer

    def do_GET(self) -> None:
        discovery = {"issuer": self.server.url, "jwks_uri": f"{self.server.url}/keys"}
        body = json.dumps({"keys": self.server.keys} if self.path == "/keys" else discovery).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """The test's output is not the place."""


@pytest.fixture
def issuer() -> Iterator[KeyServer]:
    with KeyServer(("127.0.0.1", 0), _Answers) as server:
        server.keys = [public_jwk(rsa_key(1), "k1")]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def production(start_gateway: StartGateway, tmp_path: Path) -> Gateway:
    return start_gateway("--bootstrap", str(write_bootstrap(tmp_path)))


@pytest.fixture(scope="module")
def shared(start_shared_gateway: StartGateway, tmp_path_factory: pytest.TempPathFactory) -> Gateway:
    """For tests that leave nothing behind."""
    return start_shared_gateway("--bootstrap", str(write_bootstrap(tmp_path_factory.mktemp("shared-tenants"))))


def new_token(gateway: Gateway) -> str:
    form = urlencode({"client_id": CLIENT, "client_secret": SECRET, "grant_type": "client_credentials"}).encode()
    token: str = call("POST", f"{gateway.url}/ims/token/v3", FORM, form).json()["access_token"]
    return token


def ask(gateway: Gateway, token: str) -> int:
    headers = {"authorization": f"Bearer {token}", "x-api-key": CLIENT}
    return call("GET", f"{gateway.url}/events/1001/providers", headers).status


def run_keys(gateway: Gateway, *arguments: str) -> str:
    where = ["--data", str(gateway.data), "--port", str(gateway.port)]
    command = [sys.executable, "-m", "eventmill", "keys", *arguments, *where]
    known = store_variables(str(gateway.data))
    done = subprocess.run(command, capture_output=True, env={**os.environ, **known, **gateway.variables}, timeout=30)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def test_tokens_of_an_issuer(start_gateway: StartGateway, issuer: KeyServer, tmp_path: Path) -> None:
    """The gateway finds the issuer's keys by itself; its tokens and our own are good side by side."""
    variables = {"EVENTMILL_OIDC_ISSUER": issuer.url, "EVENTMILL_OIDC_AUDIENCE": AUDIENCE}
    gateway = start_gateway("--bootstrap", str(write_bootstrap(tmp_path)), variables=variables)
    claims = {"iss": issuer.url, "aud": AUDIENCE, "exp": time.time() + 300, "org": IMS_ORG, "scope": "adobeio_api"}

    assert ask(gateway, sign(claims, rsa_key(1), "RS256", {"kid": "k1"})) == 200
    assert ask(gateway, sign(claims, rsa_key(2), "RS256", {"kid": "k1"})) == 401
    assert ask(gateway, new_token(gateway)) == 200


def test_keys_change_while_it_runs(production: Gateway) -> None:
    """`eventmill keys rotate`: new tokens carry the new key, the old are good; unless they are to be void."""
    before = new_token(production)
    run_keys(production, "rotate")
    after = new_token(production)

    listed = run_keys(production, "list").split()
    assert [jwt.get_unverified_header(token)["kid"] for token in (before, after)] == listed
    assert [ask(production, token) for token in (before, after)] == [200, 200]
    run_keys(production, "rotate", "--revoke-earlier", "--yes")
    assert [ask(production, token) for token in (before, after, new_token(production))] == [401, 401, 200]


def test_ended_token_stays_ended(production: Gateway) -> None:
    """Once the answer was sent, a power cut does not bring it back."""
    token, other = new_token(production), new_token(production)
    form = urlencode({"token": token, "client_id": CLIENT, "client_secret": SECRET}).encode()
    before = ask(production, token)
    ended = call("POST", f"{production.url}/ims/invalidate_token/v2", FORM, form).status
    production.kill()
    production.start()

    assert (before, ended) == (200, 200)
    assert [ask(production, each) for each in (token, other)] == [401, 200]


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nhost: x\r\nauthorization: Bearer " + b"x" * 2_000_000,
        b"GET / HTTP/1.1\r\nhost: x\r\n" + b"x-a: b\r\n" * 300_000,
        b"GET /" + b"x" * 2_000_000,
    ],
)
def test_endless_head(shared: Gateway, head: bytes) -> None:
    """A request whose head does not end is refused after 64 KiB, and the gateway goes on."""
    with socket.create_connection(("127.0.0.1", shared.port), timeout=30) as client:
        received = b""
        try:
            client.sendall(head)
            while chunk := client.recv(65536):
                received += chunk
        except ConnectionError:
            pass  # it hung up while we were still talking

    assert received == b"" or received.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert ask(shared, new_token(shared)) == 200


def test_large_bodies_are_no_heads(shared: Gateway) -> None:
    """Several on one connection, each far larger than a head may be."""
    connection = HTTPConnection("127.0.0.1", shared.port, timeout=30)
    statuses = []
    for _ in range(3):
        headers = {"authorization": "Bearer x", "x-api-key": "x", "content-type": "application/json"}
        connection.request("POST", "/ims/token/v3", b"a=" + b"x" * 60_000, {**FORM})
        statuses.append(connection.getresponse().read() != b"")
        connection.request("PUT", "/events/1001/2001/3001/providers/x", b"x" * 900_000, headers)
        response = connection.getresponse()
        response.read()
        statuses.append(response.status == 401)
    connection.close()

    assert all(statuses)
