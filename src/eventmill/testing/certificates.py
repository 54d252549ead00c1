"""Certificates for tests, good and bad, from an authority that nobody else trusts."""

from __future__ import annotations

import ssl
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

LOOPBACK = ("127.0.0.1", "localhost")
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class KeyPair:
    """PEM of a certificate and of its private key."""

    certificate: str
    key: str

    def write(self, folder: Path, name: str = "pair") -> tuple[Path, Path]:
        """The files of certificate and key, for programs that read them from there."""
        files = folder / f"{name}.pem", folder / f"{name}.key.pem"
        files[0].write_text(self.certificate)
        files[1].write_text(self.key)
        return files


class Authority:
    """A certificate authority with a key of its own. Its `pem` is what a client must trust."""

    def __init__(self, name: str = "test authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        self.pem = self._sign(self._name, self._key.public_key(), (), is_authority=True, is_expired=False)

    def issue(self, names: tuple[str, ...] = LOOPBACK, *, is_expired: bool = False) -> KeyPair:
        """For a server or a client: `names` are host names and addresses, the first one its common name too."""
        key = ec.generate_private_key(ec.SECP256R1())
        signed = self._sign(_name(names[0]), key.public_key(), names, is_authority=False, is_expired=is_expired)
        return KeyPair(signed, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        names: tuple[str, ...],
        *,
        is_authority: bool,
        is_expired: bool,
    ) -> str:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 2 * _DAY)
            .not_valid_after(now - _DAY if is_expired else now + _DAY)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .add_extension(_usage(is_authority=is_authority), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(list(map(_general, names))), critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def server_context(pair: KeyPair, clients_of: Authority | None = None) -> ssl.SSLContext:
    """For a server that shows `pair`, and that demands a certificate of `clients_of` when there is one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        context.load_cert_chain(*pair.write(Path(folder)))
    if clients_of is not None:
        context.load_verify_locations(cadata=clients_of.pem)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )
