"""The routes table: every path that is served, who may call it, and which handler answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from eventmill.model import Caller
from eventmill.web import (
    asyncapi,
    console_credentials,
    console_download,
    console_lookups,
    console_organizations,
    console_projects,
    dev,
    event_metadata,
    families,
    health,
    ims,
    ims_people,
    ims_tokens,
    insight,
    isv,
    jwks,
    keys,
    provider_writes,
    providers,
    registration_reads,
    registrations,
    samples,
    state_store,
)
from eventmill.web.http import Reply, Request
from eventmill.web.journal import count_events, read_journal, validate_position
from eventmill.web.parts import Parts
from eventmill.web.routing import Router

Handler = Callable[[Parts, Request, Caller], Awaitable[Reply]]
OpenHandler = Callable[[Parts, Request], Awaitable[Reply]]

_WORKSPACE = "/events/{org}/{project}/{workspace}"
_PROVIDER = _WORKSPACE + "/providers/{provider}"
_METADATA = "/events/providers/{provider}/eventmetadata"
_INTEGRATION = "/organizations/{org}/integrations/{credential}"

CALLERS: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/events/providermetadata", families.list_families),
    ("GET", "/events/{org}/providers", providers.list_providers),
    ("GET", "/events/providers/{provider}", providers.get_provider),
    ("POST", _WORKSPACE + "/providers", provider_writes.create_provider),
    ("PUT", _PROVIDER, provider_writes.update_provider),
    ("PATCH", _PROVIDER, provider_writes.patch_provider),
    ("DELETE", _PROVIDER, provider_writes.delete_provider),
    ("GET", _METADATA, event_metadata.list_event_metadata),
    ("GET", _METADATA + "/{code}", event_metadata.get_event_metadata),
    ("POST", _PROVIDER + "/eventmetadata", event_metadata.create_event_metadata),
    ("DELETE", _PROVIDER + "/eventmetadata", event_metadata.delete_all_event_metadata),
    ("PUT", _PROVIDER + "/eventmetadata/{code}", event_metadata.update_event_metadata),
    ("PATCH", _PROVIDER + "/eventmetadata/{code}", event_metadata.patch_event_metadata),
    ("DELETE", _PROVIDER + "/eventmetadata/{code}", event_metadata.delete_event_metadata),
    ("GET", _METADATA + "/{code}/sample_event", samples.get_sample_event),
    ("POST", _METADATA + "/{code}/sample_event/{registration}", samples.post_sample_event),
    ("GET", "/events/{org}/registrations", registration_reads.page_registrations),
    ("GET", _WORKSPACE + "/registrations", registration_reads.list_registrations),
    ("POST", _WORKSPACE + "/registrations", registrations.create_registration),
    ("GET", _WORKSPACE + "/registrations/{registration}", registration_reads.get_registration),
    ("PUT", _WORKSPACE + "/registrations/{registration}", registrations.update_registration),
    ("PATCH", _WORKSPACE + "/registrations/{registration}", registrations.patch_registration),
    ("DELETE", _WORKSPACE + "/registrations/{registration}", registrations.delete_registration),
    ("POST", _WORKSPACE + "/isv/registrations/validate", isv.validate_registrations),
    ("GET", "/events" + _INTEGRATION + "/tracing/{registration}", insight.get_traces),
    ("GET", "/traces/{org}/{project}/{workspace}/registration/{registration}", insight.get_workspace_traces),
    ("POST", "/ims/keys", jwks.post_key),
)
"""Need a token and an api key."""

JOURNAL: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/events" + _INTEGRATION + "/{registration}", read_journal),
    ("GET", "/events-fast" + _INTEGRATION + "/{registration}", read_journal),
    ("GET", _INTEGRATION + "/{registration}", read_journal),
    ("GET", "/events" + _INTEGRATION + "/{registration}/validate", validate_position),
    ("GET", "/events-validate" + _INTEGRATION + "/{registration}", validate_position),
    ("GET", _INTEGRATION + "/{registration}/validate", validate_position),
    ("GET", "/count" + _INTEGRATION + "/{registration}", count_events),
)
"""Need the same, and may be called by web pages of any origin."""

_CONSOLE_ORG = "/console/organizations/{org}"
_CONSOLE_PROJECT = _CONSOLE_ORG + "/projects/{project}"
_CONSOLE_WORKSPACE = _CONSOLE_PROJECT + "/workspaces/{workspace}"
_CONSOLE_CREDENTIAL = _CONSOLE_ORG + "/credentials/{credential}"
_CONSOLE_BINDINGS = _CONSOLE_ORG + "/integrations/entp/{credential}/bindings"

CONSOLE: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/console/organizations", console_organizations.list_organizations),
    ("POST", "/console/organizations", console_organizations.create_organization),
    ("GET", _CONSOLE_ORG, console_organizations.get_organization),
    ("PATCH", _CONSOLE_ORG, console_organizations.update_organization),
    ("DELETE", _CONSOLE_ORG, console_organizations.delete_organization),
    ("GET", _CONSOLE_ORG + "/events/providermetadata", console_organizations.list_families),
    ("GET", _CONSOLE_ORG + "/events/providers", console_organizations.list_providers),
    ("GET", _CONSOLE_ORG + "/services", console_organizations.list_services),
    ("GET", "/console/services/ims/organizations/{org}/terms", console_organizations.get_org_terms),
    ("POST", "/console/services/ims/organizations/{org}/terms", console_organizations.get_org_terms),
    ("GET", "/console/services/ims/terms", console_organizations.get_terms),
    ("GET", "/console/api/organizations/{org}/features", console_organizations.list_features),
    ("GET", _CONSOLE_ORG + "/projects", console_projects.list_projects),
    ("POST", _CONSOLE_ORG + "/projects", console_projects.create_project),
    ("GET", _CONSOLE_PROJECT, console_projects.get_project),
    ("PATCH", _CONSOLE_PROJECT, console_projects.update_project),
    ("DELETE", _CONSOLE_PROJECT, console_projects.delete_project),
    ("POST", _CONSOLE_PROJECT + "/can-delete", console_projects.check_project_deletion),
    ("GET", _CONSOLE_PROJECT + "/workspaces", console_projects.list_workspaces),
    ("POST", _CONSOLE_PROJECT + "/workspaces", console_projects.create_workspace),
    ("GET", _CONSOLE_WORKSPACE, console_projects.get_workspace),
    ("PATCH", _CONSOLE_WORKSPACE, console_projects.update_workspace),
    ("DELETE", _CONSOLE_WORKSPACE, console_projects.delete_workspace),
    ("GET", _CONSOLE_WORKSPACE + "/download", console_download.download_workspace),
    ("POST", _CONSOLE_WORKSPACE + "/namespace", console_projects.name_namespace),
    ("GET", _CONSOLE_WORKSPACE + "/endpoints", console_projects.list_endpoints),
    ("GET", _CONSOLE_WORKSPACE + "/credentials", console_credentials.list_credentials),
    ("POST", _CONSOLE_WORKSPACE + "/credentials/oauth-server-to-server", console_credentials.create_oauth_credential),
    ("POST", _CONSOLE_WORKSPACE + "/credentials/entp", console_credentials.create_jwt_credential),
    ("PATCH", _CONSOLE_WORKSPACE + "/credentials/{credential}", console_credentials.update_credential),
    ("DELETE", _CONSOLE_WORKSPACE + "/credentials/{credential}", console_credentials.delete_credential),
    ("PUT", _CONSOLE_WORKSPACE + "/credentials/{type}/{credential}/services", console_credentials.set_services),
    ("GET", _CONSOLE_ORG + "/projects_workspaces/credentials/{credential}", console_lookups.find_credential_place),
    ("GET", _CONSOLE_ORG + "/projects_workspaces/workspaces/{workspace}", console_lookups.find_workspace_place),
    ("GET", _CONSOLE_ORG + "/clients/{client}/project_workspace", console_lookups.find_client_place),
    (
        "GET",
        _CONSOLE_ORG + "/integrations/entp/{credential}/service/{sdk}/properties",
        console_lookups.get_service_properties,
    ),
    ("GET", _CONSOLE_ORG + "/integrations", console_lookups.page_integrations),
    ("GET", _CONSOLE_ORG + "/integrations/{credential}", console_credentials.get_integration),
    ("GET", _CONSOLE_ORG + "/integrations/{credential}/secrets", console_credentials.list_secrets),
    ("GET", _CONSOLE_CREDENTIAL + "/secrets", console_credentials.list_secrets),
    ("POST", _CONSOLE_CREDENTIAL + "/secrets", console_credentials.add_secret),
    ("DELETE", _CONSOLE_CREDENTIAL + "/secrets/{secret}", console_credentials.delete_secret),
    ("GET", _CONSOLE_BINDINGS, console_credentials.list_bindings),
    ("POST", _CONSOLE_BINDINGS, console_credentials.add_binding),
    ("DELETE", _CONSOLE_BINDINGS + "/{binding}", console_credentials.delete_binding),
)
"""The Console API: a token, and the api key may also be the official command line's."""

