"""Sessions: who signed in with which browser. Stored documents, so that every node of a cluster knows them.

The browser has a random token; the store only its hash. A changed or deleted user ends all of theirs.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib

import msgspec

from eventmill.errors import GatewayError, StaleVersion
from eventmill.model import BUILTIN_ORG, OrgId, Role, Session
from eventmill.store.control import Create, Delete, Key, Replace, Versioned
from eventmill.ui.person import Person
from eventmill.web.parts import Parts
from eventmill.web.users import find_user

SESSIONS_PER_USER = 20
_SEEN_EVERY_MS = 60_000


def csrf_token(secret: str) -> str:
    """Bound to a cookie that no other site knows, and tells nothing of it."""
    return hashlib.sha256(f"csrf:{secret}".encode()).hexdigest()[:40]


def session_id(token: str) -> str:
    return hashlib.sha256(f"session:{token}".encode()).hexdigest()


class Sessions:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def begin(self, user: str, role: Role | None = None, orgs: tuple[OrgId, ...] = ()) -> str:
        """The token for the browser. Of one person's sessions the oldest go, beyond some."""
        parts = self._parts
        held = [self._decode(each) for each in await self._of(user)]
        now_ms = parts.clock.machine_ms()
        doomed = [each for each in held if not self._is_alive(each, now_ms)]
        alive = sorted((each for each in held if self._is_alive(each, now_ms)), key=lambda each: each.seen_ms)
        doomed += alive[: max(0, len(alive) + 1 - SESSIONS_PER_USER)]
        for each in doomed:
            await self._delete(each.id)
        token = base64.urlsafe_b64encode(parts.ids.random(32)).decode().rstrip("=")
        session = Session(id=session_id(token), user=user, role=role, orgs=orgs, started_ms=now_ms, seen_ms=now_ms)
        doc = msgspec.json.encode(session)
        await parts.store.write([Create("session", BUILTIN_ORG, session.id, doc, (Key("user", user),))])
        return token

    async def find(self, token: str) -> Person | None:
        """Whose it is; None when it is nobody's any more."""
        stored = await self._parts.store.get("session", BUILTIN_ORG, session_id(token))
        if stored is None:
            return None
        session = self._decode(stored)
        now_ms = self._parts.clock.machine_ms()
        if not self._is_alive(session, now_ms):
            await self._delete(session.id)
            return None
        person = await self._person(session, csrf_token(token))
        if person is not None and now_ms - session.seen_ms > _SEEN_EVERY_MS:
            await self._touch(stored, msgspec.structs.replace(session, seen_ms=now_ms))
        return person

    async def end(self, token: str) -> None:
        await self._delete(session_id(token))

    async def _person(self, session: Session, csrf: str) -> Person | None:
        if session.role is not None:
            return Person(session.user, session.role, session.orgs, csrf)
        user = await find_user(self._parts.store, session.user)
        if user is None or session.started_ms <= user.sessions_after_ms:
            await self._delete(session.id)
            return None
        return Person(user.name, user.role, user.orgs, csrf)

    def _is_alive(self, session: Session, now_ms: int) -> bool:
        config = self._parts.config
        idle_ms, age_ms = now_ms - session.seen_ms, now_ms - session.started_ms
        return idle_ms < config.session_idle_s * 1000 and age_ms < config.session_lifetime_s * 1000

    async def _of(self, user: str) -> list[Versioned]:
        return await self._parts.store.list_docs("session", BUILTIN_ORG, ("user", user))

    def _decode(self, stored: Versioned) -> Session:
        return msgspec.json.decode(stored.doc, type=Session)

    async def _touch(self, stored: Versioned, session: Session) -> None:
        doc = msgspec.json.encode(session)
        with contextlib.suppress(GatewayError):  # somebody else did, or the store takes nothing now
            await self._parts.store.write([Replace("session", BUILTIN_ORG, session.id, doc, stored.version, None)])

    async def _delete(self, doc_id: str) -> None:
        with contextlib.suppress(StaleVersion):  # it went already
            await self._parts.store.write([Delete("session", BUILTIN_ORG, doc_id)])
