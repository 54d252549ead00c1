"""What time alone brings about for tokens: other processes' revocations are seen, keys change, what is over goes."""

from __future__ import annotations

import asyncio
import contextlib
from itertools import count
from typing import Protocol

import msgspec
import structlog

from eventmill import telemetry
from eventmill.clock import Clock
from eventmill.config import Config
from eventmill.errors import Conflict
from eventmill.flow.catalogue import Catalogue
from eventmill.flow.keyring import retired_token_keys, rotate_token_key
from eventmill.flow.presiding import Presided, while_presiding
from eventmill.flow.stage import Passes
from eventmill.ids import IdSource
from eventmill.model import BUILTIN_ORG, Revocation
from eventmill.store.control import ControlStore, Delete
from eventmill.store.drift import Drifting
from eventmill.store.seal import Sealer

log = structlog.get_logger()

_LOOK_S = 1.0
"""A credential that another process revoked stops working here after this long."""
_STEP_EVERY = 60
_DELETES_MAX = 500
_DAY_MS = 86_400_000


class TokenUpkeepStore(ControlStore, Presided, Drifting, Protocol):
    """What is asked of the store here."""


class TokenUpkeep:
    def __init__(
        self, store: TokenUpkeepStore, catalogue: Catalogue, sealer: Sealer, clock: Clock, ids: IdSource, config: Config
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._sealer = sealer
        self._clock = clock
        self._ids = ids
        self._rotation_ms = config.token_key_rotation_days * _DAY_MS
        self._lifetime_s = max(config.token_lifetime_s, config.refresh_token_lifetime_s)

    async def run(self) -> None:
        """What is over stays void while passes fail."""
        presiding = while_presiding(self._store, self.step)
        passes = Passes("token_upkeep")
        for turn in count():
            await passes.make(self._catalogue.refresh if turn % _STEP_EVERY else presiding)
            await asyncio.sleep(_LOOK_S)

    async def step(self) -> int:
        """One pass at the current machine time; returns how many keys and revocations were deleted: none while it is in
        doubt what time it is, as tokens would end, or revoked ones be good again."""
        await self._catalogue.refresh()
        if self._store.clock_doubt():
            return 0
        now_ms = self._clock.machine_ms()
        keys = [key for key in self._catalogue.signing_keys() if key.purpose == "token"]
        if self._rotation_ms and all(key.created_ms + self._rotation_ms <= now_ms for key in keys):
            with contextlib.suppress(Conflict):  # another process did
                newest = max(keys, key=lambda key: key.created_ms, default=None)
                known = "" if newest is None else newest.id
                key = await rotate_token_key(self._store, self._sealer, self._clock, self._ids, newest=known)
                log.info(telemetry.TOKEN_KEY_ROTATED, kid=key.id)
        over = [
            Delete("signing_key", BUILTIN_ORG, key.id)
            for key in retired_token_keys(keys, now_ms=now_ms, lifetime_s=self._lifetime_s)
        ]
        over += await self._revocations_over(now_ms)
        if over:
            await self._store.write(over)
        await self._catalogue.refresh()
        return len(over)

    async def _revocations_over(self, now_ms: int) -> list[Delete]:
        """As they are stored now: one that was just renewed stays, or what it revoked would be good again."""
        over = []
        expired = [each for each in self._catalogue.revocations() if each.expires_ms <= now_ms]
        for each in expired[:_DELETES_MAX]:
            held = await self._store.get("revocation", each.org, each.id)
            if held is not None and msgspec.json.decode(held.doc, type=Revocation).expires_ms <= now_ms:
                over.append(Delete("revocation", each.org, each.id, held.version))
        return over
