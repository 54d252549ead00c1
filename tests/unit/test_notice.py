"""`core.notice`: what the mail says, that names cannot get out of their place, and that it is the same every time."""

from __future__ import annotations

import email
import re
from email.message import EmailMessage
from email.policy import default as MODERN
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventmill.core.notice import Mail, compose, one_line, retry_delay_ms
from eventmill.model import MAIL_ADDRESS, Notice, Organization, OrgId, Project

BASE = "https://events.example"
PLACE = "1001/2001/3001"
NOTICE = Notice(
    id="5f0e1111-2222-4333-8444-555566667777",
    org=OrgId("1001"),
    project_id="2001",
    workspace_id="3001",
    registration_id="reg-1",
    name="Stock to ERP",
    before="verified",
    after="unstable",
    at_ms=1_772_360_401_123,
    attempts=21,
    failed=18,
)
ORGANIZATION = Organization(id=OrgId("1001"), ims_org_id="A@AdobeOrg", name="Acme")
PROJECT = Project(id="2001", org=OrgId("1001"), name="Shop")
ENVELOPE = ("events@acme.example", ("a@acme.example", "b@acme.example"))


def mail_of(organization: str = "Acme", project: str = "Shop", **members: Any) -> Mail:
    return compose(
        msgspec.structs.replace(NOTICE, **members),
        msgspec.structs.replace(ORGANIZATION, name=organization),
        msgspec.structs.replace(PROJECT, name=project),
        BASE,
        ENVELOPE,
    )


def parsed(mail: Mail) -> EmailMessage:
    message = email.message_from_bytes(mail.encode(), policy=MODERN)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    return message


def bodies(mail: Mail) -> list[str]:
    """Text and HTML as they arrive."""
    return [part.get_content() for part in parsed(mail).iter_parts() if isinstance(part, EmailMessage)]


def test_what_everybody_wants_to_know_is_in_both_bodies() -> None:
    """Organization, registration, both statuses in both spellings, figures, links, and how to stop these mails."""
    text, html = bodies(mail_of())
    for body in (text, html):
        assert "Organization: Acme" in body
        assert "Stock to ERP" in body
        assert "18 of 21 delivery attempts in the 24 hours before 2026-03-01 10:20:01 UTC failed." in body
        assert f"{BASE}/events/{PLACE}/registrations/reg-1/health" in body
        assert f"{BASE}/traces/{PLACE}/registration/reg-1" in body
        assert f"{BASE}/ui/orgs/1001/registrations/reg-1/undelivered" in body
        assert "eventmill project update 2001 --org 1001 --pause-notices" in body
        assert f"{BASE}/console/organizations/1001/projects/2001" in body
        assert "UNSTABLE (Unstable)" in body and "VERIFIED (Active)" in body
    assert "marked UNSTABLE (Unstable) from its previous status VERIFIED (Active)" in text
    assert re.findall(r"^\d\. ", text, re.MULTILINE) == ["1. ", "2. ", "3. "]
    assert html.count("<li>") == 3 + 3 + 4
    assert f'<a href="{BASE}/ui/orgs/1001/registrations/reg-1">Stock to ERP</a>' in html


def test_disabled_means_another_thing() -> None:
    """The second mail says that nothing is pushed any more, and where the events are."""
    mail = mail_of(before="unstable", after="hook_unreachable")

    assert mail.subject == "Acme: registration Stock to ERP is HOOK_UNREACHABLE"
    assert "HOOK_UNREACHABLE (Disabled) from its previous status UNSTABLE (Unstable)" in mail.text
    assert "kept in the registration's journal" in mail.text


def test_headers() -> None:
    """Everybody's address, a date in business time, a stable id, and no invitation to automatic replies."""
    message = parsed(mail_of())

    assert message["Message-ID"] == "<5f0e1111-2222-4333-8444-555566667777@acme.example>"
    assert message["Date"] == "Sun, 01 Mar 2026 10:20:01 +0000"
    assert message["From"] == "Eventmill <events@acme.example>"
    assert message["To"] == "a@acme.example, b@acme.example"
    assert message["Subject"] == "Acme: registration Stock to ERP is UNSTABLE"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content_type() == "multipart/alternative"


