"""The project file of a workspace, as the Console API gives it for download: its members."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType


class FileOrganization(msgspec.Struct, frozen=True):
    id: str
    name: str
    ims_org_id: str


class FileJwt(msgspec.Struct, frozen=True):
    client_id: str
    technical_account_email: str
    technical_account_id: str
    client_secret: str
    meta_scopes: list[str]


class FileOAuth(msgspec.Struct, frozen=True):
    client_id: str
    technical_account_email: str
    technical_account_id: str
    client_secrets: list[str]
    scopes: list[str]


class FileCredential(msgspec.Struct, frozen=True):
    id: str
    name: str
    integration_type: str
    jwt: FileJwt | UnsetType = UNSET
    oauth_server_to_server: FileOAuth | UnsetType = UNSET


class FileService(msgspec.Struct, frozen=True):
    code: str
    name: str


class FileRuntime(msgspec.Struct, frozen=True):
    namespaces: list[str]


class FileDetails(msgspec.Struct, frozen=True):
    credentials: list[FileCredential]
    services: list[FileService]
    runtime: FileRuntime


class FileWorkspace(msgspec.Struct, frozen=True):
    id: str
    name: str
    title: str
    description: str
    action_url: str
    app_url: str
    details: FileDetails


class FileProject(msgspec.Struct, frozen=True):
    id: str
    name: str
    title: str
    description: str
    org: FileOrganization
    workspace: FileWorkspace


class ProjectFile(msgspec.Struct, frozen=True):
    """The one answer that holds secrets made before."""

    project: FileProject
