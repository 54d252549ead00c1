"""Whether a verified token is still good, and how it stops being: expiry, revocation, the end of its client or key.

A revocation is a document of the store: it survives a restart, other processes see it, and it goes once the tokens it
voids would have expired anyway (`flow.token_upkeep`).
"""

from __future__ import annotations

import msgspec

from eventmill.errors import GatewayError, LimitReached, Reason
from eventmill.flow.catalogue import Catalogue
from eventmill.model import BUILTIN_ORG, Organization, OrgId, Revocation
from eventmill.store.control import ControlOp, ControlStore, Create, Delete, Key, Replace
from eventmill.web.tokens import PEOPLES_CLIENTS, Token, invalid_token

REVOCATIONS_PER_SUBJECT = 1000
"""Single tokens revoked at a time; one more, and everything issued to the subject so far is."""
_SINGLE_MS = 1 << 53
_ATTEMPTS_MAX = 5


def organization_of(token: Token, catalogue: Catalogue) -> Organization | None:
    """An outside issuer may name it either way."""
    found = catalogue.organization_by_ims(token.org)
    return catalogue.organization(OrgId(token.org)) if found is None and token.is_outside else found


def check_standing(token: Token, catalogue: Catalogue, now_ms: int) -> None:
    """Raises `EXPIRED_TOKEN`, `REVOKED_TOKEN`, or `INVALID_TOKEN` when its key is gone. `now_ms` is machine time."""
    if token.expires_ms <= now_ms:
        raise GatewayError(Reason.EXPIRED_TOKEN, "the access token has expired; get a new one")
    if not token.is_outside:
        if all(key.id != token.key_id for key in catalogue.signing_keys()):
            raise invalid_token("the key that signed it was withdrawn")
        _check_client(token, catalogue)
    if token.created_ms < max(_void_before_ms(catalogue, token.fingerprint), _void_before_ms(catalogue, token.subject)):
        raise _revoked("it was revoked")


def _check_client(token: Token, catalogue: Catalogue) -> None:
    credential = catalogue.credential_by_client(token.client_id)
    if credential is not None:
        if token.created_ms < credential.revoked_before_ms:
            raise _revoked("the tokens that its client had until then were revoked")
    elif token.client_id not in PEOPLES_CLIENTS:
        raise _revoked("its client does not exist any more")


def _revoked(why: str) -> GatewayError:
    return GatewayError(Reason.REVOKED_TOKEN, f"the access token is void: {why}; get a new one")


def _void_before_ms(catalogue: Catalogue, revocation_id: str) -> int:
    revocation = catalogue.revocation(revocation_id)
    return 0 if revocation is None else revocation.before_ms


def earliest_issue_ms(catalogue: Catalogue, client_id: str, subject: str, now_ms: int) -> int:
    """When to say that a token was issued: now, but never so early that an earlier revocation would void it."""
    credential = catalogue.credential_by_client(client_id)
    revoked_before_ms = 0 if credential is None else credential.revoked_before_ms
    return max(now_ms, revoked_before_ms, _void_before_ms(catalogue, subject))


async def use_up(store: ControlStore, catalogue: Catalogue, token: Token) -> None:
    """Revoke a token that is good for one use. Raises `Conflict` when somebody else has used it."""
    await store.write((_create_single(catalogue, token, ()),))
    await catalogue.refresh()


async def revoke_token(store: ControlStore, catalogue: Catalogue, token: Token) -> bool:
    """Void this one token, durably; False when there are too many of its subject to remember each."""
    if catalogue.revocation(token.fingerprint) is None:
        counted = Key("subject", token.subject, at_most=REVOCATIONS_PER_SUBJECT)
        try:
            await store.write((_create_single(catalogue, token, (counted,)),))
        except LimitReached:
            return False
        except GatewayError as error:
            if error.reason is not Reason.CONFLICT:  # somebody else revoked it meanwhile
                raise
        await catalogue.refresh()
    return True


async def revoke_subject(
    store: ControlStore, catalogue: Catalogue, token: Token, *, now_ms: int, lifetime_s: int
) -> None:
    """Void all that was issued to the token's client and user until now, durably. `lifetime_s`: of the longest."""
    revocation = Revocation(
        id=token.subject,
        org=_owner(catalogue, token),
        before_ms=max(now_ms, token.created_ms) + 1,
        expires_ms=max(now_ms + lifetime_s * 1000, token.expires_ms),
    )
    for _ in range(_ATTEMPTS_MAX):
        try:
            await store.write(await _subject_ops(store, revocation))
        except GatewayError as error:
            if error.reason not in (Reason.CONFLICT, Reason.STALE_VERSION):
                raise
        else:
            await catalogue.refresh()
            return
    raise GatewayError(Reason.STALE_VERSION, "these tokens are being revoked by others at the same time; try again")


async def _subject_ops(store: ControlStore, wanted: Revocation) -> list[ControlOp]:
    """The subject's revocation takes the place of its single ones."""
    singles = await store.list_docs("revocation", wanted.org, ("subject", wanted.id))
    ops: list[ControlOp] = [Delete("revocation", wanted.org, single.id) for single in singles]
    held = await store.get("revocation", wanted.org, wanted.id)
    if held is None:
        return [*ops, Create("revocation", wanted.org, wanted.id, msgspec.json.encode(wanted))]
    before_ms = max(wanted.before_ms, msgspec.json.decode(held.doc, type=Revocation).before_ms)
    doc = msgspec.json.encode(msgspec.structs.replace(wanted, before_ms=before_ms))
    return [*ops, Replace("revocation", wanted.org, wanted.id, doc, held.version)]


def _create_single(catalogue: Catalogue, token: Token, keys: tuple[Key, ...]) -> Create:
    org = _owner(catalogue, token)
    revocation = Revocation(id=token.fingerprint, org=org, before_ms=_SINGLE_MS, expires_ms=token.expires_ms)
    return Create("revocation", org, token.fingerprint, msgspec.json.encode(revocation), keys)


def _owner(catalogue: Catalogue, token: Token) -> OrgId:
    """Whose document it is; the operator's belong to nobody."""
    organization = organization_of(token, catalogue)
    return BUILTIN_ORG if organization is None else organization.id
