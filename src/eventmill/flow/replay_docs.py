"""Replays as stored documents: read, found, and written in place of what was read."""

from __future__ import annotations

import msgspec

from eventmill.errors import GatewayError, Reason
from eventmill.model import Registration, Replay, ReplayState
from eventmill.store.control import ControlReads, Create, Key, Replace, Versioned

UNFINISHED: tuple[ReplayState, ...] = ("running", "paused")
UNFINISHED_KEY = ("state", "unfinished")


def decode_replay(stored: Versioned) -> Replay:
    return msgspec.json.decode(stored.doc, type=Replay)


async def find_replay(store: ControlReads, registration: Registration, replay_id: str) -> tuple[Versioned, Replay]:
    """Raises `GatewayError` (not found)."""
    stored = await store.get("replay", registration.org, replay_id)
    replay = None if stored is None else decode_replay(stored)
    if stored is None or replay is None or replay.registration_id != registration.registration_id:
        message = f"replay {replay_id!r} does not exist in registration {registration.registration_id}"
        raise GatewayError(Reason.NOT_FOUND, message)
    return stored, replay


async def replays_of(store: ControlReads, registration: Registration) -> list[Replay]:
    """Newest first."""
    docs = await store.list_docs("replay", registration.org, ("registration", registration.registration_id))
    return sorted(map(decode_replay, docs), key=lambda each: (each.created_ms, each.id), reverse=True)


def creation(replay: Replay) -> Create:
    return Create("replay", replay.org, replay.id, msgspec.json.encode(replay), _keys(replay))


def replacement(stored: Versioned, replay: Replay) -> Replace:
    return Replace("replay", replay.org, replay.id, msgspec.json.encode(replay), stored.version, _keys(replay))


def _keys(replay: Replay) -> tuple[Key, ...]:
    keys = (Key("registration", replay.registration_id),)
    if replay.state not in UNFINISHED:
        return keys
    # One at a time per registration: two would only race for the same events.
    return (*keys, Key(*UNFINISHED_KEY), Key("unfinished", replay.registration_id, at_most=1))
