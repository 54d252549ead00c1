"""`send.mail` against a real mail server: TLS, passwords, refusals, and servers that hang or speak something else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from eventmill.config import Config
from eventmill.core.notice import Mail
from eventmill.errors import StartupError
from eventmill.send.mail import MailServer, Posted
from eventmill.testing.certificates import Authority, server_context
from tests.http.mail_server import PASSWORD, USER, Mails, mail_server
from tests.unit.test_notice import mail_of

pytestmark = pytest.mark.anyio

A, B = "a@acme.example", "b@acme.example"


async def send(mails: Mails, mail: Mail | None = None, **settings: Any) -> Posted:
    config = Config(**{**mails.settings, **settings})
    return await MailServer(config).send(mail or mail_of(), (A, B))


def trusting(tmp_path: Path, authority: Authority) -> str:
    """A file with the authority."""
    file = tmp_path / "ca.pem"
    file.write_text(authority.pem)
    return str(file)


async def test_a_mail_arrives_as_it_was_made() -> None:
    """Sender, recipients and every byte."""
    async with mail_server() as mails:
        assert await send(mails) == Posted(taken=(A, B))

        (received,) = mails.received
        assert (received.sender, received.recipients) == ("events@acme.example", [A, B])
        assert received.raw == mail_of().encode()
        assert not received.encrypted


async def test_dots_at_line_starts_survive() -> None:
    """A line with a single dot does not end the mail."""
    mail = mail_of(name="...")
    async with mail_server() as mails:
        mail = Mail(**{**{name: getattr(mail, name) for name in mail.__struct_fields__}, "text": ".\n..\n.\nend\n"})
        assert (await send(mails, mail)).taken == (A, B)
        text = next(iter(mails.received[0].message.iter_parts()))
        assert text.get_content() == ".\r\n..\r\n.\r\nend\r\n"


@pytest.mark.parametrize("mode", ["starttls", "tls"])
async def test_encrypted(tmp_path: Path, mode: str) -> None:
    """Both kinds of TLS, with an authority of one's own."""
    authority = Authority()
    contexts: Any = {mode: server_context(authority.issue())}
    async with mail_server(**contexts) as mails:
        posted = await send(mails, smtp_tls=mode, smtp_ca=trusting(tmp_path, authority))
        assert posted.taken == (A, B)
        assert mails.received[0].encrypted


@pytest.mark.parametrize("mode", ["starttls", "tls"])
@pytest.mark.parametrize(
    "issue",
    [
        lambda authority: Authority().issue(),
        lambda authority: authority.issue(("mail.elsewhere.example",)),
        lambda authority: authority.issue(is_expired=True),
    ],
    ids=["another authority", "another name", "expired"],
)
async def test_a_certificate_that_is_not_the_servers(tmp_path: Path, mode: str, issue: Callable[..., Any]) -> None:
    """Nothing is handed over, and it is not tried without TLS."""
    authority = Authority()
    contexts: Any = {mode: server_context(issue(authority))}
    async with mail_server(**contexts) as mails:
        posted = await send(mails, smtp_tls=mode, smtp_ca=trusting(tmp_path, authority))
        assert (posted.taken, posted.is_servers, mails.asked) == ((), True, 0)
        assert "certificate" in posted.failure.lower()


async def test_starttls_is_demanded() -> None:
    """A server that offers none, or somebody on the way who hides the offer, gets nothing."""
    async with mail_server() as mails:
        posted = await send(mails, smtp_tls="starttls", smtp_user=USER, smtp_password=PASSWORD)
        assert (posted.taken, posted.is_servers, mails.asked) == ((), True, 0)
        assert "STARTTLS" in posted.failure


async def test_user_and_password(tmp_path: Path) -> None:
    """Over TLS; a wrong password is the server's refusal of everything, and is in no log."""
    authority = Authority()
    async with mail_server(starttls=server_context(authority.issue()), needs_auth=True) as mails:
        settings: Any = {"smtp_tls": "starttls", "smtp_ca": trusting(tmp_path, authority), "smtp_user": USER}
        assert (await send(mails, **settings, smtp_password=PASSWORD)).taken == (A, B)
        assert mails.received[0].user == USER

        refused = await send(mails, **settings, smtp_password="wrong-secret")
        assert (refused.taken, refused.refused, refused.is_servers) == ((), (), True)
        assert refused.failure.startswith("535 ")
        assert "wrong-secret" not in refused.failure


