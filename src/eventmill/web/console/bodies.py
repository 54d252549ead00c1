"""Bodies of the Console API as the official clients read them. Pure: documents in, bodies out, no secrets made before.

Shapes: the Console API's published specification. Members that only the Developer Console fills are left out.
"""

from __future__ import annotations

from msgspec import UNSET

from eventmill.core.envelope import format_time
from eventmill.model import Credential, EventMetadata, Notice, Organization, Project, Provider, Workspace
from eventmill.web.certificates import fingerprint, not_after_ms
from eventmill.web.client_secrets import MASK, secret_id
from eventmill.web.console.project_file import (
    FileCredential,
    FileDetails,
    FileOrganization,
    FileProject,
    FileRuntime,
    FileService,
    FileWorkspace,
    ProjectFile,
)
from eventmill.web.console.shapes import (
    Binding,
    ConsoleEvent,
    ConsoleNotice,
    ConsoleOrganization,
    ConsoleProject,
    ConsoleProvider,
    ConsoleWorkspace,
    CredentialItem,
    Integration,
    NamedServiceProperties,
    SecretItem,
    Secrets,
)

SERVICE_CODE = "AdobeIOManagementAPISDK"
SERVICE_NAME = "I/O Management API"
META_SCOPE = "ent_adobeio_sdk"
PROJECT_TYPE = "jaeger"
"""The type that the official command line offers for selection."""
INTEGRATION_TYPES = {"oauth_server_to_server": "oauth_server_to_server", "jwt": "service"}


def organization_body(organization: Organization) -> ConsoleOrganization:
    """Of type `entp`: the official command line shows no others without asking further."""
    return ConsoleOrganization(
        id=organization.id,
        code=organization.ims_org_id,
        name=organization.name,
        description=organization.name,
        type="entp",
        role="ADMIN",
        notice_recipients=organization.notice_recipients,
    )


def notice_body(notice: Notice) -> ConsoleNotice:
    return ConsoleNotice(
        id=notice.id,
        project_id=notice.project_id,
        workspace_id=notice.workspace_id,
        registration_id=notice.registration_id,
        name=notice.name,
        before=notice.before,
        after=notice.after,
        time=format_time(notice.at_ms),
        attempts=notice.attempts,
        failed=notice.failed,
    )


def project_body(project: Project) -> ConsoleProject:
    return ConsoleProject(
        id=project.id,
        org_id=project.org,
        name=project.name,
        title=project.title or project.name,
        description=project.description,
        type=PROJECT_TYPE,
        app_id=None,
        enabled=True,
        deleted=False,
        pause_notices=project.pause_notices,
    )


def workspace_body(workspace: Workspace) -> ConsoleWorkspace:
    return ConsoleWorkspace(
        id=workspace.id,
        project_id=workspace.project_id,
        name=workspace.name,
        title=workspace.title or workspace.name,
        description=workspace.description,
        enabled=True,
        runtime_enabled=True,
    )


def credential_body(credential: Credential) -> CredentialItem:
    """An item of a workspace's list."""
    return CredentialItem(
        id_workspace=credential.workspace_id,
        id_integration=credential.id,
        name=credential.name,
        client_id=credential.client_id,
        flow_type="entp",
        integration_type=INTEGRATION_TYPES[credential.kind],
        credential_type="entp" if credential.kind == "jwt" else credential.kind,
    )


def integration_body(credential: Credential) -> Integration:
    """A credential by itself."""
    account = credential.technical_account_id
    service = NamedServiceProperties(sdk_code=SERVICE_CODE, name=SERVICE_NAME, roles=None, license_configs=None)
    return Integration(
        id=credential.id,
        name=credential.name,
        org_id=credential.org,
        project_id=credential.project_id,
        workspace_id=credential.workspace_id,
        apikey=credential.client_id,
        technical_account_id=account,
        technical_account_email=account,
        type="entp",
        integration_type=INTEGRATION_TYPES[credential.kind],
        status="ENABLED",
        sdk_list=[SERVICE_CODE],
        service_properties=[service],
    )


def secrets_body(credential: Credential) -> Secrets:
    """Newest first: the first one signs deliveries, all are good for tokens."""
    listed = [
        SecretItem(uuid=secret_id(sealed), client_secret=MASK, current=sealed == credential.sealed_secret)
        for sealed in credential.sealed_secrets
    ]
    return Secrets(client_id=credential.client_id, client_secrets=listed)


def binding_body(credential: Credential, pem: str) -> Binding:
    """A public key of a `jwt` credential."""
    mark = fingerprint(pem)
    ends_ms = not_after_ms(pem)
    return Binding(
        binding_id=mark,
        org_id=credential.org,
        technical_account_id=credential.technical_account_id,
        certificate_fingerprint=mark,
        not_after=UNSET if ends_ms is None else ends_ms,
    )


def provider_item(provider: Provider, embed: list[EventMetadata] | None) -> ConsoleProvider:
    return ConsoleProvider(
        id=provider.id,
        label=provider.label,
        description=provider.description,
        source=f"urn:uuid:{provider.id}",
        docs_url=provider.docs_url,
        instance_id=provider.instance_id,
        environment_type=None,
        provider_metadata=provider.provider_metadata,
        eventmetadata=UNSET
        if embed is None
        else [ConsoleEvent(each.event_code, each.label, each.description) for each in embed],
    )


def download_body(
    organization: Organization, project: Project, workspace: Workspace, credentials: list[FileCredential]
) -> ProjectFile:
    """The project file. `credentials` are its items, with secrets: see `console.download`."""
    details = FileDetails(
        credentials=credentials,
        services=[FileService(code=SERVICE_CODE, name=SERVICE_NAME)],
        runtime=FileRuntime(namespaces=[]),
    )
    stage = FileWorkspace(
        id=workspace.id,
        name=workspace.name,
        title=workspace.title,
        description=workspace.description,
        action_url="",
        app_url="",
        details=details,
    )
    described = FileProject(
        id=project.id,
        name=project.name,
        title=project.title or project.name,
        description=project.description,
        org=FileOrganization(id=organization.id, name=organization.name, ims_org_id=organization.ims_org_id),
        workspace=stage,
    )
    return ProjectFile(project=described)
