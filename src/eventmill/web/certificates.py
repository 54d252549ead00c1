"""Certificates that callers bring, as PEM: public keys of `jwt` credentials, authorities of webhooks. Pure.

What is stored is the PEM itself, so that fingerprint and end of validity stay with it.
"""

from __future__ import annotations

import hashlib
import re
import ssl

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from eventmill.web.checks import invalid

_PEM_CHARS_MAX = 16 * 1024
_KEY_BITS_MIN = 2048
_CERTIFICATE = "-----BEGIN CERTIFICATE-----"
_AUTHORITIES_MAX = 16
_ONE_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


def read_certificate(member: str, text: str) -> str:
    """The PEM in its stored form: the certificate or key alone, whatever else is in `text`, such as a private key.

    Refuses, naming `member`, what is no RSA certificate or public key."""
    if len(text) > _PEM_CHARS_MAX:
        raise invalid(member, f"must have at most {_PEM_CHARS_MAX} characters, but has {len(text)}")
    try:
        key = public_key(text)
        pem = _encode(text, Encoding.PEM).decode()
        not_after_ms(pem)
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
        raise invalid(member, "is not the PEM of an X.509 certificate or a public key with RSA") from None
    if key.key_size < _KEY_BITS_MIN:
        raise invalid(member, f"its RSA key has {key.key_size} bits; at least {_KEY_BITS_MIN} are needed")
    return pem


def public_key(pem: str) -> RSAPublicKey:
    """The key that signatures are verified with. Raises `ValueError` unless it is an RSA key."""
    raw = pem.encode()
    key = x509.load_pem_x509_certificate(raw).public_key() if _CERTIFICATE in pem else load_pem_public_key(raw)
    if not isinstance(key, RSAPublicKey):
        raise ValueError("not an RSA key")
    return key


def _encode(pem: str, encoding: Encoding) -> bytes:
    if _CERTIFICATE in pem:
        return x509.load_pem_x509_certificate(pem.encode()).public_bytes(encoding)
    return public_key(pem).public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)


def not_after_ms(pem: str) -> int | None:
    """When the certificate ends; None for a bare public key, which never does."""
    if _CERTIFICATE not in pem:
        return None
    return int(x509.load_pem_x509_certificate(pem.encode()).not_valid_after_utc.timestamp() * 1000)


def fingerprint(pem: str) -> str:
    """SHA-1 over the DER, in lower-case hex: how the Developer Console names a certificate."""
    return hashlib.sha1(_encode(pem, Encoding.DER), usedforsecurity=False).hexdigest()


def read_ca_bundle(member: str, text: str) -> str:
    """The certificates in `text` as they are stored: nothing between them. Refuses, naming `member` and the
    certificate, what TLS could not use."""
    if "PRIVATE KEY-----" in text:
        raise invalid(member, "holds a private key; only certificates belong here, and the key should be replaced")
    found = _ONE_CERTIFICATE.findall(text)
    if not found:
        raise invalid(member, "holds no certificate in PEM (-----BEGIN CERTIFICATE----- ...)")
    if len(found) > _AUTHORITIES_MAX:
        raise invalid(member, f"must have at most {_AUTHORITIES_MAX} certificates, but has {len(found)}")
    return "".join(_read_authority(f"{member}: certificate {number}", pem) for number, pem in enumerate(found, 1))


def _read_authority(where: str, pem: str) -> str:
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
        stored = certificate.public_bytes(Encoding.PEM).decode()
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=stored)
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion, ssl.SSLError):
        raise invalid(where, "cannot be read") from None
    return stored
