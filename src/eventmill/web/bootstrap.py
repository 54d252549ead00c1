"""The bootstrap file: tenants with exactly these ids and secrets, as JSON. Reads and checks it; stores nothing."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from eventmill.errors import GatewayError, StartupError
from eventmill.model import CredentialKind
from eventmill.web import checks
from eventmill.web.certificates import read_certificate
from eventmill.web.console.forms import NoticeRecipients
from eventmill.web.tokens import PEOPLES_CLIENTS
from eventmill.web.user_forms import UserForm

RESERVED_ORG_IDS = frozenset({"organizations", "providers", "providermetadata"})
"""First path segments of their own below /events."""
_ID = re.compile(r"[\w\-]{1,64}", re.ASCII)
_IMS_ORG_ID = re.compile(r"[\w.\-]{1,64}@[\w.\-]{1,64}", re.ASCII)
_SECRET = re.compile(r"[\x21-\x7e]{1,256}")


class CredentialEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    client_id: str
    client_secret: str
    name: str = ""
    kind: CredentialKind = "oauth_server_to_server"
    public_keys: tuple[str, ...] = ()
    """PEM of certificates or public keys; of the kind `jwt` only."""


class WorkspaceEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    name: str = ""
    title: str = ""
    description: str = ""
    credentials: tuple[CredentialEntry, ...] = ()


class ProjectEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    name: str = ""
    title: str = ""
    description: str = ""
    workspaces: tuple[WorkspaceEntry, ...] = ()
    pause_notices: bool = False


class OrganizationEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    ims_org_id: str
    name: str = ""
    projects: tuple[ProjectEntry, ...] = ()
    notice_recipients: NoticeRecipients = []


class UserEntry(UserForm, frozen=True, forbid_unknown_fields=True):
    """A person who signs in to the console."""


class Bootstrap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    organizations: tuple[OrganizationEntry, ...]
    users: tuple[UserEntry, ...] = ()


def read_bootstrap(path: Path) -> Bootstrap:
    """Raises `StartupError` naming the file and what is wrong in it."""
    try:
        wanted = checks.convert(checks.parse_json(path.read_bytes(), "it"), Bootstrap)
        for organization in wanted.organizations:
            _check_organization(organization)
    except OSError as error:
        raise StartupError(f"bootstrap file {path} cannot be read: {error.strerror or error}") from error
    except GatewayError as error:
        raise StartupError(f"bootstrap file {path} is not valid: {error}") from error
    return wanted


def _check_organization(organization: OrganizationEntry) -> None:
    _check("organization id", organization.id, _ID)
    if organization.id in RESERVED_ORG_IDS:
        raise checks.invalid("organization id", f"{organization.id} is a path of its own")
    _check("ims_org_id", organization.ims_org_id, _IMS_ORG_ID)
    for project in organization.projects:
        _check("project id", project.id, _ID)
        for workspace in project.workspaces:
            _check("workspace id", workspace.id, _ID)
            for credential in workspace.credentials:
                _check_credential(credential)


def _check_credential(credential: CredentialEntry) -> None:
    _check("credential id", credential.id, _ID)
    checks.check_client_id("client_id", credential.client_id)
    if credential.client_id in PEOPLES_CLIENTS:
        raise checks.invalid("client_id", f"{credential.client_id} is not a credential's to have")
    if not _SECRET.fullmatch(credential.client_secret):
        what = "must be 1 to 256 printable ASCII characters without blanks"
        raise checks.invalid(f"client_secret of credential {credential.id}", what)
    if credential.public_keys and credential.kind != "jwt":
        raise checks.invalid(f"public_keys of credential {credential.id}", "only the kind jwt has them")
    for at, pem in enumerate(credential.public_keys):
        read_certificate(f"public_keys[{at}] of credential {credential.id}", pem)


def _check(member: str, value: str, pattern: re.Pattern[str]) -> None:
    if not pattern.fullmatch(value):
        raise checks.invalid(member, f"{checks.show(value)} is not well formed")
