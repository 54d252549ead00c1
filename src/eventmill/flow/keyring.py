"""The gateway's own keys: two pairs that sign deliveries, one that signs tokens. Made at first start, stored sealed.

The newest token key signs. The one before it verifies on until the last token that it may have signed has expired.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from itertools import pairwise
from typing import Literal

import msgspec

from eventmill.clock import Clock
from eventmill.core.signing import DeliverySigner, generate_pair
from eventmill.ids import IdSource
from eventmill.model import OrgId, SigningKey
from eventmill.store.control import ControlReads, ControlStore, Create, Delete
from eventmill.store.seal import Sealer

_GATEWAY = OrgId("")
"""Signing keys belong to the gateway, not to an organization."""
_DELIVERY_PAIRS = 2
_Purpose = Literal["delivery", "token"]


async def ensure_keys(store: ControlStore, sealer: Sealer, clock: Clock, ids: IdSource) -> None:
    """Make what is missing: a new store gets all three pairs, in one write."""
    held = await _stored_keys(store)
    missing: list[_Purpose] = ["delivery"] * _DELIVERY_PAIRS
    missing.append("token")
    for key in held:
        if key.purpose in missing:
            missing.remove(key.purpose)
    if not missing:
        return
    pairs = await asyncio.gather(*(asyncio.to_thread(generate_pair) for _ in missing))
    now_ms = clock.machine_ms()
    keys = [_seal(sealer, ids.uuid(), pair, purpose, now_ms) for purpose, pair in zip(missing, pairs, strict=True)]
    await store.write([Create("signing_key", _GATEWAY, key.id, msgspec.json.encode(key)) for key in keys])


async def rotate_token_key(
    store: ControlStore, sealer: Sealer, clock: Clock, ids: IdSource, *, revoke_earlier: bool = False
) -> SigningKey:
    """Make the key that signs from now on, durably. `revoke_earlier` withdraws all others, and so every token."""
    pair = await asyncio.to_thread(generate_pair)
    held = await _stored_keys(store)
    earlier = [key for key in held if key.purpose == "token"]
    # Newest by its time, whatever the machine's clock did since the last one.
    created_ms = max([clock.machine_ms(), *(key.created_ms + 1 for key in earlier)])
    key = _seal(sealer, ids.uuid(), pair, "token", created_ms)
    withdrawn = [Delete("signing_key", _GATEWAY, each.id) for each in earlier] if revoke_earlier else []
    await store.write([Create("signing_key", _GATEWAY, key.id, msgspec.json.encode(key)), *withdrawn])
    return key


def retired_token_keys(keys: Iterable[SigningKey], *, now_ms: int, lifetime_s: int) -> list[SigningKey]:
    """Those whose last token has expired: their successor is older than any token gets."""
    ordered = sorted((key for key in keys if key.purpose == "token"), key=lambda key: key.created_ms)
    return [key for key, successor in pairwise(ordered) if successor.created_ms + lifetime_s * 1000 < now_ms]


async def _stored_keys(store: ControlReads) -> list[SigningKey]:
    """In creation order."""
    return [msgspec.json.decode(each.doc, type=SigningKey) for each in await store.list_docs("signing_key", _GATEWAY)]


def _seal(sealer: Sealer, key_id: str, pair: tuple[str, str], purpose: _Purpose, created_ms: int) -> SigningKey:
    private_pem, public_pem = pair
    return SigningKey(
        id=key_id,
        public_pem=public_pem,
        sealed_private_pem=sealer.seal(private_pem.encode(), f"signing_key:{key_id}"),
        created_ms=created_ms,
        purpose=purpose,
    )


async def delivery_signer(store: ControlReads, sealer: Sealer) -> DeliverySigner:
    """The signer over the two newest delivery pairs."""
    first, second = [key for key in await _stored_keys(store) if key.purpose == "delivery"][-_DELIVERY_PAIRS:]
    return DeliverySigner(((first.id, _private_pem(first, sealer)), (second.id, _private_pem(second, sealer))))


def _private_pem(key: SigningKey, sealer: Sealer) -> str:
    return sealer.unseal(key.sealed_private_pem, f"signing_key:{key.id}").decode()
