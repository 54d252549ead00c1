"""`web.certificates`: what may be bound to a credential, what is kept of it, and that nothing else gets through."""

from __future__ import annotations

import base64
import random

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from eventmill.errors import GatewayError, Reason
from eventmill.web.certificates import fingerprint, not_after_ms, public_key, read_certificate
from tests.certificates import certificate


def private_pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_pem(key: rsa.RSAPublicKey | dsa.DSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def test_a_certificate_is_kept_alone() -> None:
    """A private key that somebody sends along, before or after, is never stored, nor is any other text."""
    pem, key = certificate()
    for text in (pem, private_pem(key) + pem, f"Bag Attributes\n{pem}{private_pem(key)}", pem.replace("\n", "\r\n")):
        stored = read_certificate("certificate", text)
        assert stored == pem
        assert public_key(stored).public_numbers() == key.public_key().public_numbers()
    assert not_after_ms(pem) == 2051222400000


def test_a_public_key_will_do() -> None:
    """It has no end and a fingerprint of its own."""
    key = certificate()[1].public_key()
    stored = read_certificate("certificate", public_pem(key))
    assert not_after_ms(stored) is None
    assert fingerprint(stored) != fingerprint(certificate()[0])
    assert public_key(stored).public_numbers() == key.public_numbers()


def test_keys_of_other_kinds_are_refused() -> None:
    """Assertions are signed with RS256; a private key is not taken for a public one."""
    others = [
        public_pem(ec.generate_private_key(ec.SECP256R1()).public_key()),
        public_pem(ed25519.Ed25519PrivateKey.generate().public_key()),
        public_pem(dsa.generate_private_key(1024).public_key()),
        private_pem(certificate()[1]),
        public_pem(certificate(1024)[1].public_key()),
    ]
    for text in others:
        assert_refused(text)


def assert_refused(text: str) -> None:
    with pytest.raises(GatewayError) as caught:
        read_certificate("certificate", text)
    assert caught.value.reason is Reason.INVALID_BODY
    assert caught.value.message.startswith("certificate: ")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "-----BEGIN CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
        "-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----\n",
        "\udc80",
        "\x00" * 100,
    ],
)
def test_nonsense_is_refused(text: str) -> None:
    """In the words of a refusal, whatever the parser makes of it."""
    assert_refused(text)


def test_damaged_certificates_never_escape_as_other_errors() -> None:
    """A few hundred certificates with a byte changed: each is read or refused."""
    der = base64.b64decode("".join(certificate()[0].splitlines()[1:-1]))
    source = random.Random(4)
    for _ in range(400):
        damaged = bytearray(der)
        damaged[source.randrange(len(der))] = source.randrange(256)
        text = base64.encodebytes(bytes(damaged)).decode()
        try:
            stored = read_certificate("certificate", f"-----BEGIN CERTIFICATE-----\n{text}-----END CERTIFICATE-----\n")
        except GatewayError:
            continue
        assert len(fingerprint(stored)) == 40
        public_key(stored)
