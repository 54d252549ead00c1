"""The record of what people and programs changed through the API: who, when, what; never bodies, which hold secrets.

Written after the change, by a commit of its own: a crash between the two loses the note of a change, never a change.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from eventmill.ids import IdSource
from eventmill.model import Action, OrgId
from eventmill.store.control import ControlOp, ControlReads, Create, Versioned

KEPT_MS = 90 * 86_400_000
KEPT_PER_ORG = 1000
PATH_CHARS_MAX = 400
_AGES = 1 << 48


class ActionWrites(Protocol):
    async def write(self, ops: list[ControlOp]) -> list[Versioned]: ...


def action_id(ids: IdSource, at_ms: int) -> str:
    """Ascending from the newest to the oldest, so that the order of ids is that of a list."""
    return f"{_AGES - at_ms:012x}-{ids.random(6).hex()}"


async def note_action(store: ActionWrites, org: OrgId, action: Action) -> None:
    await store.write([Create("action", org, action.id, msgspec.json.encode(action))])


async def read_actions(store: ControlReads, org: OrgId) -> list[Action]:
    """Newest first; about `KEPT_PER_ORG` at most."""
    stored = await store.list_docs("action", org)
    return sorted((msgspec.json.decode(each.doc, type=Action) for each in stored), key=lambda each: each.id)
