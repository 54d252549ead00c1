"""The gateway's own keys: two pairs that sign deliveries, one that signs tokens. Made at first start, stored sealed."""

from __future__ import annotations

import asyncio

import msgspec

from eventmill.clock import Clock
from eventmill.core.signing import DeliverySigner, generate_pair
from eventmill.flow.catalogue import Catalogue
from eventmill.ids import IdSource
from eventmill.model import OrgId, SigningKey
from eventmill.store.base import ControlStore, Create
from eventmill.store.seal import Sealer

_GATEWAY = OrgId("")
"""Signing keys belong to the gateway, not to an organisation."""
_DELIVERY_PAIRS = 2


async def ensure_keys(store: ControlStore, sealer: Sealer, clock: Clock, ids: IdSource) -> None:
    """Make what is missing: a new store gets all three pairs, in one write."""
    held = [msgspec.json.decode(stored.doc, type=SigningKey) for stored in await store.scan("signing_key")]
    missing = [*["delivery"] * _DELIVERY_PAIRS, "token"]
    for key in held:
        if key.purpose in missing:
            missing.remove(key.purpose)
    if not missing:
        return
    pairs = await asyncio.gather(*(asyncio.to_thread(generate_pair) for _ in missing))
    ops = []
    for purpose, (private_pem, public_pem) in zip(missing, pairs, strict=True):
        key_id = ids.uuid()
        key = SigningKey(
            id=key_id,
            public_pem=public_pem,
            sealed_private_pem=sealer.seal(private_pem.encode(), f"signing_key:{key_id}"),
            created_ms=clock.machine_ms(),
            purpose="token" if purpose == "token" else "delivery",
        )
        ops.append(Create("signing_key", _GATEWAY, key_id, msgspec.json.encode(key)))
    await store.write(ops)


def delivery_signer(catalogue: Catalogue, sealer: Sealer) -> DeliverySigner:
    """The signer over the two newest delivery pairs of a loaded catalogue."""
    keys = [key for key in catalogue.signing_keys() if key.purpose == "delivery"]
    first, second = keys[-_DELIVERY_PAIRS:]
    return DeliverySigner(((first.id, _private_pem(first, sealer)), (second.id, _private_pem(second, sealer))))


def _private_pem(key: SigningKey, sealer: Sealer) -> str:
    return sealer.unseal(key.sealed_private_pem, f"signing_key:{key.id}").decode()
