"""Tries a changed schema on events of late: which of those that the old one accepted the new one would refuse.

An addition of ours. Looks backwards through the organization's positions, so many at most. Must not: write, or hold
others up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

import msgspec

from eventmill.core.data_schema import DataSchema
from eventmill.ids import uuid_text
from eventmill.model import EventMetadata
from eventmill.store.log import EventLog, StoredEvent
from eventmill.store.work import WorkStore

POSITIONS_MAX = 6_000
"""That are looked at; events of other codes and organizations are among them."""
REFUSED_MAX = 3
"""Events that are told."""
_STEP = 500
_BODIES_AT_ONCE = 10


class TrialStore(EventLog, WorkStore, Protocol):
    """What is asked of the store here."""


class Refused(msgspec.Struct, frozen=True):
    event_id: str
    faults: list[str]


class _CloudEvent(msgspec.Struct, frozen=True):
    data: msgspec.Raw = msgspec.Raw()
    data_base64: msgspec.Raw = msgspec.Raw()


class _AdobeIo(msgspec.Struct, frozen=True):
    event: msgspec.Raw


_decode_cloud_event = msgspec.json.Decoder(_CloudEvent).decode
_decode_adobe_io = msgspec.json.Decoder(_AdobeIo).decode


def would_refuse(old: DataSchema | None, new: DataSchema, data: bytes | msgspec.Raw, steps_max: int) -> list[str]:
    """What the new schema finds wrong with data that the old one, or none, accepted."""
    if old is not None and old.faults(data, steps_max):
        return []
    return new.faults(data, steps_max)


async def try_schema(
    store: TrialStore, metadata: EventMetadata, schemas: tuple[DataSchema | None, DataSchema], most: int, steps_max: int
) -> list[Refused]:
    """The newest of those that are refused, of the `most` last events of the code. `schemas`: the old and the new."""
    refused: list[Refused] = []
    if most < 1:
        return refused
    async for event in _newest(store, metadata, most):
        faults = would_refuse(*schemas, _stored_data(event), steps_max)
        if faults:
            refused.append(Refused(uuid_text(event.event_id), faults))
            if len(refused) >= REFUSED_MAX:
                break
        await asyncio.sleep(0)  # a check may take long
    return refused


async def _newest(store: TrialStore, metadata: EventMetadata, most: int) -> AsyncIterator[StoredEvent]:
    shard = await store.shard(metadata.org)
    upper = (await store.head(shard)).seq + 1
    lowest = max(1, upper - POSITIONS_MAX)
    wanted = (metadata.org, metadata.provider_id, metadata.event_code)
    while upper > lowest and most > 0:
        first = max(lowest, upper - _STEP)
        outlines = await store.outlines(shard, list(range(first, upper)))
        named = [(each.seq, (each.origin.org, each.origin.provider_id, each.origin.event_code)) for each in outlines]
        seqs = [seq for seq, origin in reversed(named) if origin == wanted][:most]
        for at in range(0, len(seqs), _BODIES_AT_ONCE):
            for event in reversed(await store.fetch(shard, sorted(seqs[at : at + _BODIES_AT_ONCE]))):
                yield event
        most -= len(seqs)
        upper = first


def _stored_data(event: StoredEvent) -> bytes | msgspec.Raw:
    if event.origin.delivery_format == "adobe_io":
        return _decode_adobe_io(event.body + b"}").event
    found = _decode_cloud_event(event.body + b"}")
    return found.data or found.data_base64 or b"null"
