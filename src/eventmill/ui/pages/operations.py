"""Operations: is anything late, who holds it up, how long will the disk do, which keys end, who changed what.

What concerns the whole installation is for people who see every organization.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import msgspec

from eventmill.core.signing import public_key_path
from eventmill.errors import GatewayError, Reason
from eventmill.flow.actions import read_actions
from eventmill.model import BUILTIN_ORG, Registration
from eventmill.send.tls import client_chain
from eventmill.store.work import SLOTS
from eventmill.ui.charts import Bar
from eventmill.ui.disk import Stored, stored_files
from eventmill.ui.page import Page
from eventmill.ui.pages.renewing import renew
from eventmill.ui.settings_shown import shown_settings
from eventmill.ui.visit import Visit
from eventmill.web.actions import change_list
from eventmill.web.certificates import not_after_ms
from eventmill.web.http import Reply

_LANES_LISTED = 25
_DAYS_SHOWN = 30
_CHANGES_LISTED = 50
_SOON_MS = 30 * 86_400_000
_SILENT_S = 30.0
"""A node that gave no sign for so long is hardly alive."""


class LateLane(msgspec.Struct, frozen=True):
    registration: Registration | None
    registration_id: str
    organization: str
    waiting_s: float


class HeldKey(msgspec.Struct, frozen=True):
    name: str
    use: str
    since_ms: int | None
    ends_ms: int | None
    url: str = ""


async def show_operations(visit: Visit) -> Reply:
    parts = visit.parts
    files: list[Stored] = []
    if not visit.person.orgs and not parts.config.store:
        files = await asyncio.to_thread(stored_files, Path(parts.config.data))
    return visit.render(
        "operations/show.html",
        tab="show",
        processes=parts.processes(),
        nodes=[] if visit.person.orgs else await parts.store.nodes(),
        own_slots=len(await parts.store.leases()),
        slots=SLOTS,
        silent_s=_SILENT_S,
        files=files,
        day_bars=[Bar(each.name, each.size) for each in reversed(files[:-1][:_DAYS_SHOWN])],
        curl=visit.curl("GET", "/metrics"),
        **await _lanes(visit),
    )


async def stream_lanes(visit: Visit) -> Reply:
    """Figures and lanes, sent anew whenever they change."""

    async def make() -> str:
        return visit.console.views.render("operations/lanes.html", {"visit": visit, **await _lanes(visit)})

    return renew(visit, make)


async def _lanes(visit: Visit) -> dict[str, Any]:
    """For `lanes.html`."""
    parts, figures = visit.parts, visit.console.figures
    totals, backlog = await figures.now()
    now_ms = parts.clock.now_ms()
    sees_all = not visit.person.orgs
    lanes = []
    for each in backlog.oldest:
        registration = parts.catalogue.registration_of_lane(each.lane)
        org = registration.org if registration is not None else ""
        if org == visit.org.id or sees_all:
            late = LateLane(registration, each.registration_id, org, max(0, now_ms - each.since_ms) / 1000)
            lanes.append(late)
    return {
        "sees_all": sees_all,
        "lanes": lanes[:_LANES_LISTED],
        "lanes_total": len(lanes),
        "units": backlog.units,
        "totals": totals,
        "days_left": figures.days_left(totals),
        "reserve": parts.config.disk_reserve_bytes,
        "unready": parts.unready(),
        "stored_here": parts.store.stored_bytes(visit.org.id),
    }


async def show_keys(visit: Visit) -> Reply:
    parts = visit.parts
    keys = [
        HeldKey(
            each.id,
            "signs deliveries" if each.purpose == "delivery" else "signs tokens",
            each.created_ms,
            None,
            public_key_path(each.id) if each.purpose == "delivery" else "/ims/keys",
        )
        for each in parts.catalogue.signing_keys()
    ]
    return visit.render(
        "operations/keys.html",
        tab="keys",
        sees_all=not visit.person.orgs,
        keys=sorted(keys, key=lambda each: (each.use, -(each.since_ms or 0))),
        certificates=await asyncio.to_thread(_certificates, visit),
        now_ms=parts.clock.machine_ms(),
        soon_ms=_SOON_MS,
        curl=visit.curl("GET", "/ims/keys"),
    )


def _certificates(visit: Visit) -> list[HeldKey]:
    """The gateway's own, and those that credentials of the organization sign with; what ends first, first."""
    config = visit.parts.config
    found = []
    if config.tls_cert:
        found.append(_certificate("its own, for https", _read(config.tls_cert), "this gateway"))
    try:
        chain = client_chain(config) or ""
    except (OSError, ValueError):
        chain = ""
    if chain:
        found.append(_certificate("towards webhooks that ask for one", chain, "this gateway"))
    for credential in visit.parts.catalogue.credentials(visit.org.id):
        whose = credential.name or credential.client_id
        found += [_certificate("signs assertions", pem, whose) for pem in credential.public_keys]
    return sorted(found, key=lambda each: each.ends_ms or 1 << 62)


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _certificate(use: str, pem: str, name: str) -> HeldKey:
    try:
        ends_ms = not_after_ms(pem)
    except ValueError:
        ends_ms = None
    return HeldKey(name, use, None, ends_ms)


async def show_settings(visit: Visit) -> Reply:
    if not visit.person.runs_gateway:
        raise GatewayError(Reason.NOT_PERMITTED, "settings are for people who run the whole gateway")
    settings = shown_settings(visit.parts.config, os.environ)
    wanted, shows_all = visit.query("q").lower(), visit.query("all") == "1"
    shown = [
        each
        for each in settings
        if (shows_all or wanted or each.source != "default") and wanted in f"{each.name} {each.variable}".lower()
    ]
    return visit.render(
        "operations/settings.html",
        tab="settings",
        settings=shown,
        changed=sum(each.source != "default" for each in settings),
        total=len(settings),
        q=visit.query("q"),
        shows_all=shows_all,
    )


async def list_changes(visit: Visit) -> Reply:
    """Of the organization; for those who run the gateway, with what concerns none."""
    found = await read_actions(visit.parts.store, visit.org.id)
    if visit.person.runs_gateway:
        found = sorted([*found, *await read_actions(visit.parts.store, BUILTIN_ORG)], key=lambda each: each.id)
    who, after = visit.query("who"), visit.query("after")
    fitting = [each for each in found if not who or each.who == who]
    shown = [each for each in fitting if each.id > after]
    listed = change_list(shown, _CHANGES_LISTED)
    return visit.render(
        "operations/changes.html",
        tab="changes",
        found=list(zip(listed.changes, shown, strict=False)),
        names={each: _name_of(visit, each) for each in {each.who for each in found}},
        people=sorted({each.who for each in found})[:50],
        who=who,
        next=visit.url("operations", "changes", who=who, after=listed.next) if listed.next else "",
        curl=visit.curl("GET", f"/events/{visit.org.id}/changes"),
    )


def _name_of(visit: Visit, who: str) -> str:
    """Of the credential with this api key, where it is the organization's."""
    credential = visit.parts.catalogue.credential_by_client(who)
    return credential.name if credential is not None and credential.org == visit.org.id else ""


_OPERATIONS = "/operations"

PAGES = (
    Page("GET", _OPERATIONS, show_operations, "Operations", section="operations"),
    Page("GET", _OPERATIONS + "/live", stream_lanes),
    Page("GET", _OPERATIONS + "/keys", show_keys, "Keys and certificates", section="operations"),
    Page("GET", _OPERATIONS + "/settings", show_settings, "Settings", role="admin", section="operations"),
    Page("GET", _OPERATIONS + "/changes", list_changes, "Changes", section="operations"),
)
