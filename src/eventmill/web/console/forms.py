"""Input models of the Console API, decoded and checked. Limits are those that the official clients ask people for.

Members that only the Developer Console has a use for (`type`, `who_created`, `templateId`, ...) are ignored.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from eventmill.model import MAIL_ADDRESS, MAIL_ADDRESS_CHARS_MAX
from eventmill.web import checks
from eventmill.web.certificates import read_certificate

_END = r"$(?!\n)"
_NO_CONTROL = r"[^\x00-\x1F\x7F-\x9F]"
_NO_CONTROL_BUT_LINES = r"[^\x00-\x08\x0B\x0C\x0E-\x1F\x7F-\x9F]"

FreeName = Annotated[
    str,
    msgspec.Meta(min_length=1, max_length=100, pattern=f"^{_NO_CONTROL}*{_END}", description="Shown to people."),
]
PlaceName = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=45,
        pattern=f"^[A-Za-z0-9\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u00ff]+{_END}",
        description="Unique among its neighbours.",
        extra={"allowed": "letters and digits"},
    ),
]
Title = Annotated[str, msgspec.Meta(max_length=45, pattern=f"^{_NO_CONTROL}*{_END}", description="Left out: the name.")]
Description = Annotated[
    str, msgspec.Meta(max_length=1000, pattern=f"^{_NO_CONTROL_BUT_LINES}*{_END}", description="For people.")
]
ImsOrgId = Annotated[
    str,
    msgspec.Meta(
        pattern=rf"^[A-Za-z0-9_.\-]{{1,64}}@[A-Za-z0-9_.\-]{{1,64}}{_END}",
        description="The IMS organization id. Left out: one is made up.",
        extra={"form": "an IMS organization id, like 0123456789ABCDEF01234567@AdobeOrg"},
    ),
]
Certificate = Annotated[
    str, msgspec.Meta(min_length=1, max_length=16384, description="PEM of an X.509 certificate or a public key, RSA.")
]
SdkCode = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]

MailAddress = Annotated[
    str,
    msgspec.Meta(
        max_length=MAIL_ADDRESS_CHARS_MAX,
        pattern=MAIL_ADDRESS,
        extra={"form": "a mail address like ops@example.com, without a name"},
    ),
]
NoticeRecipients = Annotated[
    list[MailAddress],
    msgspec.Meta(
        max_length=20,
        description="Who is mailed when a registration becomes unstable or is disabled. None: those of the settings.",
    ),
]


class OrganizationForm(msgspec.Struct, frozen=True):
    name: FreeName
    code: ImsOrgId | None = None
    notice_recipients: NoticeRecipients = []


class OrganizationUpdate(msgspec.Struct, frozen=True):
    """What is missing, here and in the other updates, stays as it is."""

    name: FreeName | None = None
    notice_recipients: NoticeRecipients | None = None


class PlaceForm(msgspec.Struct, frozen=True):
    """A project or a workspace."""

    name: PlaceName
    title: Title | None = None
    description: Description | None = None


class PlaceUpdate(msgspec.Struct, frozen=True):
    name: PlaceName | None = None
    title: Title | None = None
    description: Description | None = None


class ProjectUpdate(PlaceUpdate, frozen=True, kw_only=True):
    pause_notices: Annotated[bool, msgspec.Meta(description="Nobody is mailed about its registrations.")] | None = None


class CredentialForm(msgspec.Struct, frozen=True):
    name: FreeName


class CertificateForm(msgspec.Struct, frozen=True):
    certificate: Certificate


class JwtCredentialForm(CertificateForm, frozen=True, kw_only=True):
    name: FreeName


class CredentialUpdate(msgspec.Struct, frozen=True):
    name: FreeName | None = None


class ServiceForm(msgspec.Struct, frozen=True, rename={"sdk_code": "sdkCode"}):
    sdk_code: SdkCode


def certificate_of(form: CertificateForm) -> str:
    """The PEM as it is stored. Refuses what is no certificate."""
    return read_certificate("certificate", form.certificate)


def read_services(body: bytes) -> list[ServiceForm]:
    document = checks.parse_text_json(body)
    if not isinstance(document, list):
        raise checks.invalid("the body", "must be a JSON array of services")
    return checks.convert(document, list[ServiceForm])
