"""TLS towards webhooks: the client certificate for those that ask, and authorities that one registration brings."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from structlog.testing import capture_logs

from eventmill.config import Config
from eventmill.errors import StartupError
from eventmill.send import tls
from eventmill.send.tls import ClientTls
from eventmill.send.webhook import Response
from eventmill.testing import Authority, Connection, answering, receiving, refusing_handshake, response, server_context
from tests.http.sending import post, sending

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module", params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Both event loops."""
    return "asyncio", {"use_uvloop": request.param}


def noting(names: list[str]) -> Callable[[Connection], Awaitable[None]]:
    """Answers with 200 and closes; notes the common name of the certificate that the client showed."""

    async def behave(connection: Connection) -> None:
        shown = connection.writer.get_extra_info("peercert") or {}
        names.append(next((value for [(_, value)] in shown.get("subject", ())), ""))
        await answering(response(headers="connection: close\r\n"))(connection)

    return behave


async def test_client_certificate_is_shown_to_who_asks(tmp_path: Path) -> None:
    """And the delivery goes through; an endpoint that does not ask is served as before."""
    authority = Authority()
    certificate, key = authority.issue(("mill.example",)).write(tmp_path)
    names: list[str] = []
    async with sending(client_cert=str(certificate), client_key=str(key)) as to:
        for clients_of in (authority, None):
            context = server_context(authority.issue(), clients_of)
            async with receiving(noting(names), context) as receiver:
                answer = await to.send(post(receiver.url, ca_bundle=authority.pem))
                assert answer.status == 200
    assert names == ["mill.example", ""]


async def test_client_certificate_of_another_issuer_is_611(tmp_path: Path) -> None:
    """The endpoint refuses it, after the handshake in TLS 1.3, and is tried again like any without an answer."""
    authority = Authority()
    certificate, key = Authority("somebody else").issue(("mill.example",)).write(tmp_path)
    context = server_context(authority.issue(), clients_of=authority)
    async with (
        sending(client_cert=str(certificate), client_key=str(key)) as to,
        refusing_handshake(context) as receiver,
    ):
        answer = await to.send(post(receiver.url, ca_bundle=authority.pem))
    assert answer.status == 611


async def test_renewed_certificate_is_shown_without_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that changed are read again; a broken one is logged, and the last good one stays."""
    monkeypatch.setattr(tls, "_LOOK_INTERVAL_S", 0)
    authority = Authority()
    certificate, key = authority.issue(("old.example",)).write(tmp_path)
    names: list[str] = []
    context = server_context(authority.issue(), clients_of=authority)

    async with (
        sending(client_cert=str(certificate), client_key=str(key)) as to,
        receiving(noting(names), context) as receiver,
    ):

        async def send() -> Response:
            return await to.send(post(receiver.url, ca_bundle=authority.pem))

        await send()
        authority.issue(("new.example",)).write(tmp_path)
        await send()
        with capture_logs() as logs:
            certificate.write_text("half a fi")
            await send()
            await send()
    assert names == ["old.example", "new.example", "new.example", "new.example"]
    assert [entry["event"] for entry in logs] == ["client_certificate_failed"]


def test_files_are_looked_at_once_in_a_while(tmp_path: Path) -> None:
    """Not for every delivery; contexts that are out of date are dropped then, those of registrations too."""
    now = [100.0]
    authority = Authority()
    certificate, key = authority.issue().write(tmp_path)
    client = ClientTls(Config(client_cert=str(certificate), client_key=str(key)), lambda: now[0])
    system, own = client.context(""), client.context(authority.pem)
    authority.issue().write(tmp_path)
    os.utime(certificate, ns=(1, 1))

    now[0] += 9
    client.look()
    assert (client.generation, client.context(""), client.context(authority.pem)) == (0, system, own)
    now[0] += 2
    client.look()
    assert client.generation == 1
    assert client.context("") is not system
    assert client.context(authority.pem) is not own


def test_certificate_and_key_in_one_file(tmp_path: Path) -> None:
    """The key's setting may stay empty then."""
    pair = Authority().issue()
    both = tmp_path / "both.pem"
    both.write_text(pair.certificate + pair.key)
    ClientTls(Config(client_cert=str(both)), lambda: 0)


@pytest.mark.parametrize("case", ["missing", "no pem", "not a pair", "password", "no key"])
def test_unusable_files_stop_the_start(tmp_path: Path, case: str) -> None:
    """The message names setting and file; nobody is asked for a password."""
    pair, other = Authority().issue(), Authority().issue()
    key = {"not a pair": other.key, "no key": ""}.get(case, pair.key)
    if case == "password":
        secret = load_pem_private_key(pair.key.encode(), None)
        key = secret.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")).decode()
    file = tmp_path / "client.pem"
    if case != "missing":
        file.write_text("nonsense" if case == "no pem" else pair.certificate + key)

    with pytest.raises(StartupError, match="EVENTMILL_CLIENT_CERT") as raised:
        ClientTls(Config(client_cert=str(file)), lambda: 0)
    assert str(file) in str(raised.value)


# --- Authorities of a registration ---


async def test_own_authorities_count_alone_and_for_one_registration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who brings its own is not served by an endpoint that only the system trusts, nor the other way round; and
    connections are not shared across that line."""
    trusted, private = Authority("public"), Authority("private")
    file = tmp_path / "system.pem"
    file.write_text(trusted.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    statuses = []
    for authority in (trusted, private):
        async with sending() as to, receiving(answering(response()), server_context(authority.issue())) as receiver:
            bundles = ("", private.pem, "", private.pem)
            statuses += [(await to.send(post(receiver.url, ca_bundle=bundle))).status for bundle in bundles]
    assert statuses == [200, 611, 200, 611, 611, 200, 611, 200]


async def test_endpoints_own_certificate_can_be_its_authority() -> None:
    """Pinned: no chain is needed to whoever signed it, while its name and its dates still count."""
    authority = Authority()
    pair, expired = authority.issue(), authority.issue(is_expired=True)
    statuses = []
    for served in (pair, expired):
        async with sending() as to, receiving(answering(response()), server_context(served)) as receiver:
            statuses.append((await to.send(post(receiver.url, ca_bundle=served.certificate))).status)
    assert statuses == [200, 611]


def test_contexts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest goes when there are too many; asked for again, it is made again."""
    monkeypatch.setattr(tls, "CONTEXTS_MAX", 2)
    client = ClientTls(Config(), lambda: 0)
    bundles = [Authority().pem for _ in range(3)]
    first = [client.context(bundle) for bundle in bundles]
    assert client.context(bundles[2]) is first[2]
    assert client.context(bundles[1]) is first[1]
    assert client.context(bundles[0]) is not first[0]
    assert len(client._own) == 2
