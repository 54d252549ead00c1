"""Signatures of delivered requests, as "Introduction to Adobe I/O Events Webhooks" describes them.

Two RSA signatures by two keys (a receiver accepts when either verifies) and one HMAC keyed with the client secret, all
over the exact bytes of the body. Never stores or seals keys, never picks which keys are in use.
"""

from __future__ import annotations

import hashlib
import hmac
from binascii import b2a_base64

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils

_RSA_BITS = 2048
_PADDING = padding.PKCS1v15()
_DIGEST = utils.Prehashed(hashes.SHA256())


def generate_pair() -> tuple[str, str]:
    """A new RSA-2048 key as (private PEM, public PEM).

    The public one is a SubjectPublicKeyInfo with `\\n` line ends and nothing after its footer's newline: the official
    Java SDK strips exactly that before it decodes the rest.
    """
    key = rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS)
    private_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public_pem = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private_pem.decode("ascii"), public_pem.decode("ascii")


def public_key_path(key_id: str) -> str:
    """Where receivers find the public key of `key_id`, a UUID."""
    return f"/prod/keys/pub-key-{key_id}.pem"


def hmac_signature(body: bytes, client_secret: bytes) -> str:
    """`x-adobe-signature`: base64 HMAC-SHA256 of the body; of the empty body on a challenge."""
    return b2a_base64(hmac.digest(client_secret, body, "sha256"), newline=False).decode("ascii")


class DeliverySigner:
    """Signs with the two active pairs, given as (key id, private PEM). May be shared by threads.

    Raises `ValueError` when a PEM is not an unencrypted RSA private key.
    """

    def __init__(self, pairs: tuple[tuple[str, str], tuple[str, str]]) -> None:
        (first_id, first_pem), (second_id, second_pem) = pairs
        self._first = _load_private_key(first_id, first_pem)
        self._second = _load_private_key(second_id, second_pem)
        self._paths = (
            ("x-adobe-public-key1-path", public_key_path(first_id)),
            ("x-adobe-public-key2-path", public_key_path(second_id)),
        )

    def headers(self, body: bytes, client_secret: bytes) -> list[tuple[str, str]]:
        """The five signature headers of a request with this body. Costs two RSA signatures."""
        digest = hashlib.sha256(body).digest()
        return [
            ("x-adobe-signature", hmac_signature(body, client_secret)),
            ("x-adobe-digital-signature-1", _rsa_signature(self._first, digest)),
            ("x-adobe-digital-signature-2", _rsa_signature(self._second, digest)),
            *self._paths,
        ]


def _load_private_key(key_id: str, pem: str) -> rsa.RSAPrivateKey:
    # Validating a key takes 45 ms of every start; these were made above, and unsealing proved them unchanged.
    key = serialization.load_pem_private_key(pem.encode("ascii"), password=None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError(f"signing key {key_id} is not an RSA key")
    return key


def _rsa_signature(key: rsa.RSAPrivateKey, digest: bytes) -> str:
    return b2a_base64(key.sign(digest, _PADDING, _DIGEST), newline=False).decode("ascii")
