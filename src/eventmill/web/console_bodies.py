"""Bodies of the Console API as the official clients read them. Pure: documents in, dictionaries out, no secrets.

Shapes: the Console API's published specification. Members that only the Developer Console fills are left out.
"""

from __future__ import annotations

from eventmill.model import Credential, EventMetadata, Organization, Project, Provider, Workspace
from eventmill.web.certificates import fingerprint, not_after_ms
from eventmill.web.client_secrets import MASK, secret_id

Body = dict[str, object]

SERVICE_CODE = "AdobeIOManagementAPISDK"
SERVICE_NAME = "I/O Management API"
META_SCOPE = "ent_adobeio_sdk"
PROJECT_TYPE = "jaeger"
"""The type that the official command line offers for selection."""
INTEGRATION_TYPES = {"oauth_server_to_server": "oauth_server_to_server", "jwt": "service"}


def organization_body(organization: Organization) -> Body:
    """Of type `entp`: the official command line shows no others without asking further."""
    return {
        "id": organization.id,
        "code": organization.ims_org_id,
        "name": organization.name,
        "description": organization.name,
        "type": "entp",
        "role": "ADMIN",
    }


def project_body(project: Project) -> Body:
    return {
        "id": project.id,
        "org_id": project.org,
        "name": project.name,
        "title": project.title or project.name,
        "description": project.description,
        "type": PROJECT_TYPE,
        "appId": None,
        "enabled": True,
        "deleted": False,
    }


def workspace_body(workspace: Workspace) -> Body:
    return {
        "id": workspace.id,
        "project_id": workspace.project_id,
        "name": workspace.name,
        "title": workspace.title or workspace.name,
        "description": workspace.description,
        "enabled": True,
        "runtime_enabled": True,
    }


def credential_body(credential: Credential) -> Body:
    """An item of a workspace's list."""
    return {
        "id_workspace": credential.workspace_id,
        "id_integration": credential.id,
        "name": credential.name,
        "client_id": credential.client_id,
        "flow_type": "entp",
        "integration_type": INTEGRATION_TYPES[credential.kind],
        "credential_type": "entp" if credential.kind == "jwt" else credential.kind,
    }


def integration_body(credential: Credential) -> Body:
    """A credential by itself."""
    account = credential.technical_account_id
    return {
        "id": credential.id,
        "name": credential.name,
        "orgId": credential.org,
        "projectId": credential.project_id,
        "workspaceId": credential.workspace_id,
        "apikey": credential.client_id,
        "technicalAccountId": account,
        "technicalAccountEmail": account,
        "type": "entp",
        "integration_type": INTEGRATION_TYPES[credential.kind],
        "status": "ENABLED",
        "sdkList": [SERVICE_CODE],
        "serviceProperties": [{"sdkCode": SERVICE_CODE, "name": SERVICE_NAME, "roles": None, "licenseConfigs": None}],
    }


def secrets_body(credential: Credential) -> Body:
    """Newest first: the first one signs deliveries, all are good for tokens."""
    listed = [
        {"uuid": secret_id(sealed), "client_secret": MASK, "current": sealed == credential.sealed_secret}
        for sealed in credential.sealed_secrets
    ]
    return {"client_id": credential.client_id, "client_secrets": listed}


def binding_body(credential: Credential, pem: str) -> Body:
    """A public key of a `jwt` credential; `notAfter` in milliseconds, missing for a key that has no end."""
    mark = fingerprint(pem)
    body: Body = {
        "bindingId": mark,
        "orgId": credential.org,
        "technicalAccountId": credential.technical_account_id,
        "certificateFingerprint": mark,
    }
    ends_ms = not_after_ms(pem)
    return body if ends_ms is None else body | {"notAfter": ends_ms}


def provider_item(provider: Provider, embed: list[EventMetadata] | None) -> Body:
    body: Body = {
        "id": provider.id,
        "label": provider.label,
        "description": provider.description,
        "source": f"urn:uuid:{provider.id}",
        "docs_url": provider.docs_url,
        "instance_id": provider.instance_id,
        "environment_type": None,
        "provider_metadata": provider.provider_metadata,
    }
    if embed is not None:
        body["eventmetadata"] = [
            {"event_code": each.event_code, "label": each.label, "description": each.description} for each in embed
        ]
    return body


def download_body(organization: Organization, project: Project, workspace: Workspace, credentials: list[Body]) -> Body:
    """The project file. `credentials` are its items, with secrets: see `console_download`."""
    return {
        "project": {
            "id": project.id,
            "name": project.name,
            "title": project.title or project.name,
            "description": project.description,
            "org": {"id": organization.id, "name": organization.name, "ims_org_id": organization.ims_org_id},
            "workspace": {
                "id": workspace.id,
                "name": workspace.name,
                "title": workspace.title,
                "description": workspace.description,
                "action_url": "",
                "app_url": "",
                "details": {
                    "credentials": credentials,
                    "services": [{"code": SERVICE_CODE, "name": SERVICE_NAME}],
                    "runtime": {"namespaces": []},
                },
            },
        }
    }
