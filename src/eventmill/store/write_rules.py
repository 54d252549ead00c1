"""What all engines decide alike about writes of the catalogue: which names are unique where, what a reset takes, which
writes no routing depends on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

from eventmill.errors import Conflict, LimitReached
from eventmill.model import OrgId
from eventmill.store.control import UNROUTED, ControlOp, Create, Delete, Key, Kind, Replace, Require

GLOBAL_KEYS = frozenset({"client_id", "ims_org_id"})
"""Key names whose limits count over all organizations."""

CHANGES_KEPT = 100_000
TRIM_EVERY = 1024
"""Changes; between two times at which older ones are forgotten."""

EMPTIED_KINDS: tuple[Kind, ...] = (
    "registration",
    "event_metadata",
    "schema_history",
    "provider",
    "notice",
    "cursor",
    "replay",
)


def is_unrouted(ops: Sequence[ControlOp]) -> bool:
    """Whether only documents are touched that no routing depends on."""
    return all(isinstance(op, Require) or (is_document(op) and op.kind in UNROUTED) for op in ops)


def is_document(op: ControlOp) -> TypeGuard[Create | Replace | Delete]:
    return isinstance(op, Create | Replace | Delete)


def key_refusal(kind: Kind, org: OrgId, key: Key, holder: tuple[str, str]) -> Conflict | LimitReached:
    """`holder`: organization and id of a document that has the key."""
    if key.at_most > 1:
        return LimitReached(key.name, key.at_most)
    # Another organization's document is not named to this caller.
    return Conflict(f"another {kind} has the {key.name} {key.value}", holder[1] if holder[0] == org else "")
