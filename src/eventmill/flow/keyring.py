"""The gateway's own keys: two pairs that sign deliveries, one that signs tokens. Made at first start, stored sealed.

The newest token key signs. The one before it verifies on until the last token that it may have signed has expired.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal

import msgspec

from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.core.signing import DeliverySigner, generate_pair
from eventmill.errors import Conflict, StartupError
from eventmill.ids import IdSource
from eventmill.model import OrgId, SigningKey
from eventmill.store.control import ControlReads, ControlStore, Create, Delete, Key
from eventmill.store.seal import Sealer, load_seal_key, read_seal_key, seal_key_source

_GATEWAY = OrgId("")
"""Signing keys belong to the gateway, not to an organization."""
_DELIVERY_PAIRS = 2
_Purpose = Literal["delivery", "token"]


async def open_sealer(store: ControlReads, config: Config) -> Sealer:
    """With the key that everything in the store is sealed with; a new store gets one. Inside `store.alone()`.

    Raises `StartupError` when this gateway has another key, before anything is sealed with that."""
    held = await _stored_keys(store)
    return sealer_of(held, config) if held else Sealer(load_seal_key(config))


def sealer_of(held: Sequence[SigningKey], config: Config) -> Sealer:
    """With the key that these were sealed with. Raises `StartupError` when the configuration has none, or another."""
    sealer = Sealer(read_seal_key(config))
    if held and not sealer.opens(held[0].sealed_private_pem, _context(held[0].id)):
        place = "the database" if config.store else config.data
        elsewhere = "; another gateway needs another database" if config.store else ""
        raise StartupError(
            f"the secrets in {place} are sealed with another key than that of {seal_key_source(config)}; "
            "set EVENTMILL_SEAL_KEY to the key that they were sealed with, or put that gateway's seal.key into "
            f"{config.data}{elsewhere}"
        )
    return sealer


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
    store: ControlStore, sealer: Sealer, clock: Clock, ids: IdSource, *, newest: str = "", revoke_earlier: bool = False
) -> SigningKey:
    """Make the key that signs from now on, durably. `revoke_earlier` withdraws all others, and so every token.

    Raises `Conflict` when another process makes one at the same time, and when `newest` is given and is not."""
    earlier = _token_keys(await _stored_keys(store))
    if newest and (not earlier or earlier[-1].id != newest):
        raise Conflict("there is a newer token key by now", earlier[-1].id if earlier else "")
    pair = await asyncio.to_thread(generate_pair)
    # Newest by its time, whatever the machine's clock did since the last one.
    created_ms = max([clock.machine_ms(), *(key.created_ms + 1 for key in earlier)])
    key = _seal(sealer, ids.uuid(), pair, "token", created_ms)
    withdrawn = [Delete("signing_key", _GATEWAY, each.id) for each in earlier] if revoke_earlier else []
    # Each has one successor: of two processes that make one at the same time, one does.
    succeeds = tuple(Key("succeeds", each.id, at_most=1) for each in earlier[-1:])
    await store.write([Create("signing_key", _GATEWAY, key.id, msgspec.json.encode(key), succeeds), *withdrawn])
    return key


def retired_token_keys(keys: Iterable[SigningKey], *, now_ms: int, lifetime_s: int) -> list[SigningKey]:
    """Those whose last token has expired: their successor is older than any token gets."""
    ordered = _token_keys(keys)
    return [key for key, successor in pairwise(ordered) if successor.created_ms + lifetime_s * 1000 < now_ms]


def _token_keys(keys: Iterable[SigningKey]) -> list[SigningKey]:
    """Newest last."""
    return sorted((key for key in keys if key.purpose == "token"), key=lambda key: key.created_ms)


async def _stored_keys(store: ControlReads) -> list[SigningKey]:
    """In creation order."""
    return [msgspec.json.decode(each.doc, type=SigningKey) for each in await store.list_docs("signing_key", _GATEWAY)]


def _seal(sealer: Sealer, key_id: str, pair: tuple[str, str], purpose: _Purpose, created_ms: int) -> SigningKey:
    private_pem, public_pem = pair
    return SigningKey(
        id=key_id,
        public_pem=public_pem,
        sealed_private_pem=sealer.seal(private_pem.encode(), _context(key_id)),
        created_ms=created_ms,
        purpose=purpose,
    )


async def delivery_signer(store: ControlReads, sealer: Sealer) -> DeliverySigner:
    """The signer over the two newest delivery pairs."""
    first, second = [key for key in await _stored_keys(store) if key.purpose == "delivery"][-_DELIVERY_PAIRS:]
    return DeliverySigner(((first.id, _private_pem(first, sealer)), (second.id, _private_pem(second, sealer))))


def _private_pem(key: SigningKey, sealer: Sealer) -> str:
    return sealer.unseal(key.sealed_private_pem, _context(key.id)).decode()


def _context(key_id: str) -> str:
    return f"signing_key:{key_id}"
