"""The Console API: organizations, projects, workspaces, and where something is."""

from __future__ import annotations

from typing import Annotated

import msgspec

from eventmill.errors import Reason
from eventmill.web import console_download, console_lookups, console_organizations, console_projects
from eventmill.web.console_forms import OrganizationForm, OrganizationUpdate, PlaceForm, PlaceUpdate
from eventmill.web.console_shapes import (
    ClientPlace,
    ConsoleFamily,
    ConsoleOrganization,
    ConsoleProject,
    ConsoleProvider,
    ConsoleWorkspace,
    CredentialPlace,
    Feature,
    IntegrationPage,
    Namespace,
    NewProject,
    NoEndpoints,
    Obstacles,
    ProjectFile,
    Service,
    ServiceProperties,
    Terms,
    TermsState,
    WorkspacePlace,
)
from eventmill.web.endpoint import Endpoint, Group, Handler, Operation, Parameter, RequestBody, json_answer
from eventmill.web.endpoints.parameters import WITH_METADATA
from eventmill.web.ims_shapes import Done

_ORG = "/console/organizations/{org}"
_PROJECT = _ORG + "/projects/{project}"
_WORKSPACE = _PROJECT + "/workspaces/{workspace}"
_TERMS = "/console/services/ims/organizations/{org}/terms"

_WRITES = (Reason.CONFLICT, Reason.STALE_VERSION)
_CREATES = (*_WRITES, Reason.QUOTA_REACHED)


def _read(pattern: str, handler: Handler, name: str, summary: str, kind: object) -> Endpoint[Handler]:
    return Endpoint("GET", pattern, handler, Operation(name, summary, (json_answer(kind),)))


ORGANIZATIONS = Group(
    tag="Organizations",
    about="Organizations in the Console API. Writing them is Eventmill's own addition, and the operator's alone.",
    is_console=True,
    for_callers=(
        _read(
            "/console/organizations",
            console_organizations.list_organizations,
            "getOrganizations",
            "List the organizations of the token",
            list[ConsoleOrganization],
        ),
        Endpoint(
            "POST",
            "/console/organizations",
            console_organizations.create_organization,
            Operation(
                "createOrganization",
                "Create an organization",
                (json_answer(ConsoleOrganization, 201),),
                bodies=(RequestBody(OrganizationForm, example={"name": "Acme"}),),
                refusals=(*_CREATES, Reason.NOT_PERMITTED),
            ),
        ),
        _read(
            _ORG,
            console_organizations.get_organization,
            "getOrganization",
            "Read an organization",
            ConsoleOrganization,
        ),
        Endpoint(
            "PATCH",
            _ORG,
            console_organizations.update_organization,
            Operation(
                "editOrganization",
                "Change an organization",
                (json_answer(ConsoleOrganization),),
                bodies=(RequestBody(OrganizationUpdate, example={"name": "Acme"}),),
                refusals=(*_WRITES, Reason.NOT_PERMITTED),
            ),
        ),
        Endpoint(
            "DELETE",
            _ORG,
            console_organizations.delete_organization,
            Operation(
                "deleteOrganization",
                "Delete an organization that has no project",
                (json_answer(Done),),
                refusals=(*_WRITES, Reason.NOT_PERMITTED),
            ),
        ),
        _read(
            _ORG + "/events/providermetadata",
            console_organizations.list_families,
            "getProviderMetadataForOrg",
            "List provider metadata",
            list[ConsoleFamily],
        ),
        Endpoint(
            "GET",
            _ORG + "/events/providers",
            console_organizations.list_providers,
            Operation(
                "getProvidersForOrg",
                "List the providers that an organization may subscribe to",
                (json_answer(list[ConsoleProvider]),),
                (WITH_METADATA,),
            ),
        ),
        _read(
            _ORG + "/services", console_organizations.list_services, "getServicesForOrg", "List services", list[Service]
        ),
        _read(
            _TERMS,
            console_organizations.get_org_terms,
            "checkOrgDevTerms",
            "Ask whether terms are accepted",
            TermsState,
        ),
        Endpoint(
            "POST",
            _TERMS,
            console_organizations.get_org_terms,
            Operation("acceptOrgDevTerms", "Accept terms, of which there are none", (json_answer(TermsState),)),
        ),
        _read("/console/services/ims/terms", console_organizations.get_terms, "getDevTerms", "Read the terms", Terms),
        _read(
            "/console/api/organizations/{org}/features",
            console_organizations.list_features,
            "getOrganizationFeatures",
            "List the features of an organization",
            list[Feature],
        ),
        _read(
            _ORG + "/projects_workspaces/credentials/{credential}",
            console_lookups.find_credential_place,
            "getWorkspaceForCredential",
            "Find the workspace of a credential",
            list[CredentialPlace],
        ),
        _read(
            _ORG + "/projects_workspaces/workspaces/{workspace}",
            console_lookups.find_workspace_place,
            "getProjectForWorkspace",
            "Find the project of a workspace",
            list[WorkspacePlace],
        ),
        _read(
            _ORG + "/clients/{client}/project_workspace",
            console_lookups.find_client_place,
            "getWorkspaceForClient",
            "Find the workspace of a client id",
            ClientPlace,
        ),
        _read(
            _ORG + "/integrations/entp/{credential}/service/{sdk}/properties",
            console_lookups.get_service_properties,
            "getSDKProperties",
            "Read the properties of a service, which has none",
            ServiceProperties,
        ),
        Endpoint(
            "GET",
            _ORG + "/integrations",
            console_lookups.page_integrations,
            Operation(
                "getIntegrationsForOrg",
                "List the credentials of an organization in pages",
                (json_answer(IntegrationPage),),
                (
                    Parameter("page", Annotated[int, msgspec.Meta(ge=1, le=1 << 31)], "Counted from 1."),
                    Parameter(
                        "size", Annotated[int, msgspec.Meta(ge=1, le=100)], "Credentials per page; 20 unless given."
                    ),
                ),
            ),
        ),
    ),
)

