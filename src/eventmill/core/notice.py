"""The mail about a notice: whose webhook took which status and why, what to do, and how to get no more of these.

As "Introduction to Adobe I/O Events Webhooks" promises one to the administrators when a registration becomes Unstable
or Disabled. The message (RFC 5322, text and HTML) depends on nothing else than the notice and its place, so that one
that is sent again is the same, `Message-ID` included. Whatever people named is one line of text, and never markup or a
header.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from html import escape
from types import MappingProxyType

import msgspec

from eventmill.model import Notice, Organization, Project, WebhookStatus

NAMES: Mapping[WebhookStatus, str] = MappingProxyType(
    {
        "accepted": "Pending",
        "verified": "Active",
        "unstable": "Unstable",
        "hook_unreachable": "Disabled",
        "verification_failed": "Disabled",
    }
)
"""What the documentation and the console call a `webhook_status`."""

SENDER_NAME = "Eventmill"
_SHOWN_CHARS = 120
_DELAY_MAX_MIN = 60


class Mail(msgspec.Struct, frozen=True):
    id: str
    """The notice's."""
    sender: str
    recipients: tuple[str, ...]
    """All whom it is for, whether or not they have it already."""
    subject: str
    text: str
    html: str
    at_ms: int

    def encode(self) -> bytes:
        """The message, in 7-bit lines that end with CRLF: fit for any server."""
        message = EmailMessage(policy=SMTP)
        message["Message-ID"] = f"<{self.id}@{self.sender.rpartition('@')[2]}>"
        message["Date"] = format_datetime(datetime.fromtimestamp(self.at_ms // 1000, UTC))
        message["From"] = Address(SENDER_NAME, addr_spec=self.sender)
        message["To"] = [Address(addr_spec=each) for each in self.recipients]
        message["Subject"] = self.subject
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday replies
        message.set_content(self.text, cte="quoted-printable")
        message.add_alternative(self.html, subtype="html", cte="quoted-printable")
        message.set_boundary(f"=_{self.id}")  # else a random one
        return message.as_bytes()


def compose(
    notice: Notice, organization: Organization, project: Project, base: str, envelope: tuple[str, tuple[str, ...]]
) -> Mail:
    """`base`: what links begin with. `envelope`: sender and recipients."""
    sender, recipients = envelope
    words = _Words(notice, organization, project, base)
    return Mail(
        id=notice.id,
        sender=sender,
        recipients=recipients,
        subject=f"{words.organization}: registration {words.name} is {words.after}",
        text=words.text(),
        html=words.html(),
        at_ms=notice.at_ms,
    )


def retry_delay_ms(tries: int) -> int:
    """How long after so many failed tries the next is due: a minute, then twice as long each time, at most an hour."""
    return min(1 << min(tries - 1, 10), _DELAY_MAX_MIN) * 60_000


def one_line(text: str) -> str:
    """Without line breaks and what else cannot be seen (direction marks, half surrogate pairs), and not too long."""
    clean = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return clean if len(clean) <= _SHOWN_CHARS else clean[: _SHOWN_CHARS - 1] + "\N{HORIZONTAL ELLIPSIS}"


def spelled(status: WebhookStatus) -> str:
    """As the API and as people call it."""
    return f"{status.upper()} ({NAMES[status]})"


class _Words:
    """What text and HTML say, in the same order."""

    def __init__(self, notice: Notice, organization: Organization, project: Project, base: str) -> None:
        self.organization = one_line(organization.name) or notice.org
        self.name = one_line(notice.name) or notice.registration_id
        self.after = notice.after.upper()
        place = f"{notice.org}/{notice.project_id}/{notice.workspace_id}"
        self._url = f"{base}/events/{place}/registrations/{notice.registration_id}"
        self._page = f"{base}/ui/orgs/{notice.org}/registrations/{notice.registration_id}"
        self._change = (spelled(notice.after), spelled(notice.before))
        self._figures = (
            f"{notice.failed} of {notice.attempts} delivery attempts in the 24 hours before "
            f"{datetime.fromtimestamp(notice.at_ms // 1000, UTC):%Y-%m-%d %H:%M:%S} UTC failed."
        )
        self._means = _MEANINGS.get(notice.after, "")
        again = f"{spelled('verified')} again"
        self._steps = (
            "Make sure that the endpoint can be reached from this gateway, and from the internet if that lies between.",
            "Make sure that it answers each request with a status of 2xx, in time.",
            f"Update the registration, or have it challenged again: when the endpoint agrees, it is {again}.",
        )
        self._pages = {
            "Its state, and what to do": self._page,
            "What its endpoint answered": f"{self._page}/traces",
            "What it missed, to be sent again": f"{self._page}/undelivered",
        }
        self._links = {
            "Registration": self._url,
            "Its health": f"{self._url}/health",
            "Debug tracing": f"{base}/traces/{place}/registration/{notice.registration_id}",
            "To have it challenged again, POST to": f"{self._url}/challenge",
        }
        project_name = one_line(project.name) or project.id
        self._stop = (
            f"These mails tell of every registration of the organization. Those of the project {project_name} "
            f"({project.id}) stop with `eventmill project update {project.id} --org {notice.org} --pause-notices`, or "
            f"a PATCH of {base}/console/organizations/{notice.org}/projects/{project.id} with "
            '{"pause_notices": true}. '
            f"The operator changes who gets them with `eventmill org update {notice.org} --notice-recipient ADDRESS`."
        )

    def text(self) -> str:
        after, before = self._change
        steps = "\n".join(f"{number}. {each}" for number, each in enumerate(self._steps, 1))
        pages, links = (
            "\n".join(f"{label}: {url}" for label, url in each.items()) for each in (self._pages, self._links)
        )
        return (
            f"Organization: {self.organization}\n\nHello,\n\n"
            f'the registration "{self.name}" has been marked {after} from its previous status {before}.\n\n'
            f"{self._figures} {self._means}\n\nWhat to do:\n\n{steps}\n\n"
            f"In the console:\n\n{pages}\n\nIn the management API:\n\n{links}\n\n{_LINKS_NEED}\n\n{self._stop}\n"
        )

    def html(self) -> str:
        after, before = map(escape, self._change)
        steps = "\n".join(f"<li>{escape(each)}</li>" for each in self._steps)
        pages, links = (
            "\n".join(
                f'<li>{escape(label)}: <a href="{escape(url)}">{escape(url)}</a></li>' for label, url in each.items()
            )
            for each in (self._pages, self._links)
        )
        name = f'<a href="{escape(self._page)}">{escape(self.name)}</a>'
        return (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>'
            f"{escape(self.name)}: {after}</title></head>\n<body>\n<p>Organization: {escape(self.organization)}</p>\n"
            f"<p>Hello,</p>\n<p>the registration <b>{name}</b> has been marked <b>{after}</b> from its previous "
            f"status <b>{before}</b>.</p>\n<p>{escape(self._figures)} {escape(self._means)}</p>\n"
            f"<p>What to do:</p>\n<ol>\n{steps}\n</ol>\n<p>In the console:</p>\n<ul>\n{pages}\n</ul>\n"
            f"<p>In the management API:</p>\n<ul>\n{links}\n</ul>\n<p>{_LINKS_NEED}</p>\n"
            f"<p><small>{escape(self._stop)}</small></p>\n</body></html>\n"
        )


_MEANINGS: Mapping[WebhookStatus, str] = MappingProxyType(
    {
        "unstable": "Events are still delivered, and failed ones retried. The registration will be disabled unless its "
        "endpoint recovers; the health link says when.",
        "hook_unreachable": "New events are not pushed any more. They are kept in the registration's journal, and "
        "retries that were scheduled before go on until 24 hours after the first attempt.",
    }
)
_LINKS_NEED = "These need a token and an api key of the organization."
