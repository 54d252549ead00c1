"""Replays of a registration: the list, and one that tells by itself how far it is; held, continued and cancelled."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from eventmill.model import Registration
from eventmill.ui.act import Outcome
from eventmill.ui.moments import ms_of
from eventmill.ui.page import Page
from eventmill.ui.pages.one_registration import (
    REGISTRATION,
    find_registration,
    registration_path,
    registration_url,
)
from eventmill.ui.pages.renewing import renew
from eventmill.ui.visit import Visit
from eventmill.web.http import Reply

TONES = {"running": "ok", "paused": "warn", "done": "ok", "cancelled": "quiet"}
STEERING = {
    "running": (("pause", "Pause"), ("cancel", "Cancel")),
    "paused": (("resume", "Resume"), ("cancel", "Cancel")),
    "done": (),
    "cancelled": (),
}
"""What can be done in each state, and what its button says."""
_SAID = {
    "pause": "The replay is held: nothing more is handed to delivery.",
    "resume": "The replay goes on.",
    "cancel": "The replay is cancelled: what it had not handed over stays undelivered.",
}


def _path(visit: Visit, registration: Registration) -> str:
    return f"{registration_path(registration)}/replays/{quote(visit.params['replay'], safe='')}"


def _told(visit: Visit, replay: dict[str, Any]) -> dict[str, Any]:
    """A replay as the API has it, with its times as numbers, its pace so far and what is left at that pace."""
    started_ms, updated_ms = ms_of(replay["started"]) or 0, ms_of(replay["updated"]) or 0
    is_running = replay["state"] == "running"
    took_s = ((visit.parts.clock.now_ms() if is_running else updated_ms) - started_ms) / 1000
    sent = replay["handed"] - replay["waiting"]
    rate = sent / took_s if took_s >= 1 else None
    left_s = (replay["total"] - sent) / rate if is_running and rate else None
    return {
        **replay,
        "started_ms": started_ms,
        "updated_ms": updated_ms,
        "took_s": took_s,
        "sent": sent,
        "rate": rate,
        "left_s": left_s,
        "tone": TONES[replay["state"]],
        "steering": STEERING[replay["state"]],
    }


async def list_replays(visit: Visit) -> Reply:
    registration = find_registration(visit)
    path = f"{registration_path(registration)}/replays"
    listed = await visit.read(path)
    return visit.render(
        "registrations/replays.html",
        registration=registration,
        replays=[_told(visit, each) for each in listed["items"]],
        curl=visit.curl("GET", path),
    )


async def show_replay(visit: Visit) -> Reply:
    return await _page(visit, find_registration(visit))


async def _page(visit: Visit, registration: Registration, refusal: Outcome | None = None) -> Reply:
    path = _path(visit, registration)
    replay = _told(visit, await visit.read(path))
    return visit.render(
        "registrations/replay.html",
        status=200 if refusal is None else refusal.status,
        registration=registration,
        replay=replay,
        refusal=refusal,
        curl=visit.curl("GET", path),
        calls=[(label, visit.curl("POST", f"{path}/{action}")) for action, label in STEERING[replay["state"]]],
    )


async def stream_replay(visit: Visit) -> Reply:
    """The progress, whenever it changes."""
    registration = find_registration(visit)
    path = _path(visit, registration)
    await visit.read(path)

    async def make() -> str:
        read = await visit.act("GET", path)
        if not read.ok:
            return ""  # it is gone
        values = {"visit": visit, "registration": registration, "replay": _told(visit, read.body)}
        return visit.console.views.render("registrations/replay_progress.html", values)

    return renew(visit, make)


async def steer(visit: Visit) -> Reply:
    registration, action = find_registration(visit), visit.params["action"]
    if action not in _SAID:
        raise visit.not_found("page")
    done = await visit.act("POST", f"{_path(visit, registration)}/{action}")
    if not done.ok:
        return await _page(visit, registration, done)
    return visit.redirect(registration_url(visit, registration, "replays", visit.params["replay"]), _SAID[action])


_REPLAYS = REGISTRATION + "/replays"
_REPLAY = _REPLAYS + "/{replay}"

PAGES = (
    Page("GET", _REPLAYS, list_replays, "Replays", section="registrations"),
    Page("GET", _REPLAY, show_replay, "Replay", section="registrations"),
    Page("GET", _REPLAY + "/live", stream_replay, section="registrations"),
    Page("POST", _REPLAY + "/{action}", steer, "Replay", "developer", "registrations"),
)
