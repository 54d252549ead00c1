"""Decisions about a caller by the newest catalogue, and which refusals are final without a look at it.

Every look is a query to the database on many nodes. A flood of made-up tokens must not become one of queries, and yet
what another node answered a moment ago, a credential or a key, must hold here at the very next call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from eventmill.errors import GatewayError, Reason
from eventmill.flow.catalogue import Catalogue
from eventmill.web.recent import Recent
from eventmill.web.tokens import Token, key_id_of

T = TypeVar("T")

KEY_ID_CHARS_MAX = 64
"""Of a signing key of ours."""
KEPT_MAX = 4096
_BY_KEYS = (Reason.INVALID_TOKEN, Reason.ISSUER_UNAVAILABLE)
_BY_CLIENTS = (Reason.REVOKED_TOKEN, Reason.UNKNOWN_API_KEY, Reason.WRONG_ORGANIZATION)


class SecondLook:
    """One per process; used from its event loop only. `known`: what a token says that was verified lately."""

    def __init__(self, catalogue: Catalogue, known: Callable[[str], Token | None]) -> None:
        self._catalogue = catalogue
        self._known = known
        self._foreign_keys: Recent[str, int] = Recent(KEPT_MAX)
        """Ids of keys that are none of ours, with the epoch of the catalogue in which they were looked for."""

    async def always(self, token: str, decide: Callable[[], T]) -> T:
        """What `decide` says by all that any node has answered before; a final refusal is raised at once."""
        try:
            decide()
        except GatewayError as refused:
            return await self.after(refused, token, decide)
        await self._catalogue.refresh()
        return decide()

    async def after(self, refused: GatewayError, token: str, decide: Callable[[], T]) -> T:
        """What `decide` says by the newest catalogue after it has refused so by an older one."""
        kid = self._unknown_key_of(token) if refused.reason in _BY_KEYS else None
        if kid is None and not self._may_be_news(refused, token):
            raise refused
        if kid is not None and self._foreign_keys.get(kid) == self._catalogue.epoch:
            raise refused  # ids are random: no key gets one that was asked for before there was the key
        await self._catalogue.refresh()
        if kid is not None and self._unknown_key_of(token) is not None:
            self._foreign_keys.put(kid, self._catalogue.epoch)
        return decide()

    def _unknown_key_of(self, token: str) -> str | None:
        """The key that a token names, if it may be one of ours that this process has not heard of."""
        try:
            kid = key_id_of(token)
        except GatewayError:
            return None
        if kid is None or len(kid) > KEY_ID_CHARS_MAX:
            return None
        return None if any(key.id == kid for key in self._catalogue.signing_keys()) else kid

    def _may_be_news(self, refused: GatewayError, token: str) -> bool:
        """Whether a client or an organization that this process has not heard of would change the refusal."""
        known = self._known(token)
        if refused.reason is Reason.REVOKED_TOKEN and known is not None:
            return self._catalogue.credential_by_client(known.client_id) is None
        return refused.reason in _BY_CLIENTS
