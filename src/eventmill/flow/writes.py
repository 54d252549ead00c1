"""Changes of stored documents: a compare-and-set that loses against another is tried again on what is there then."""

from __future__ import annotations

from collections.abc import Sequence

from eventmill.errors import StaleVersion
from eventmill.flow.catalogue import Catalogue
from eventmill.store.control import ControlOp, ControlStore

WRITES_MAX = 8
"""How often a change is tried against others of the same document; then the last refusal is the caller's to see."""


async def write_change(store: ControlStore, catalogue: Catalogue, ops: Sequence[ControlOp]) -> bool:
    """False: another change came first. Either way the catalogue has caught up afterwards."""
    try:
        await store.write(ops)
    except StaleVersion:
        return False
    finally:
        await catalogue.refresh()
    return True