PLACES = Group(
    tag="Projects",
    about="Projects and their workspaces.",
    is_console=True,
    for_callers=(
        _read(
            _ORG + "/projects",
            console_projects.list_projects,
            "getProjectsForOrg",
            "List the projects of an organization",
            list[ConsoleProject],
        ),
        Endpoint(
            "POST",
            _ORG + "/projects",
            console_projects.create_project,
            Operation(
                "createProject",
                "Create a project and its first workspace",
                (json_answer(NewProject, 201),),
                bodies=(RequestBody(PlaceForm, example={"name": "Shop", "title": "The shop"}),),
                refusals=_CREATES,
            ),
        ),
        _read(_PROJECT, console_projects.get_project, "getProject", "Read a project", ConsoleProject),
        Endpoint(
            "PATCH",
            _PROJECT,
            console_projects.update_project,
            Operation(
                "editProject",
                "Change a project",
                (json_answer(ConsoleProject),),
                bodies=(RequestBody(PlaceUpdate, example={"title": "The shop"}),),
                refusals=_WRITES,
            ),
        ),
        Endpoint(
            "DELETE",
            _PROJECT,
            console_projects.delete_project,
            Operation(
                "deleteProject",
                "Delete a project that has no provider and no registration",
                (json_answer(Done),),
                refusals=_WRITES,
            ),
        ),
        Endpoint(
            "POST",
            _PROJECT + "/can-delete",
            console_projects.check_project_deletion,
            Operation("checkProjectDeletion", "Ask what keeps a project from being deleted", (json_answer(Obstacles),)),
        ),
        _read(
            _PROJECT + "/workspaces",
            console_projects.list_workspaces,
            "getWorkspacesForProject",
            "List the workspaces of a project",
            list[ConsoleWorkspace],
        ),
        Endpoint(
            "POST",
            _PROJECT + "/workspaces",
            console_projects.create_workspace,
            Operation(
                "createWorkspace",
                "Create a workspace",
                (json_answer(WorkspacePlace, 201),),
                bodies=(RequestBody(PlaceForm, example={"name": "Stage"}),),
                refusals=_CREATES,
            ),
        ),
        _read(_WORKSPACE, console_projects.get_workspace, "getWorkspace", "Read a workspace", ConsoleWorkspace),
        Endpoint(
            "PATCH",
            _WORKSPACE,
            console_projects.update_workspace,
            Operation(
                "editWorkspace",
                "Change a workspace",
                (json_answer(ConsoleWorkspace),),
                bodies=(RequestBody(PlaceUpdate, example={"title": "For rehearsals"}),),
                refusals=_WRITES,
            ),
        ),
        Endpoint(
            "DELETE",
            _WORKSPACE,
            console_projects.delete_workspace,
            Operation(
                "deleteWorkspace",
                "Delete a workspace that has no provider and no registration",
                (json_answer(Done),),
                refusals=_WRITES,
            ),
        ),
        Endpoint(
            "GET",
            _WORKSPACE + "/download",
            console_download.download_workspace,
            Operation(
                "downloadWorkspaceJson", "Download the project file", (json_answer(ProjectFile, 200, "Cache-Control"),)
            ),
        ),
        Endpoint(
            "POST",
            _WORKSPACE + "/namespace",
            console_projects.name_namespace,
            Operation("createRuntimeNamespace", "Name the Runtime namespace", (json_answer(Namespace),)),
        ),
        _read(
            _WORKSPACE + "/endpoints",
            console_projects.list_endpoints,
            "getEndPointsInWorkspace",
            "List extension points, of which there are none",
            NoEndpoints,
        ),
    ),
)