def test_a_repeat_is_the_same() -> None:
    """No clock and no randomness is in the message: sent again it is the same to the byte."""
    assert mail_of().encode() == mail_of().encode()


def test_names_in_any_language() -> None:
    """Names arrive as they are, in lines that any server takes."""
    mail = mail_of("株式会社アクメ", "Größe", name="Bestände → ERP 🏭")

    assert parsed(mail)["Subject"] == "株式会社アクメ: registration Bestände → ERP 🏭 is UNSTABLE"
    assert all("Bestände → ERP 🏭" in body for body in bodies(mail))
    assert all(line.isascii() and len(line) <= 998 for line in mail.encode().split(b"\r\n"))
    assert b"\n" not in mail.encode().replace(b"\r\n", b"")


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\x0b", "\x1c", "\x85", "\u2028", "\u2029", "\0"])
def test_a_name_adds_no_header(end: str) -> None:
    """Whatever somebody takes for the end of a line ends none."""
    message = parsed(mail_of(f"Acme{end}Bcc: all@acme.example", name=f"x{end}{end}<h1>hello</h1>"))

    assert set(message.keys()) == set(parsed(mail_of()).keys())
    assert message["Subject"] == "Acme Bcc: all@acme.example: registration x <h1>hello</h1> is UNSTABLE"


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, tuple[str, ...]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, tuple(name for name, _ in attrs)))


def tags(html: str) -> list[tuple[str, tuple[str, ...]]]:
    parser = _Tags()
    parser.feed(html)
    return parser.seen


@given(name=st.text(), organization=st.text(), project=st.text())
def test_no_name_is_markup_or_a_header(name: str, organization: str, project: str) -> None:
    """Any names at all: the same headers, the same tags, one line each in the text."""
    mail = mail_of(organization, project, name=name)

    assert set(parsed(mail).keys()) == set(parsed(mail_of()).keys())
    assert tags(mail.html) == tags(mail_of().html)
    assert len(mail.text.splitlines()) == len(mail_of().text.splitlines())


@pytest.mark.parametrize(
    "name", ['"><script>alert(1)</script>', "<img src=x onerror=y>", "</a>&lt;b&gt;", "' onload='"]
)
def test_markup_in_a_name_stays_text(name: str) -> None:
    """In the HTML it is shown, not run."""
    mail = mail_of(name, name, name=name)

    assert tags(mail.html) == tags(mail_of().html)


def test_what_cannot_be_seen_goes() -> None:
    """Direction marks, half surrogate pairs and padding; long names are cut, empty ones replaced."""
    assert one_line("  a\u202eb\ud800 \t c ") == "a b c"
    assert len(one_line("x" * 500)) == 120
    assert "registration reg-1 is" in mail_of(name="\u202e").subject


def test_a_body_keeps_lines_with_a_single_dot() -> None:
    """A name of nothing but dots, and soft line breaks before one, survive."""
    assert all("..." in body for body in bodies(mail_of(name="...")))


def test_retries_slow_down() -> None:
    """A minute, doubled up to an hour."""
    assert [retry_delay_ms(tries) // 60_000 for tries in (1, 2, 3, 6, 7, 8, 100)] == [1, 2, 4, 32, 60, 60, 60]


@pytest.mark.parametrize("address", ["ops@example.com", "a.b+c@x", "developer@localhost", "o'neil@a-b.example"])
def test_addresses(address: str) -> None:
    """Plain addresses pass, and the mail can be made for each."""
    assert re.match(MAIL_ADDRESS, address)
    assert compose(NOTICE, ORGANIZATION, PROJECT, BASE, (address, (address,))).encode()


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ops",
        "@example.com",
        "ops@",
        "a@b@c",
        "Ops <ops@example.com>",
        "a b@example.com",
        "a,b@example.com",
        "a..b@example.com",
        ".a@example.com",
        "ops@example.com\n",
        "ops@exa\r\nmple.com",
        "ops@-x.example",
        "öps@example.com",
        "ops@[127.0.0.1]",
        "a@" + "b" * 64 + ".example",
    ],
)
def test_no_addresses(address: str) -> None:
    """Anything that would need quoting, or end a line, does not pass."""
    assert not re.match(MAIL_ADDRESS, address)
