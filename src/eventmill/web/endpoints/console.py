"""The Console API: organizations, what it says about each, and where something is."""

from __future__ import annotations

from typing import Annotated

import msgspec

from eventmill.errors import Reason
from eventmill.web.console import lookups, organizations
from eventmill.web.console.forms import OrganizationForm, OrganizationUpdate
from eventmill.web.console.shapes import (
    ClientPlace,
    ConsoleFamily,
    ConsoleNotice,
    ConsoleOrganization,
    ConsoleProvider,
    CredentialPlace,
    Feature,
    IntegrationPage,
    Service,
    ServiceProperties,
    Terms,
    TermsState,
    WorkspacePlace,
)
from eventmill.web.endpoint import Endpoint, Group, Handler, Operation, Parameter, RequestBody, json_answer
from eventmill.web.endpoints.parameters import WITH_METADATA
from eventmill.web.ims.shapes import Done

_ORG = "/console/organizations/{org}"
_TERMS = "/console/services/ims/organizations/{org}/terms"

_WRITES = (Reason.CONFLICT, Reason.STALE_VERSION)
_CREATES = (*_WRITES, Reason.QUOTA_REACHED)


def read(pattern: str, handler: Handler, name: str, summary: str, kind: object) -> Endpoint[Handler]:
    """Of an answer without parameters."""
    return Endpoint("GET", pattern, handler, Operation(name, summary, (json_answer(kind),)))


ORGANIZATIONS = Group(
    tag="Organizations",
    about="Organizations in the Console API. Writing them is Eventmill's own addition, and the operator's alone.",
    is_console=True,
    for_callers=(
        read(
            "/console/organizations",
            organizations.list_organizations,
            "getOrganizations",
            "List the organizations of the token",
            list[ConsoleOrganization],
        ),
        Endpoint(
            "POST",
            "/console/organizations",
            organizations.create_organization,
            Operation(
                "createOrganization",
                "Create an organization",
                (json_answer(ConsoleOrganization, 201),),
                bodies=(RequestBody(OrganizationForm, example={"name": "Acme"}),),
                refusals=(*_CREATES, Reason.NOT_PERMITTED),
            ),
        ),
        read(
            _ORG,
            organizations.get_organization,
            "getOrganization",
            "Read an organization",
            ConsoleOrganization,
        ),
        Endpoint(
            "PATCH",
            _ORG,
            organizations.update_organization,
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
            organizations.delete_organization,
            Operation(
                "deleteOrganization",
                "Delete an organization that has no project",
                (json_answer(Done),),
                refusals=(*_WRITES, Reason.NOT_PERMITTED),
            ),
        ),
        read(
            _ORG + "/events/providermetadata",
            organizations.list_families,
            "getProviderMetadataForOrg",
            "List provider metadata",
            list[ConsoleFamily],
        ),
        Endpoint(
            "GET",
            _ORG + "/events/providers",
            organizations.list_providers,
            Operation(
                "getProvidersForOrg",
                "List the providers that an organization may subscribe to",
                (json_answer(list[ConsoleProvider]),),
                (WITH_METADATA,),
            ),
        ),
        read(
            _ORG + "/notices",
            organizations.list_notices,
            "getNoticesForOrg",
            "List what nobody was mailed about yet, newest first",
            list[ConsoleNotice],
        ),
        read(_ORG + "/services", organizations.list_services, "getServicesForOrg", "List services", list[Service]),
        read(
            _TERMS,
            organizations.get_org_terms,
            "checkOrgDevTerms",
            "Ask whether terms are accepted",
            TermsState,
        ),
        Endpoint(
            "POST",
            _TERMS,
            organizations.get_org_terms,
            Operation("acceptOrgDevTerms", "Accept terms, of which there are none", (json_answer(TermsState),)),
        ),
        read("/console/services/ims/terms", organizations.get_terms, "getDevTerms", "Read the terms", Terms),
        read(
            "/console/api/organizations/{org}/features",
            organizations.list_features,
            "getOrganizationFeatures",
            "List the features of an organization",
            list[Feature],
        ),
        read(
            _ORG + "/projects_workspaces/credentials/{credential}",
            lookups.find_credential_place,
            "getWorkspaceForCredential",
            "Find the workspace of a credential",
            list[CredentialPlace],
        ),
        read(
            _ORG + "/projects_workspaces/workspaces/{workspace}",
            lookups.find_workspace_place,
            "getProjectForWorkspace",
            "Find the project of a workspace",
            list[WorkspacePlace],
        ),
        read(
            _ORG + "/clients/{client}/project_workspace",
            lookups.find_client_place,
            "getWorkspaceForClient",
            "Find the workspace of a client id",
            ClientPlace,
        ),
        read(
            _ORG + "/integrations/entp/{credential}/service/{sdk}/properties",
            lookups.get_service_properties,
            "getSDKProperties",
            "Read the properties of a service, which has none",
            ServiceProperties,
        ),
        Endpoint(
            "GET",
            _ORG + "/integrations",
            lookups.page_integrations,
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