OPEN: tuple[tuple[str, str, OpenHandler], ...] = (
    ("GET", "/", health.get_index),
    ("GET", "/healthz", health.get_health),
    ("GET", "/readyz", health.get_readiness),
    ("GET", "/prod/keys/{file}", keys.get_public_key),
    ("GET", "/containers/{namespace}/data/{key}", state_store.get_value),
    ("PUT", "/containers/{namespace}/data/{key}", state_store.put_value),
    ("GET", "/asyncapi/catalog.json", asyncapi.get_json),
    ("GET", "/asyncapi/catalog.yaml", asyncapi.get_yaml),
    ("POST", "/ims/token/v1", ims.issue_token),
    ("POST", "/ims/token/v2", ims.issue_token),
    ("POST", "/ims/token/v3", ims.issue_token),
    ("POST", "/ims/exchange/jwt", ims.exchange_assertion),
    ("POST", "/ims/validate_token/v1", ims_tokens.validate_token),
    ("POST", "/ims/invalidate_token/v2", ims_tokens.invalidate_token),
    ("GET", "/ims/organizations/v6", ims_people.list_organizations),
    ("GET", "/ims/profile/v1", ims_people.get_profile),
    ("GET", "/ims/keys", jwks.get_keys),
    ("GET", "/.well-known/jwks.json", jwks.get_keys),
)
"""Need no token."""

DEV: tuple[tuple[str, str, OpenHandler], ...] = (
    ("GET", "/_dev/clock", dev.get_clock),
    ("POST", "/_dev/clock", dev.post_clock),
    ("POST", "/_dev/reset", dev.post_reset),
)
"""Dev mode only, from this machine only."""


class Route(msgspec.Struct, frozen=True):
    handler: Handler | None = None
    open_handler: OpenHandler | None = None
    cross_origin: bool = False
    console: bool = False
    """Of the Console API: the official command line's own api key will do."""


def build_router(*, dev_mode: bool) -> Router[Route]:
    router: Router[Route] = Router()
    for method, pattern, handler in CALLERS:
        router.add(method, pattern, Route(handler))
    for method, pattern, handler in JOURNAL:
        router.add(method, pattern, Route(handler, cross_origin=True))
    for method, pattern, handler in CONSOLE:
        router.add(method, pattern, Route(handler, console=True))
    for method, pattern, open_handler in (*OPEN, *(DEV if dev_mode else ())):
        router.add(method, pattern, Route(open_handler=open_handler))
    return router
