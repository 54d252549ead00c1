"""Signatures verify as the official SDKs verify them, and only over the exact bytes."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from eventmill.core.signing import DeliverySigner, generate_pair, hmac_signature

FIRST, SECOND = generate_pair(), generate_pair()
FIRST_ID, SECOND_ID = "1b1c2d3e-0000-4000-8000-000000000001", "1b1c2d3e-0000-4000-8000-000000000002"
BODY = b'{"specversion":"1.0","data":{"n":1.0}}'


def make_signer() -> DeliverySigner:
    return DeliverySigner(((FIRST_ID, FIRST[0]), (SECOND_ID, SECOND[0])))


def verify(public_pem: str, signature: str, body: bytes) -> None:
    """As the Java SDK reads the key: PEM lines stripped by `\\n`, the rest decoded as DER."""
    lines = public_pem.removesuffix("\n").split("\n")
    assert (lines[0], lines[-1]) == ("-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----")
    key = serialization.load_der_public_key(base64.b64decode("".join(lines[1:-1]), validate=True))
    assert isinstance(key, rsa.RSAPublicKey)
    assert key.key_size == 2048
    key.verify(base64.b64decode(signature, validate=True), body, padding.PKCS1v15(), hashes.SHA256())


def test_both_signatures_verify_over_the_exact_bytes() -> None:
    """RSASSA-PKCS1-v1_5 with SHA-256 by either key; one changed byte and neither verifies."""
    headers = dict(make_signer().headers(BODY, b"secret"))
    for name, (_, public_pem) in (("x-adobe-digital-signature-1", FIRST), ("x-adobe-digital-signature-2", SECOND)):
        verify(public_pem, headers[name], BODY)
        with pytest.raises(InvalidSignature):
            verify(public_pem, headers[name], BODY.replace(b"1.0}", b"1.1}"))


def test_headers_are_the_five_documented_ones() -> None:
    """Spelled as receivers look them up: signatures with a dash before the number, key paths without."""
    headers = make_signer().headers(BODY, b"secret")
    assert [name for name, _ in headers] == [
        "x-adobe-signature",
        "x-adobe-digital-signature-1",
        "x-adobe-digital-signature-2",
        "x-adobe-public-key1-path",
        "x-adobe-public-key2-path",
    ]
    assert headers[3][1] == f"/prod/keys/pub-key-{FIRST_ID}.pem"
    assert headers[4][1] == f"/prod/keys/pub-key-{SECOND_ID}.pem"
    assert all(value.isascii() and value.isprintable() for _, value in headers)


def test_hmac_is_keyed_with_the_client_secret() -> None:
    """Base64 of HMAC-SHA256 over the body, 44 characters."""
    expected = base64.b64encode(hmac.new(b"p8e-secret", BODY, hashlib.sha256).digest()).decode()
    assert hmac_signature(BODY, b"p8e-secret") == expected
    assert dict(make_signer().headers(BODY, b"p8e-secret"))["x-adobe-signature"] == expected
    assert len(expected) == 44


def test_hmac_of_an_empty_body_and_an_empty_key() -> None:
    """A challenge signs the empty body; a registration without a stored secret still gets a header. Known values."""
    assert hmac_signature(b"", b"key") == "XV0TlWPJW1lnub2ajJsjOp3ttFByeUzSMtwbdIMmB9A="
    assert hmac_signature(b"", b"") == "thNnmggU2ex3L5XXeMNfxf8Wl8STcVZTxscSFEKSxa0="


def test_generated_pairs_differ_and_end_with_their_footer() -> None:
    """Fresh randomness each time; `\\n` line ends only, and nothing behind the footer."""
    assert FIRST != SECOND
    for private_pem, public_pem in (FIRST, SECOND):
        assert "\r" not in public_pem
        assert public_pem.endswith("-----END PUBLIC KEY-----\n")
        assert private_pem.startswith("-----BEGIN PRIVATE KEY-----\n")


def test_key_of_another_kind_is_refused() -> None:
    """An elliptic-curve key under a delivery key's name stops at construction, naming the key."""
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(ValueError, match=FIRST_ID):
        DeliverySigner(((FIRST_ID, pem.decode()), (SECOND_ID, SECOND[0])))
