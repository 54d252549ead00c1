"""Forgets what only time ends: sessions of people who went away, and the oldest notes of what was changed."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from eventmill.config import Config
from eventmill.errors import StaleVersion
from eventmill.flow.actions import KEPT_MS, KEPT_PER_ORG
from eventmill.model import Action, OrgId, Session
from eventmill.store.control import ControlOp, Delete, Kind, Versioned

_PAGE = 500


class SweptStore(Protocol):
    async def scan_page(self, kind: Kind, after: tuple[str, str], limit: int) -> list[Versioned]: ...

    async def write(self, ops: Sequence[ControlOp]) -> list[Versioned]: ...


async def sweep(store: SweptStore, config: Config, now_ms: int) -> int:
    """At machine time `now_ms`; returns how many documents went."""
    noted: Counter[OrgId] = Counter()

    def is_over(stored: Versioned) -> bool:
        session = msgspec.json.decode(stored.doc, type=Session)
        idle_ms, age_ms = now_ms - session.seen_ms, now_ms - session.started_ms
        return idle_ms >= config.session_idle_s * 1000 or age_ms >= config.session_lifetime_s * 1000

    def is_old(stored: Versioned) -> bool:
        noted[stored.org] += 1  # pages ascend by organization and id, and so from its newest to its oldest
        action = msgspec.json.decode(stored.doc, type=Action)
        return noted[stored.org] > KEPT_PER_ORG or action.at_ms < now_ms - KEPT_MS

    return await _drop(store, "session", is_over) + await _drop(store, "action", is_old)


async def _drop(store: SweptStore, kind: Kind, is_over: Callable[[Versioned], bool]) -> int:
    dropped, after = 0, ("", "")
    while True:
        page = await store.scan_page(kind, after, _PAGE)
        for stored in page:
            if is_over(stored):
                with contextlib.suppress(StaleVersion):  # another node, or a new sign-in, was first
                    await store.write([Delete(kind, stored.org, stored.id, stored.version)])
                    dropped += 1
        if len(page) < _PAGE:
            return dropped
        after = (page[-1].org, page[-1].id)
