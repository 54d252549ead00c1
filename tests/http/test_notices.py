"""`flow.notices` with a real store and a real mail server: one mail per notice, whatever fails on the way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog

from eventmill import telemetry
from eventmill.clock import VirtualClock
from eventmill.config import Config
from eventmill.core.envelope import format_time
from eventmill.errors import StoreUnavailable
from eventmill.flow.notices import CAPTURED_TO, Notices
from eventmill.model import Notice, OrgId
from eventmill.send.mail import MailServer
from eventmill.send.mailbox import MAILS_MAX, Mailbox
from eventmill.store.control import Create, Replace
from eventmill.ui.routes import page_router
from tests.http.console import ask
from tests.http.mail_server import Mails, mail_server
from tests.http.world import BASE, World, running
from tests.unit.test_notice import mail_of

pytestmark = pytest.mark.anyio

A, B = "a@acme.example", "b@acme.example"
MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS
ORG = "/console/organizations/1001"


class Office:
    """A gateway whose notices the test writes, and the stage that mails them."""

    def __init__(self, world: World, registration: dict[str, Any], post: Any) -> None:
        assert isinstance(world.parts.clock, VirtualClock)
        self.world, self.registration, self.clock = world, registration, world.parts.clock
        self.post = post
        self.stage = self.restarted()

    def restarted(self) -> Notices:
        parts = self.world.parts
        self.stage = Notices(parts.store, parts.catalogue, parts.clock, parts.config, self.post)
        return self.stage

    async def write(self, **members: Any) -> Notice:
        notice = Notice(
            **{
                "id": self.world.parts.ids.uuid(),
                "org": OrgId("1001"),
                "project_id": "2001",
                "workspace_id": "3001",
                "registration_id": self.registration["registration_id"],
                "name": "Stock to ERP",
                "before": "verified",
                "after": "unstable",
                "at_ms": self.clock.now_ms(),
                "attempts": 10,
                "failed": 9,
                **members,
            }
        )
        await self.world.store.write([Create("notice", notice.org, notice.id, msgspec.json.encode(notice))])
        return notice

    async def stored(self) -> list[Notice]:
        return [msgspec.json.decode(each.doc, type=Notice) for each in await self.world.store.scan("notice")]

    async def pause(self, on: bool) -> None:
        answer = await self.world.call("PATCH", f"{ORG}/projects/2001", {"pause_notices": on})
        assert (answer.status, answer.json()["pause_notices"]) == (200, on)

    async def address(self, *recipients: str) -> None:
        answer = await ask(self.world, "PATCH", ORG, {"notice_recipients": recipients})
        assert (answer.status, answer.json()["notice_recipients"]) == (200, list(recipients))


@asynccontextmanager
async def office(tmp_path: Path, mails: Mails | None, **settings: Any) -> AsyncIterator[Office]:
    """With a mail server; without, dev mode has a mailbox and production nobody to tell."""
    chosen = {**(mails.settings if mails else {}), **settings}
    async with running(tmp_path, **chosen) as world:
        config = world.parts.config
        dev_post = world.parts.dev.mailbox.send if world.parts.dev else None
        registration = await world.register(await world.topic())
        yield Office(world, registration, MailServer(config).send if config.smtp_host else dev_post)


def logged(lines: list[Any], event: str) -> list[Any]:
    return [each for each in lines if each["event"] == event]


async def test_one_mail_per_notice(tmp_path: Path) -> None:
    """The mail goes to the organization's recipients, its links lead somewhere, and the notice is done with."""
    async with mail_server() as mails, office(tmp_path, mails) as office_:
        await office_.address(A, B)
        notice = await office_.write()
        assert await office_.stage.step() == 1
        assert await office_.stage.step() == 0
        await office_.restarted().step()

        (received,) = mails.received
        assert (received.sender, received.recipients) == ("events@gw.example", [A, B])
        assert received.message["Message-ID"] == f"<{notice.id}@gw.example>"
        assert received.message["Subject"] == "Acme: registration Stock to ERP is UNSTABLE"
        assert await office_.stored() == []
        links = [line.split(": ", 1)[1] for line in text_of(mails).splitlines() if f": {BASE}/" in line]
        pages, calls, challenge = links[:3], links[3:-1], links[-1]
        router = page_router(dev_mode=False)
        for page in pages:
            methods, params = router.find(page.removeprefix(f"{BASE}/").split("/")) or ({}, {})
            assert "GET" in methods and params["registration"] == notice.registration_id, page
        for call in calls:
            assert (await office_.world.call("GET", call.removeprefix(BASE))).status == 200
        assert (await office_.world.call("POST", challenge.removeprefix(BASE))).status == 200
        assert len(calls) == 3


