"""What a change of a registration writes: its document under its keys, and whether its lane pushes.

Document and lane change in one write. Whether a lane pushes follows from the document: one that is enabled and no
journal does, any other has an open gap (`DisableLane`), which ends at the head when it starts to push. So a journal
that becomes a webhook, or a registration that is enabled again, is sent new events only.
"""

from __future__ import annotations

import msgspec

from eventmill.flow.targets import delivers
from eventmill.model import OrgId, Registration
from eventmill.store.control import ControlOp, ControlStore, DisableLane, EnableLane, Key, Replace, Versioned
from eventmill.store.work import PULLED


def decode_registration(stored: Versioned) -> Registration:
    return msgspec.json.decode(stored.doc, type=Registration)


async def find_stored(store: ControlStore, org: OrgId, registration_id: str) -> tuple[Versioned, Registration] | None:
    """The registration as it is stored now, which may be newer than what the catalogue knows."""
    stored = await store.get("registration", org, registration_id)
    return None if stored is None else (stored, decode_registration(stored))


def name_key(registration: Registration) -> tuple[str, str]:
    """Of the key that makes its name unique in its workspace."""
    return "name", f"{registration.workspace_id}/{registration.name}"


def registration_keys(registration: Registration, *, client_max: int = 0, org_max: int = 0) -> tuple[Key, ...]:
    """The quotas bind who creates, not who changes what exists."""
    name, value = name_key(registration)
    return (
        Key("workspace", registration.workspace_id),
        Key(name, value, at_most=1),
        Key("client", registration.client_id, client_max),
        Key("org", registration.org, org_max),
    )


def replacement(stored: Versioned, registration: Registration) -> list[ControlOp]:
    """The registration in place of what was stored; refused when that has changed since."""
    doc, keys = msgspec.json.encode(registration), registration_keys(registration)
    replace = Replace("registration", registration.org, stored.id, doc, stored.version, keys)
    return [replace, lane_op(registration)]


def lane_op(registration: Registration) -> EnableLane | DisableLane:
    """Both have no effect on a lane that is in that state already."""
    if delivers(registration):
        return EnableLane(registration.id, registration.updated_ms)
    return DisableLane(registration.id, pause_cause(registration), registration.updated_ms)


def pause_cause(registration: Registration) -> str:
    if registration.delivery_type == "journal":
        return PULLED
    # An unstable one pushes: it was disabled by hand, as a verified one was.
    return "disabled" if registration.webhook_status in ("verified", "unstable") else registration.webhook_status
