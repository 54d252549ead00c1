"""A certificate authority of the data directory's own, and the server certificate it signs for Adobe's host names.

Official clients insist on HTTPS to fixed host names. Whoever exports `NODE_EXTRA_CA_CERTS=DATA/ca/ca.pem` lets one
process tree trust this authority; no system store is touched. It is narrow all the same: name constraints (RFC 5280
§4.2.1.10) hold it to the configured names and this machine, and its key never leaves `DATA/ca`.
"""

from __future__ import annotations

import ipaddress
import os
import shutil
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from eventmill.errors import StartupError

_CA_DAYS = 3650
_LEAF_DAYS = 397
"""Clients refuse server certificates that live longer than 398 days."""
_RENEW_DAYS = 30
_SKEW = timedelta(hours=1)
_LOCAL_NAMES = ("localhost",)
_LOCAL_ADDRESSES = ("127.0.0.1", "::1")


class LocalCertificate(msgspec.Struct, frozen=True):
    ca_file: Path
    """The authority's certificate, for clients."""
    chain_file: Path
    """The server's certificate and key, for `SSLContext.load_cert_chain`."""


class _Authority(msgspec.Struct, frozen=True):
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def ensure_ca(data: Path, hosts: Sequence[str], *, now_ms: int) -> Path:
    """The authority's certificate file, made when there is none. Raises `StartupError`."""
    _authority(data / "ca", hosts, _time(now_ms))
    return data / "ca" / "ca.pem"


def server_certificate(data: Path, hosts: Sequence[str], *, now_ms: int) -> LocalCertificate:
    """A certificate for `hosts` and this machine, renewed when it covers too few or ends within 30 days.

    Raises `StartupError`, also when the authority was made for other hosts.
    """
    directory, now = data / "ca", _time(now_ms)
    authority = _authority(directory, hosts, now)
    certificate = LocalCertificate(directory / "ca.pem", directory / "server.pem")
    if not _is_good(certificate.chain_file, authority.certificate, hosts, now):
        _write_leaf(directory, authority, hosts, now)
    return certificate


def _time(now_ms: int) -> datetime:
    return datetime.fromtimestamp(now_ms // 1000, UTC)


# --- The authority ---


def _authority(directory: Path, hosts: Sequence[str], now: datetime) -> _Authority:
    try:
        if not directory.exists():
            _make_authority(directory, hosts, now)
        certificate = x509.load_pem_x509_certificate((directory / "ca.pem").read_bytes())
        key = serialization.load_pem_private_key((directory / "ca.key").read_bytes(), password=None)
    except (OSError, ValueError) as error:
        raise StartupError(
            f"the local certificate authority in {directory} cannot be read or made: {error}. "
            "Make the data directory writable, or delete that directory to have a new one made."
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise _unusable(directory, "its key does not belong to its certificate")
    if certificate.not_valid_after_utc < now + timedelta(days=_RENEW_DAYS):
        raise _unusable(directory, f"it ends on {certificate.not_valid_after_utc:%Y-%m-%d}")
    missing = sorted(set(hosts) - _permitted_names(certificate))
    if missing:
        raise _unusable(directory, f"it was made for other host names and may not sign for {', '.join(missing)}")
    return _Authority(certificate, key)


def _unusable(directory: Path, why: str) -> StartupError:
    return StartupError(
        f"the local certificate authority in {directory} cannot be used: {why}. "
        "Delete that directory to have a new one made, then export NODE_EXTRA_CA_CERTS again."
    )


def _make_authority(directory: Path, hosts: Sequence[str], now: datetime) -> None:
    """The directory appears complete or not at all; of two first starts the later one takes over the earlier one's."""
    directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    fresh = Path(tempfile.mkdtemp(prefix="ca.", dir=directory.parent))  # mode 0700
    try:
        _write(_create(fresh / "ca.pem", 0o644), _pem(_sign_authority(key, hosts, now)))
        _write(_create(fresh / "ca.key", 0o600), _key_pem(key))
        fresh.rename(directory)
    except OSError:
        shutil.rmtree(fresh, ignore_errors=True)
        if not directory.exists():
            raise


def _sign_authority(key: ec.EllipticCurvePrivateKey, hosts: Sequence[str], now: datetime) -> x509.Certificate:
    # The serial in the name keeps authorities of two data directories apart in a client that trusts both.
    serial = x509.random_serial_number()
    name = _name(f"Eventmill local CA {serial & 0xFFFFFFFF:08x}")
    addresses = [ipaddress.ip_network(address) for address in _LOCAL_ADDRESSES]
    permitted = [
        *(x509.DNSName(host) for host in (*hosts, *_LOCAL_NAMES)),
        *(x509.IPAddress(address) for address in addresses),
    ]
    return (
        x509.CertificateBuilder(name, name, key.public_key(), serial)
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + timedelta(days=_CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.NameConstraints(permitted, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _permitted_names(certificate: x509.Certificate) -> set[str]:
    constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    return {name.value for name in constraints.permitted_subtrees or () if isinstance(name, x509.DNSName)}


# --- The server's certificate ---


def _write_leaf(directory: Path, authority: _Authority, hosts: Sequence[str], now: datetime) -> None:
    """One file, replaced as a whole, so that certificate and key always belong together."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = _pem(_sign_leaf(key, authority, hosts, now)) + _pem(authority.certificate) + _key_pem(key)
    try:
        descriptor, fresh = tempfile.mkstemp(prefix="server.pem.", dir=directory)  # mode 0600
        _write(descriptor, pem)
        Path(fresh).replace(directory / "server.pem")
    except OSError as error:
        raise StartupError(f"cannot write the server certificate in {directory}: {error}") from error


def _sign_leaf(
    key: ec.EllipticCurvePrivateKey, authority: _Authority, hosts: Sequence[str], now: datetime
) -> x509.Certificate:
    names: list[x509.GeneralName] = [x509.DNSName(host) for host in (*hosts, *_LOCAL_NAMES)]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in _LOCAL_ADDRESSES]
    issuer = authority.certificate
    ends = min(now + timedelta(days=_LEAF_DAYS), issuer.not_valid_after_utc)
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return (
        x509.CertificateBuilder(issuer.subject, _name("Eventmill"), key.public_key(), x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(ends)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(authority.key, hashes.SHA256())
    )


def _is_good(chain_file: Path, issuer: x509.Certificate, hosts: Sequence[str], now: datetime) -> bool:
    """Whether the file's certificate can still be served; any doubt means a new one, which costs a millisecond."""
    try:
        certificate = x509.load_pem_x509_certificate(chain_file.read_bytes())
        certificate.verify_directly_issued_by(issuer)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    covered = set(names.get_values_for_type(x509.DNSName))
    lasts = certificate.not_valid_after_utc >= min(now + timedelta(days=_RENEW_DAYS), issuer.not_valid_after_utc)
    return lasts and certificate.not_valid_before_utc <= now and covered >= set(hosts)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, form, serialization.NoEncryption())


def _create(path: Path, mode: int) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)


def _write(descriptor: int, content: bytes) -> None:
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
