"""`local_ca`: made once, narrow, private, renewed in time; what cannot be used is named with its remedy."""

from __future__ import annotations

import ssl
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from eventmill.errors import StartupError
from eventmill.local_ca import ensure_ca, server_certificate

HOSTS = ("api.adobe.io", "developers.adobe.io")
NOW_MS = 1_790_000_000_000
DAY_MS = 24 * 3600 * 1000


def read(file: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(file.read_bytes())


def alternative_names(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


def handshake(ca_file: Path, chain_file: Path, server_name: str) -> None:
    """A TLS handshake in memory, with the client's full checks. Raises `ssl.SSLError` when one fails."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(chain_file)
    client = ssl.create_default_context(cafile=str(ca_file))
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=server_name),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert ends[0].version() in {"TLSv1.2", "TLSv1.3"}


@pytest.fixture
def now_ms() -> int:
    """The machine's time: `ssl` checks validity against nothing else."""
    return int(datetime.now(UTC).timestamp() * 1000)


def test_clients_accept_the_names_and_nothing_else(tmp_path: Path, now_ms: int) -> None:
    """A client that trusts the authority reaches the hosts and this machine, and refuses another name."""
    made = server_certificate(tmp_path / "data", HOSTS, now_ms=now_ms)

    for name in (*HOSTS, "localhost", "127.0.0.1", "::1"):
        handshake(made.ca_file, made.chain_file, name)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(made.ca_file, made.chain_file, "example.com")


def test_the_authority_is_held_to_its_names(tmp_path: Path, now_ms: int) -> None:
    """Even with its key nobody can make a certificate for another host that clients accept."""
    data = tmp_path / "data"
    made = server_certificate(data, HOSTS, now_ms=now_ms)
    (data / "ca" / "server.pem").unlink()
    constraints = read(made.ca_file).extensions.get_extension_for_class(x509.NameConstraints)
    forged = forge(data / "ca", "bank.example", tmp_path)

    assert constraints.critical
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        handshake(made.ca_file, forged, "bank.example")


def forge(directory: Path, host: str, into: Path) -> Path:
    from cryptography.hazmat.primitives import hashes, serialization

    issuer = read(directory / "ca.pem")
    issuer_key = serialization.load_pem_private_key((directory / "ca.key").read_bytes(), None)
    assert isinstance(issuer_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder(issuer.subject, x509.Name([]), key.public_key(), 7)
        .not_valid_before(issuer.not_valid_before_utc)
        .not_valid_after(issuer.not_valid_after_utc)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    file = into / "forged.pem"
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    file.write_bytes(certificate.public_bytes(pem) + key.private_bytes(pem, pkcs8, serialization.NoEncryption()))
    return file


def test_keys_are_the_owners_only(tmp_path: Path) -> None:
    """The authority's key and the server's are 0600, in a directory nobody else enters."""
    made = server_certificate(tmp_path / "data", HOSTS, now_ms=NOW_MS)

    directory = made.ca_file.parent
    modes = {path.name: path.stat().st_mode & 0o777 for path in (directory, *directory.iterdir())}
    assert modes == {"ca": 0o700, "ca.pem": 0o644, "ca.key": 0o600, "server.pem": 0o600}


def test_two_first_starts_agree(tmp_path: Path) -> None:
    """Processes that start at once on a new data directory end with one authority, and leave nothing beside it."""
    data = tmp_path / "data"

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: ensure_ca(data, HOSTS, now_ms=NOW_MS).read_bytes(), range(8)))

    assert len(set(made)) == 1
    assert [path.name for path in data.iterdir()] == ["ca"]


def test_it_is_kept(tmp_path: Path) -> None:
    """A restart serves the same certificate: clients have read the authority's already."""
    first = server_certificate(tmp_path, HOSTS, now_ms=NOW_MS).chain_file.read_bytes()

    assert server_certificate(tmp_path, HOSTS, now_ms=NOW_MS + 300 * DAY_MS).chain_file.read_bytes() == first


def test_the_server_certificate_is_renewed(tmp_path: Path) -> None:
    """It lives at most 398 days, and a new one of the same authority is made in its last 30."""
    first = read(server_certificate(tmp_path, HOSTS, now_ms=NOW_MS).chain_file)
    authority = ensure_ca(tmp_path, HOSTS, now_ms=NOW_MS).read_bytes()

    second = read(server_certificate(tmp_path, HOSTS, now_ms=NOW_MS + 368 * DAY_MS).chain_file)

    assert first.not_valid_after_utc - first.not_valid_before_utc <= timedelta(days=398)
    assert second.serial_number != first.serial_number
    assert second.not_valid_after_utc > first.not_valid_after_utc
    assert ensure_ca(tmp_path, HOSTS, now_ms=NOW_MS).read_bytes() == authority


def test_fewer_hosts_keep_it_more_hosts_do_not(tmp_path: Path) -> None:
    """Hosts that the authority may not sign for are named, with what to do; it does not widen by itself."""
    server_certificate(tmp_path, HOSTS, now_ms=NOW_MS)

    server_certificate(tmp_path, HOSTS[:1], now_ms=NOW_MS)
    with pytest.raises(StartupError, match=r"may not sign for ims\.example.*Delete that directory"):
        server_certificate(tmp_path, (*HOSTS, "ims.example"), now_ms=NOW_MS)


def test_an_authority_about_to_end(tmp_path: Path) -> None:
    """Clients must take over a new one, so it is not replaced behind their backs."""
    ensure_ca(tmp_path, HOSTS, now_ms=NOW_MS)

    with pytest.raises(StartupError, match=r"it ends on 20\d\d-\d\d-\d\d.*Delete"):
        ensure_ca(tmp_path, HOSTS, now_ms=NOW_MS + 3630 * DAY_MS)


@pytest.mark.parametrize("broken", ["ca.pem", "ca.key"])
def test_a_broken_authority(broken: str, tmp_path: Path) -> None:
    """A half-written file or one of another kind is named, with the remedy."""
    ensure_ca(tmp_path, HOSTS, now_ms=NOW_MS)
    (tmp_path / "ca" / broken).write_text("no PEM")

    with pytest.raises(StartupError, match=r"cannot be read or made.*delete that directory"):
        ensure_ca(tmp_path, HOSTS, now_ms=NOW_MS)


def test_a_key_of_another_authority(tmp_path: Path) -> None:
    """Certificate and key must belong together."""
    ensure_ca(tmp_path / "one", HOSTS, now_ms=NOW_MS)
    ensure_ca(tmp_path / "two", HOSTS, now_ms=NOW_MS)
    (tmp_path / "one" / "ca" / "ca.key").write_bytes((tmp_path / "two" / "ca" / "ca.key").read_bytes())

    with pytest.raises(StartupError, match="its key does not belong"):
        ensure_ca(tmp_path / "one", HOSTS, now_ms=NOW_MS)


@pytest.mark.parametrize("content", ["", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_broken_server_certificate_is_replaced(content: str, tmp_path: Path) -> None:
    """Nothing depends on the old one."""
    chain_file = server_certificate(tmp_path, HOSTS, now_ms=NOW_MS).chain_file
    chain_file.write_text(content)

    names = alternative_names(read(server_certificate(tmp_path, HOSTS, now_ms=NOW_MS).chain_file))

    assert set(HOSTS) < set(names.get_values_for_type(x509.DNSName))


def test_a_data_directory_that_cannot_be_written(tmp_path: Path) -> None:
    """The message names the place and the remedy."""
    (tmp_path / "data").write_text("a file")

    with pytest.raises(StartupError, match=r"cannot be read or made.*writable"):
        ensure_ca(tmp_path / "data", HOSTS, now_ms=NOW_MS)
