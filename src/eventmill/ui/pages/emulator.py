"""Emulator: the virtual clock, faults of deliveries, mails that nobody gets, a fresh start. Dev mode only.

All of it is the whole gateway's: people who may see some organizations only do not get here.
"""

from __future__ import annotations

from eventmill.ui.act import Outcome
from eventmill.ui.moments import ms_of
from eventmill.ui.page import Page
from eventmill.ui.visit import Visit
from eventmill.web.http import Reply

_MAILS_LISTED = 50
_CHOICES_MAX = 500
ADVANCES = (("1 minute", 60), ("5 minutes", 300), ("1 hour", 3600), ("1 day", 86_400), ("7 days", 604_800))
RATES = (("stopped", 0), ("real time", 1), ("10 times", 10), ("60 times", 60), ("600 times", 600))
KINDS = (
    ("status", "Answer with a status"),
    ("latency", "Latency"),
    ("drop", "Drop: taken for delivered, never sent"),
    ("duplicate", "Duplicate: sent twice"),
    ("reorder", "Reorder: sent after the next one"),
)


async def show_emulator(visit: Visit) -> Reply:
    return await _page(visit)


async def _page(visit: Visit, refusal: Outcome | None = None) -> Reply:
    _permit(visit)
    clock = await visit.read("/_dev/clock")
    mails = await visit.read("/_dev/mailbox")
    start = next((at + 1 for at, each in enumerate(mails) if each["id"] == visit.query("after")), 0)
    shown = mails[start : start + _MAILS_LISTED]
    registrations = visit.parts.catalogue.registrations()
    own = [each for each in registrations if each.org == visit.org.id and each.delivery_type != "journal"]
    is_last = start + len(shown) >= len(mails)
    return visit.render(
        "emulator/show.html",
        status=200 if refusal is None else refusal.status,
        clock=clock,
        now_ms=ms_of(clock["now"]),
        advances=ADVANCES,
        rates=RATES,
        kinds=KINDS,
        faults=await visit.read("/_dev/faults"),
        names={each.registration_id: each.name for each in registrations},
        registrations=sorted(own, key=lambda each: each.name.lower())[:_CHOICES_MAX],
        mails=[(each, ms_of(each["time"])) for each in shown],
        mails_total=len(mails),
        mails_next="" if is_last else visit.url("emulator", after=shown[-1]["id"]),
        refusal=refusal,
        calls=_calls(visit),
    )


def _calls(visit: Visit) -> dict[str, list[tuple[str, str]]]:
    """What each part of the page does, and the calls for it."""
    fault = {"registration_id": "…", "kind": "status", "status": 503, "times": 2}
    return {
        "clock": [
            ("Move forward", visit.curl("POST", "/_dev/clock", {"advance_seconds": 3600})),
            ("Pace", visit.curl("POST", "/_dev/clock", {"rate": 60})),
        ],
        "faults": [
            ("Set fault", visit.curl("POST", "/_dev/faults", fault)),
            ("Clear all", visit.curl("DELETE", "/_dev/faults")),
        ],
        "mails": [
            ("Mailbox", visit.curl("GET", "/_dev/mailbox")),
            ("Empty it", visit.curl("DELETE", "/_dev/mailbox")),
        ],
        "data": [
            ("Download", visit.curl("GET", "/_dev/snapshot") + " \\\n  -o snapshot.tar.gz"),
            ("Restore", visit.curl("POST", "/_dev/restore") + " \\\n  --data-binary @snapshot.tar.gz"),
            ("Reset", visit.curl("POST", "/_dev/reset")),
        ],
    }


def _permit(visit: Visit) -> None:
    if visit.person.orgs:
        raise visit.not_found("emulator")


async def _do(visit: Visit, method: str, path: str, body: object, said: str) -> Reply:
    _permit(visit)
    done = await visit.act(method, path, body)
    if not done.ok:
        return await _page(visit, done)
    return visit.redirect(visit.url("emulator"), said)


async def move_clock(visit: Visit) -> Reply:
    """Forward, or to another pace."""
    rate = visit.field("rate")
    if rate:
        return await _do(
            visit,
            "POST",
            "/_dev/clock",
            {"rate": _number(rate)},
            "Business time stands still."
            if rate == "0"
            else f"Business time runs at {rate} times the pace of the machine.",
        )
    seconds = _number(visit.field("seconds"))
    factor = {"minutes": 60, "hours": 3600, "days": 86_400}.get(visit.field("unit"), 1)
    amount = seconds * factor if isinstance(seconds, int | float) else seconds
    said = "The clock moved forward; every attempt that fell due on the way has ended."
    return await _do(visit, "POST", "/_dev/clock", {"advance_seconds": amount}, said)


def _number(text: str) -> int | float | str:
    """As the API is to see it: what is no number is refused there."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        value = float(text)
    except ValueError:
        return text
    return value if value - value == 0 else text


async def add_fault(visit: Visit) -> Reply:
    kind = visit.field("kind")
    body: dict[str, object] = {"registration_id": visit.field("registration"), "kind": kind}
    body["times"] = _number(visit.field("times") or "1")
    if kind == "status":
        body["status"] = _number(visit.field("status") or "500")
    if kind == "latency":
        body["latency_ms"] = _number(visit.field("latency_ms") or "1000")
    return await _do(visit, "POST", "/_dev/faults", body, "The fault is set: the next deliveries suffer it.")


async def clear_faults(visit: Visit) -> Reply:
    return await _do(visit, "DELETE", "/_dev/faults", None, "No delivery suffers a fault any more.")


async def show_mail(visit: Visit) -> Reply:
    _permit(visit)
    assert visit.parts.dev is not None, "a page of dev mode"
    mail = visit.parts.dev.mailbox.mail(visit.params["mail"])
    if mail is None:
        raise visit.not_found("mail")
    return visit.render("emulator/mail.html", mail=mail, curl=visit.curl("GET", f"/_dev/mailbox/{mail.id}"))


async def empty_mailbox(visit: Visit) -> Reply:
    return await _do(visit, "DELETE", "/_dev/mailbox", None, "The mailbox is empty.")


async def reset(visit: Visit) -> Reply:
    said = "Journals, registrations, providers, retries and traces are gone."
    return await _do(visit, "POST", "/_dev/reset", None, said)


_EMULATOR = "/emulator"


PAGES = (
    Page("GET", _EMULATOR, show_emulator, "Emulator", section="emulator", dev_only=True),
    Page("GET", _EMULATOR + "/mails/{mail}", show_mail, "Mail", section="emulator", dev_only=True),
    Page("POST", _EMULATOR + "/clock", move_clock, role="developer", section="emulator", dev_only=True),
    Page("POST", _EMULATOR + "/faults", add_fault, role="developer", section="emulator", dev_only=True),
    Page("POST", _EMULATOR + "/faults/clear", clear_faults, role="developer", section="emulator", dev_only=True),
    Page("POST", _EMULATOR + "/mails/empty", empty_mailbox, role="developer", section="emulator", dev_only=True),
    Page("POST", _EMULATOR + "/reset", reset, role="developer", section="emulator", dev_only=True),
)