def text_of(mails: Mails) -> str:
    return str(next(mails.received[0].message.iter_parts()).get_content())


async def test_where_links_begin(tmp_path: Path) -> None:
    """With a console URL the links begin with that, without a double slash."""
    async with mail_server() as mails, office(tmp_path, mails, console_url="https://console.example/") as office_:
        await office_.write()
        await office_.stage.step()
        assert "https://console.example/events/1001/2001/3001/registrations/" in text_of(mails)
        assert BASE not in text_of(mails)


async def test_whom_a_mail_goes_to(tmp_path: Path) -> None:
    """Those of the settings, until the organization has recipients of its own; none again: those of the settings."""
    async with mail_server() as mails, office(tmp_path, mails) as office_:
        for recipients in ((), (A,), ()):
            await office_.address(*recipients)
            await office_.write()
            await office_.stage.step()
        assert [each.recipients for each in mails.received] == [["ops@acme.example"], [A], ["ops@acme.example"]]


async def test_server_down_then_up(tmp_path: Path) -> None:
    """All mails wait for the server, ever longer, and then arrive once each, in order."""
    async with mail_server() as mails:
        pass
    async with office(tmp_path, mails) as office_:
        begin_ms = office_.clock.now_ms()
        await office_.write(before="verified", after="unstable", at_ms=begin_ms - 2)
        await office_.write(before="unstable", after="hook_unreachable", at_ms=begin_ms - 1)
        dues = []
        with structlog.testing.capture_logs() as lines:
            for _ in range(4):
                await office_.stage.step()
                due_ms = office_.stage.next_due_ms()
                assert due_ms is not None
                dues.append((due_ms - begin_ms) // MINUTE_MS)
                office_.clock.advance(max(0, due_ms - office_.clock.now_ms()))
        assert dues == [1, 3, 7, 15]
        assert len(logged(lines, telemetry.NOTICE_DELAYED)) == 4
        async with mail_server(port=mails.port) as up:
            await office_.stage.step()
            assert [subject.rsplit(" ", 1)[1] for subject in up.subjects()] == ["UNSTABLE", "HOOK_UNREACHABLE"]
            assert (await office_.stored(), office_.stage.next_due_ms()) == ([], None)


async def test_a_hanging_server_holds_up_one_try(tmp_path: Path) -> None:
    """However many mails wait, one try per round costs one time limit."""
    async with mail_server() as mails, office(tmp_path, mails, smtp_timeout_s=0.3) as office_:
        mails.hangs_at = "MAIL"
        for _ in range(5):
            await office_.write()
        await office_.stage.step()
        assert mails.asked <= 1
        assert len(await office_.stored()) == 5
        mails.hangs_at = ""
        mails.released.set()
        office_.post = MailServer(Config(**mails.settings)).send  # with a time limit that a busy machine can keep
        await office_.restarted().step()
        assert (len(mails.received), await office_.stored()) == (5, [])


async def test_recipients_are_done_with_one_by_one(tmp_path: Path) -> None:
    """Who has the mail does not get it again, over a restart too; who is refused for good is not asked again; and the
    message stays the same."""
    async with mail_server() as mails, office(tmp_path, mails) as office_:
        await office_.address(A, B, "gone@acme.example")
        mails.replies = {"gone@acme.example": "550 no such user", B: "451 try again"}
        notice = await office_.write()
        with structlog.testing.capture_logs() as lines:
            await office_.stage.step()
        (refused,) = logged(lines, telemetry.NOTICE_REFUSED)
        assert (refused["recipient"], refused["cause"]) == ("gone@acme.example", "550 no such user")
        (stored,) = await office_.stored()
        assert stored == msgspec.structs.replace(notice, told=(A, "gone@acme.example"))

        mails.replies = {"gone@acme.example": "250 would be taken now"}
        await office_.restarted().step()
        assert [each.recipients for each in mails.received] == [[A], [B]]
        assert mails.received[0].raw == mails.received[1].raw
        assert await office_.stored() == []


async def test_another_recipients_delay_delays_no_other_mail(tmp_path: Path) -> None:
    """A recipient that shall wait is not the server's fault."""
    async with mail_server() as mails, office(tmp_path, mails) as office_:
        await office_.address(A)
        mails.replies = {A: "451 try again"}
        await office_.write()
        await office_.stage.step()
        await office_.address(B)
        await office_.write()
        await office_.stage.step()
        assert [each.recipients for each in mails.received] == [[B]]


async def test_everybody_refused_for_good(tmp_path: Path) -> None:
    """Then the notice is done with as well."""
    async with mail_server() as mails, office(tmp_path, mails) as office_:
        mails.data_reply = "554 no"
        await office_.write()
        await office_.stage.step()
        assert await office_.stored() == []


async def test_given_up_after_days(tmp_path: Path) -> None:
    """Tried for as long as the setting says, then dropped with a line in the log."""
    async with mail_server() as mails, office(tmp_path, mails, notice_days=2) as office_:
        mails.data_reply = "452 disk full"
        notice = await office_.write()
        tries = 0
        with structlog.testing.capture_logs() as lines:
            while (due_ms := office_.stage.next_due_ms()) is not None or tries == 0:
                office_.clock.advance(max(0, (due_ms or 0) - office_.clock.now_ms()))
                await office_.stage.step()
                tries += 1
        (dropped,) = logged(lines, telemetry.NOTICE_DROPPED)
        assert (dropped["cause"], dropped["notice"]) == ("expired", notice.id)
        assert office_.clock.now_ms() - notice.at_ms == 2 * DAY_MS
        assert tries == mails.asked + 1 == len(logged(lines, telemetry.NOTICE_DELAYED)) + 1
        assert await office_.stored() == []


async def test_a_paused_project(tmp_path: Path) -> None:
    """Nobody is told while it is paused, nor of that later."""
    async with mail_server() as mails, office(tmp_path, mails) as office_:
        await office_.pause(True)
        await office_.write()
        with structlog.testing.capture_logs() as lines:
            await office_.stage.step()
        assert [each["cause"] for each in logged(lines, telemetry.NOTICE_DROPPED)] == ["paused"]
        await office_.pause(False)
        await office_.write(after="hook_unreachable")
        await office_.stage.step()
        assert [subject.rsplit(" ", 1)[1] for subject in mails.subjects()] == ["HOOK_UNREACHABLE"]


async def test_a_deleted_registration(tmp_path: Path) -> None:
    """Its mail would lead nowhere."""
    async with mail_server() as mails, office(tmp_path, mails) as office_:
        await office_.write(registration_id="00000000-0000-4000-8000-000000000000")
        await office_.stage.step()
        assert (mails.asked, await office_.stored()) == (0, [])


@pytest.mark.parametrize("missing", ["smtp_host", "notice_recipients"])
async def test_nobody_to_be_mailed(tmp_path: Path, missing: str) -> None:
    """Notices are kept, which the log says once, until they expire; or until there is somebody."""
    async with mail_server() as mails, office(tmp_path, mails, **{missing: type(mails.settings[missing])()}) as office_:
        with structlog.testing.capture_logs() as lines:
            kept = [await office_.write(at_ms=office_.clock.now_ms() + at) for at in range(3)]
            for _ in range(3):
                assert await office_.stage.step() == 0
        (said,) = logged(lines, telemetry.NOTICE_KEPT)
        assert said["remedy"] == f"EVENTMILL_{missing.upper()}"
        assert office_.stage.next_due_ms() == kept[0].at_ms + 5 * DAY_MS
        assert await office_.stored() == kept
        if missing == "notice_recipients":
            await office_.address(A)
            await office_.stage.step()
            assert len(mails.received) == 3
        office_.clock.advance(5 * DAY_MS + 2)
        await office_.stage.step()
        assert (await office_.stored(), office_.stage.next_due_ms()) == ([], None)


async def test_what_is_kept_can_be_read(tmp_path: Path) -> None:
    """By the organization, newest first, and by no other one."""
    async with office(tmp_path, None) as office_:
        first = await office_.write()
        second = await office_.write(at_ms=first.at_ms + 1, before="unstable", after="hook_unreachable")
        await office_.stage.step()
        listed = (await office_.world.call("GET", f"{ORG}/notices")).json()
        assert [each["id"] for each in listed] == [second.id, first.id]
        assert listed[1] == {
            "id": first.id,
            "project_id": "2001",
            "workspace_id": "3001",
            "registration_id": office_.registration["registration_id"],
            "name": "Stock to ERP",
            "before": "verified",
            "after": "unstable",
            "time": format_time(first.at_ms),
            "attempts": 10,
            "failed": 9,
        }
        foreign = await office_.world.call("GET", f"{ORG}/notices", headers=office_.world.foreign_auth())
        assert foreign.status == 403


async def test_kept_within_limits(tmp_path: Path) -> None:
    """Beyond the limit of an organization its oldest go."""
    async with office(tmp_path, None, notices_per_org=2) as office_:
        kept = [await office_.write(at_ms=office_.clock.now_ms() + at) for at in range(4)]
        with structlog.testing.capture_logs() as lines:
            await office_.stage.step()
        assert [each["cause"] for each in logged(lines, telemetry.NOTICE_DROPPED)] == ["too_many", "too_many"]
        assert await office_.stored() == kept[2:]


async def test_a_limited_step(tmp_path: Path) -> None:
    """As many as asked for, the oldest first."""
    async with mail_server() as mails, office(tmp_path, mails) as office_:
        for at in range(3):
            await office_.write(name=f"Number {at}", at_ms=office_.clock.now_ms() + at)
        assert [await office_.stage.step(2), await office_.stage.step(2), await office_.stage.step(2)] == [2, 1, 0]
        assert [subject.split(" is ")[0][-1] for subject in mails.subjects()] == ["0", "1", "2"]


def failing_after_claims(write: Any) -> Any:
    """A store that takes nothing but the claims of those who are about to send a mail."""

    async def fails(ops: Any) -> Any:
        if isinstance(ops[0], Replace):
            return await write(ops)
        raise StoreUnavailable("the disk is full")

    return fails


async def test_a_store_that_fails_repeats_no_mail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was mailed and could not be noted is noted later, and not mailed again."""
    async with mail_server() as mails, office(tmp_path, mails) as office_:
        await office_.write()
        with monkeypatch.context() as patch:
            patch.setattr(office_.world.store, "write", failing_after_claims(office_.world.store.write))
            for _ in range(2):
                with pytest.raises(StoreUnavailable):
                    await office_.stage.step()
        await office_.stage.step()
        assert (len(mails.received), await office_.stored()) == (1, [])


async def test_a_crash_after_the_mail_repeats_it_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server took it, and the process died before it could note that: the same message comes once more."""
    async with mail_server() as mails, office(tmp_path, mails) as office_:
        await office_.write()
        with monkeypatch.context() as patch:
            patch.setattr(office_.world.store, "write", failing_after_claims(office_.world.store.write))
            with pytest.raises(StoreUnavailable):
                await office_.stage.step()
        await office_.restarted().step()
        first, second = mails.received
        assert first.raw == second.raw
        assert await office_.stored() == []


async def test_a_reset_forgets(tmp_path: Path) -> None:
    """Notices of what is gone are not mailed."""
    async with mail_server() as mails, office(tmp_path, mails) as office_:
        mails.data_reply = "452 later"
        await office_.write()
        await office_.stage.step()
        await office_.world.store.reset()
        office_.clock.advance(DAY_MS)
        await office_.stage.step()
        assert (mails.asked, office_.stage.next_due_ms()) == (1, None)


async def test_names_that_attack(tmp_path: Path) -> None:
    """A bootstrap file may name an organization as it likes: no further header and no further recipient comes of it."""
    async with mail_server() as mails, office(tmp_path, mails) as office_:
        await office_.write(name='"><script>\r\n.\r\nMAIL FROM:<x@y>\u2028Bcc: all@acme.example')
        await office_.stage.step()
        (received,) = mails.received
        assert received.recipients == ["ops@acme.example"]
        assert received.message["Bcc"] is None
        assert "<script" not in str(received.message.get_payload(1))


async def test_dev_mode_captures(tmp_path: Path) -> None:
    """Without a mail server dev mode keeps the mails, for nobody in particular, as text, HTML and message."""
    async with office(tmp_path, None, dev=True) as office_:
        world = office_.world
        notice = await office_.write(name="Bestände")
        await office_.write(at_ms=office_.clock.now_ms() + 1, after="hook_unreachable")
        await office_.stage.step()
        assert await office_.stored() == []

        newest, oldest = (await world.call("GET", "/_dev/mailbox", headers={})).json()
        assert list(oldest) == ["id", "time", "from", "to", "subject", "href"]
        assert (oldest["id"], oldest["to"], oldest["from"]) == (notice.id, [CAPTURED_TO], "eventmill@localhost")
        assert newest["subject"].endswith("HOOK_UNREACHABLE")
        path = oldest["href"].removeprefix(BASE)
        plain = await world.call("GET", path, headers={"accept": "*/*"})
        html = await world.call("GET", path, headers={"accept": "text/html,application/xhtml+xml;q=0.9"})
        message = await world.call("GET", path, headers={"accept": "message/rfc822"})
        assert '"Bestände" has been marked UNSTABLE' in plain.body.decode()
        assert html.body.startswith(b"<!DOCTYPE html>") and "Bestände" in html.body.decode()
        assert f"Message-ID: <{notice.id}@localhost>".encode() in message.body

        assert (await world.call("GET", "/_dev/mailbox/another", headers={})).status == 404
        assert (await world.call("DELETE", "/_dev/mailbox", headers={})).status == 204
        assert (await world.call("GET", "/_dev/mailbox", headers={})).json() == []


async def test_the_mailbox_is_for_this_machine_in_dev_mode(tmp_path: Path) -> None:
    """Others do not read mails, and production has no mailbox."""
    async with running(tmp_path, dev=True) as world:
        for method, path in (("GET", "/_dev/mailbox"), ("GET", "/_dev/mailbox/x"), ("DELETE", "/_dev/mailbox")):
            answer = await world.call(method, path, headers={}, peer=("192.0.2.7", 50000))
            assert (answer.status, answer.json()["reason"]) == (403, "loopback_only")
            away = await world.call(method, path, headers={"origin": "https://evil.example"})
            assert away.status == 403
    async with running(tmp_path) as world:
        assert (await world.call("GET", "/_dev/mailbox", headers={})).status == 404


async def test_the_mailbox_is_bounded() -> None:
    """The oldest go; one that comes again is there once."""
    mailbox = Mailbox()
    for number in [*range(MAILS_MAX + 5), MAILS_MAX]:
        await mailbox.send(mail_of(id=str(number)), (A,))
    assert len(mailbox.mails()) == MAILS_MAX
    assert mailbox.mails()[0].id == str(MAILS_MAX)
    assert mailbox.mail("4") is None and mailbox.mail("5") is not None