async def test_a_password_that_cannot_be_sent() -> None:
    """It is a failure like another, and nothing of it is told."""
    async with mail_server(needs_auth=True) as mails:
        posted = await send(mails, smtp_user=USER, smtp_password="pässwört")
        assert (posted.taken, posted.is_servers, mails.asked) == ((), True, 0)
        assert posted.failure.isascii()


async def test_without_the_password_that_is_asked_for() -> None:
    """The sender is refused, not the recipients: they stay."""
    async with mail_server(needs_auth=True) as mails:
        posted = await send(mails)
        assert (posted.taken, posted.refused, posted.is_servers) == ((), (), True)
        assert posted.failure.startswith("530 ")


async def test_recipients_are_told_apart() -> None:
    """One that is refused for good, one that shall wait: the other gets the mail."""
    async with mail_server() as mails:
        mails.replies = {A: "550 no such user"}
        assert await send(mails) == Posted(taken=(B,), refused=((A, "550 no such user"),))
        mails.replies = {B: "451 greylisted, try again"}
        assert await send(mails) == Posted(taken=(A,), failure="451 greylisted, try again")
        assert [each.recipients for each in mails.received] == [[B], [A]]


async def test_nobody_is_accepted() -> None:
    """No data is sent for nobody."""
    async with mail_server() as mails:
        mails.replies = {A: "550 no", B: "550 neither"}
        assert await send(mails) == Posted(refused=((A, "550 no"), (B, "550 neither")))
        assert mails.received == []


async def test_the_message_is_refused() -> None:
    """For good, it is done with; for now, all recipients wait."""
    async with mail_server() as mails:
        mails.data_reply = "554 no mails like this one"
        assert (await send(mails)).refused == ((A, mails.data_reply), (B, mails.data_reply))
        mails.data_reply = "452 disk full"
        assert await send(mails) == Posted(failure="452 disk full")


@pytest.mark.parametrize("stage", ["MAIL", "DATA"])
async def test_a_server_that_hangs(stage: str) -> None:
    """The limit holds for the whole mail; nobody is done with."""
    async with mail_server() as mails:
        mails.hangs_at = stage
        posted = await send(mails, smtp_timeout_s=0.3)
        assert (posted.taken, posted.is_servers) == ((), True)
        assert "within 0.3 s" in posted.failure or "in time" in posted.failure


@asynccontextmanager
async def stranger(speak: Callable[[asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[Mails]:
    """Something that is no mail server."""
    gone = asyncio.Event()

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await speak(writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        gone.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield Mails(port=server.sockets[0].getsockname()[1])
        async with asyncio.timeout(10):
            await gone.wait()
    finally:
        server.close()


async def test_a_server_that_drips() -> None:
    """A byte now and then does not extend the limit."""
    release = asyncio.Event()

    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example\r\n")
        while not release.is_set():
            writer.write(b"2")
            with suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    await release.wait()

    async with stranger(drip) as mails:
        posted = await send(mails, smtp_timeout_s=0.4)
        assert (posted.taken, posted.is_servers) == ((), True)
        assert "within 0.4 s" in posted.failure
        release.set()


@pytest.mark.parametrize(
    "greeting", [b"554 go away\r\n", b"SSH-2.0-OpenSSH_9.9\r\n", b"", b"2" * 20_000, b"\xff\xfe\x00\r\n"]
)
async def test_something_else_answers(greeting: bytes) -> None:
    """What is no mail server, or wants nothing from us, is a failure in words."""

    async def greet(writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)

    async with stranger(greet) as mails:
        posted = await send(mails)
        assert (posted.taken, posted.is_servers, bool(posted.failure)) == ((), True, True)
        assert len(posted.failure) < 1000


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid", "a" * 70 + ".example", "..", "a\0b"])
async def test_no_server(host: str) -> None:
    """Nobody listens, or the name says nothing."""
    async with mail_server() as mails:
        port = mails.port
    posted = await send(Mails(port=port), smtp_host=host)
    assert (posted.taken, posted.is_servers, bool(posted.failure)) == ((), True, True)


async def test_cancelled_in_the_middle() -> None:
    """At the end of the process nobody waits for a mail server."""
    async with mail_server() as mails:
        mails.hangs_at = "DATA"
        sending = asyncio.create_task(send(mails))
        async with asyncio.timeout(10):
            await mails.came.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending


def test_unusable_authorities(tmp_path: Path) -> None:
    """A file that is no certificate stops the start."""
    file = tmp_path / "ca.pem"
    file.write_text("no certificate")
    with pytest.raises(StartupError, match="EVENTMILL_SMTP_CA"):
        MailServer(Config(smtp_ca=str(file)))
