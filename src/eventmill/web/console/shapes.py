"""Bodies of the Console API's answers, for encoding and for the API's description; `console.bodies` fills most.

Members that only the Developer Console fills are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType, field

from eventmill.model import WebhookStatus
from eventmill.web.bodies import FamilyBody

_Count = Annotated[int, msgspec.Meta(ge=0)]


class ConsoleOrganization(msgspec.Struct, frozen=True):
    id: str
    code: Annotated[str, msgspec.Meta(description="The IMS organization id.")]
    name: str
    description: str
    type: Literal["entp"]
    role: Literal["ADMIN"]
    notice_recipients: Sequence[str]


class ConsoleNotice(msgspec.Struct, frozen=True):
    """A change of a registration's status that not all of its recipients were mailed about yet."""

    id: str
    project_id: str
    workspace_id: str
    registration_id: str
    name: Annotated[str, msgspec.Meta(description="The registration's.")]
    before: WebhookStatus
    after: WebhookStatus
    time: Annotated[str, msgspec.Meta(description="Business time.")]
    attempts: Annotated[int, msgspec.Meta(ge=0, description="In the 24 hours before, as far as they count.")]
    failed: _Count


class ConsoleProject(msgspec.Struct, frozen=True, rename={"app_id": "appId"}):
    id: str
    org_id: str
    name: str
    title: str
    description: str
    type: str
    app_id: None
    enabled: bool
    deleted: bool
    pause_notices: bool


class NewProject(msgspec.Struct, frozen=True, rename="camel"):
    """The workspace is the project's first."""

    project_id: str
    project_type: str
    workspace_id: str


class ConsoleWorkspace(msgspec.Struct, frozen=True):
    id: str
    project_id: str
    name: str
    title: str
    description: str
    enabled: bool
    runtime_enabled: bool


class WorkspacePlace(msgspec.Struct, frozen=True, rename="camel"):
    project_id: str
    workspace_id: str


class CredentialPlace(WorkspacePlace, frozen=True, rename="camel"):
    credential_id: str


class ClientPlace(WorkspacePlace, frozen=True, rename="camel"):
    integration_id: str


class Obstacle(msgspec.Struct, frozen=True, rename="camel"):
    code: str
    message: str
    workspace_id: str


class Obstacles(msgspec.Struct, frozen=True):
    """What keeps a project from being deleted."""

    errors: list[Obstacle]


class Namespace(msgspec.Struct, frozen=True):
    name: str
    auth: str


class CredentialItem(msgspec.Struct, frozen=True):
    id_workspace: str
    id_integration: str
    name: str
    client_id: str
    flow_type: Literal["entp"]
    integration_type: str
    credential_type: str


class ServiceProperties(msgspec.Struct, frozen=True, rename="camel"):
    sdk_code: str
    roles: None
    license_configs: None


class NamedServiceProperties(msgspec.Struct, frozen=True, rename="camel"):
    sdk_code: str
    name: str
    roles: None
    license_configs: None


class Integration(msgspec.Struct, frozen=True, rename="camel"):
    """A credential by itself."""

    id: str
    name: str
    org_id: str
    project_id: str
    workspace_id: str
    apikey: str
    technical_account_id: str
    technical_account_email: str
    type: Literal["entp"]
    integration_type: str = field(name="integration_type")
    status: Literal["ENABLED"]
    sdk_list: list[str]
    service_properties: list[NamedServiceProperties]


class IntegrationPage(msgspec.Struct, frozen=True):
    """Pages count from 1."""

    page: _Count
    pages: _Count
    size: _Count
    total: _Count
    content: list[Integration]


class NewCredential(msgspec.Struct, frozen=True, rename="camel"):
    """The secret is told here only."""

    id: str
    api_key: str
    org_id: str
    client_secret: str = field(name="client_secret")
    technical_account_id: str


class NewSecret(msgspec.Struct, frozen=True):
    """The secret is told here only."""

    uuid: str
    client_secret: str


class SecretItem(msgspec.Struct, frozen=True):
    uuid: str
    client_secret: Annotated[str, msgspec.Meta(description="Masked.")]
    current: Annotated[bool, msgspec.Meta(description="Signs deliveries; all are good for tokens.")]


class Secrets(msgspec.Struct, frozen=True):
    client_id: str
    client_secrets: list[SecretItem]


class Binding(msgspec.Struct, frozen=True, rename="camel"):
    """A public key of a credential of the deprecated JWT kind."""

    binding_id: str
    org_id: str
    technical_account_id: str
    certificate_fingerprint: str
    not_after: (
        Annotated[int, msgspec.Meta(description="Milliseconds since 1970; missing for a bare key.")] | UnsetType
    ) = UNSET


class Services(msgspec.Struct, frozen=True, rename="camel"):
    sdk_list: list[str]


class ServiceRights(msgspec.Struct, frozen=True, rename="camel"):
    roles: None
    license_configs: None


class Service(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    code: str
    type: Literal["entp"]
    enabled: bool
    entitled_for_org: bool
    deprecated: bool
    requires_approval: bool
    properties: ServiceRights


class ConsoleFamily(FamilyBody, frozen=True, kw_only=True):
    type: Literal["entp"]


class ConsoleEvent(msgspec.Struct, frozen=True):
    event_code: str
    label: str
    description: str


class ConsoleProvider(msgspec.Struct, frozen=True):
    id: str
    label: str
    description: str
    source: str
    docs_url: str | None
    instance_id: str
    environment_type: None
    provider_metadata: str
    eventmetadata: list[ConsoleEvent] | UnsetType = UNSET


class TermsState(msgspec.Struct, frozen=True):
    accepted: bool
    current: bool


class TermsText(msgspec.Struct, frozen=True):
    text: str
    locale: str


class Terms(msgspec.Struct, frozen=True):
    tc: list[TermsText]


class Feature(msgspec.Struct, frozen=True):
    name: str


class NoEndpoints(msgspec.Struct, frozen=True):
    """Extension points, of which there are none."""
