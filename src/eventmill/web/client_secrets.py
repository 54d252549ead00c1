"""Client secrets: made, sealed, named. They are in the clear only on their way to whoever asked for them."""

from __future__ import annotations

import base64
import uuid

import msgspec

from eventmill.ids import IdSource
from eventmill.model import Credential
from eventmill.store.seal import Sealer

_NAMESPACE = uuid.UUID("6a1c0f55-5f0b-4a39-9d0e-3b0f4f3f1c42")

MASK = "********"
"""What is shown in a secret's place. No part of the secret is in it: some are short."""


def make_secret(ids: IdSource) -> str:
    return "p8e-" + base64.urlsafe_b64encode(ids.random(24)).decode()


def seal_secret(sealer: Sealer, credential_id: str, secret: str) -> str:
    return sealer.seal(secret.encode(), f"credential:{credential_id}")


def open_secret(sealer: Sealer, credential: Credential, sealed: str) -> str:
    return sealer.unseal(sealed, f"credential:{credential.id}").decode()


def secret_id(sealed: str) -> str:
    """Names one of a credential's secrets. Derived from its sealed form, which holds a nonce: it tells nothing."""
    return str(uuid.uuid5(_NAMESPACE, sealed))


def with_secret(credential: Credential, sealed: str) -> Credential:
    """The credential with a new current secret; the one before stays good for tokens."""
    return msgspec.structs.replace(credential, sealed_secret=sealed, earlier_secrets=credential.sealed_secrets)


def without_secret(credential: Credential, unwanted: str) -> Credential | None:
    """The credential without the secret of that id; None when it has none such. The newest left becomes current.

    Raises `ValueError` when it is the only one.
    """
    left = tuple(sealed for sealed in credential.sealed_secrets if secret_id(sealed) != unwanted)
    if len(left) == len(credential.sealed_secrets):
        return None
    if not left:
        raise ValueError("a credential keeps one secret")
    return msgspec.structs.replace(credential, sealed_secret=left[0], earlier_secrets=left[1:])
