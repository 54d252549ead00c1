"""Credentials in the Console API: their secrets, and the public keys of the deprecated JWT kind."""

from __future__ import annotations

from eventmill.errors import Reason
from eventmill.web.console import credentials
from eventmill.web.console.forms import (
    CertificateForm,
    CredentialForm,
    CredentialUpdate,
    JwtCredentialForm,
    ServiceForm,
)
from eventmill.web.console.shapes import (
    Binding,
    CredentialItem,
    Integration,
    NewCredential,
    NewSecret,
    Secrets,
    Services,
)
from eventmill.web.endpoint import MULTIPART, Endpoint, Group, Operation, Parameter, RequestBody, json_answer
from eventmill.web.http import JSON_TYPE
from eventmill.web.ims.shapes import Done

_ORG = "/console/organizations/{org}"
_CREDENTIALS = _ORG + "/projects/{project}/workspaces/{workspace}/credentials"
_SECRETS = _ORG + "/credentials/{credential}/secrets"
_INTEGRATION = _ORG + "/integrations/{credential}"
_BINDINGS = _ORG + "/integrations/entp/{credential}/bindings"
_UPLOAD = (JSON_TYPE, MULTIPART)

_WRITES = (Reason.CONFLICT, Reason.STALE_VERSION)
_CREATES = (*_WRITES, Reason.QUOTA_REACHED)
_UPLOADS = (*_CREATES, Reason.INVALID_PARAMETER)
_REVOKES = Parameter("revoke_tokens", bool, "Whether every token of the credential ends as well, as after a leak.")

CREDENTIALS = Group(
    tag="Credentials",
    about="What programs sign in with.",
    is_console=True,
    for_callers=(
        Endpoint(
            "GET",
            _CREDENTIALS,
            credentials.list_credentials,
            Operation("getCredentials", "List the credentials of a workspace", (json_answer(list[CredentialItem]),)),
        ),
        Endpoint(
            "POST",
            _CREDENTIALS + "/oauth-server-to-server",
            credentials.create_oauth_credential,
            Operation(
                "createOAuthServerToServerCredential",
                "Create a credential with a client secret",
                (json_answer(NewCredential, 200, "Cache-Control"),),
                bodies=(RequestBody(CredentialForm, example={"name": "Shop backend"}),),
                refusals=_CREATES,
            ),
        ),
        Endpoint(
            "POST",
            _CREDENTIALS + "/entp",
            credentials.create_jwt_credential,
            Operation(
                "createEnterpriseCredential",
                "Create a credential of the deprecated JWT kind",
                (json_answer(NewCredential, 200, "Cache-Control"),),
                bodies=(RequestBody(JwtCredentialForm, _UPLOAD),),
                refusals=_UPLOADS,
            ),
        ),
        Endpoint(
            "PATCH",
            _CREDENTIALS + "/{credential}",
            credentials.update_credential,
            Operation(
                "editCredential",
                "Rename a credential",
                (json_answer(Integration),),
                bodies=(RequestBody(CredentialUpdate, example={"name": "Shop backend"}),),
                refusals=_WRITES,
            ),
        ),
        Endpoint(
            "DELETE",
            _CREDENTIALS + "/{credential}",
            credentials.delete_credential,
            Operation(
                "deleteCredentialById",
                "Delete a credential that no registration uses",
                (json_answer(Done),),
                refusals=_WRITES,
                about="Its tokens stop working with the answer.",
            ),
        ),
        Endpoint(
            "PUT",
            _CREDENTIALS + "/{type}/{credential}/services",
            credentials.set_services,
            Operation(
                "subscribeCredentialToServices",
                "Subscribe a credential to services",
                (json_answer(Services),),
                bodies=(RequestBody(list[ServiceForm], example=[{"sdkCode": "AdobeIOManagementAPISDK"}]),),
                about="Changes nothing: every credential may do everything.",
            ),
        ),
        Endpoint(
            "GET",
            _INTEGRATION,
            credentials.get_integration,
            Operation("getIntegration", "Read a credential", (json_answer(Integration),)),
        ),
        Endpoint(
            "GET",
            _INTEGRATION + "/secrets",
            credentials.list_secrets,
            Operation("getIntegrationSecrets", "List the secrets of a credential, masked", (json_answer(Secrets),)),
        ),
        Endpoint(
            "GET",
            _SECRETS,
            credentials.list_secrets,
            Operation("getSecrets", "List the secrets of a credential, masked", (json_answer(Secrets),)),
        ),
        Endpoint(
            "POST",
            _SECRETS,
            credentials.add_secret,
            Operation(
                "addSecret",
                "Add a secret",
                (json_answer(NewSecret, 200, "Cache-Control"),),
                refusals=_CREATES,
                about="It signs deliveries from now on; those before it stay good for tokens.",
            ),
        ),
        Endpoint(
            "DELETE",
            _SECRETS + "/{secret}",
            credentials.delete_secret,
            Operation("deleteSecret", "Delete a secret", (json_answer(Done),), (_REVOKES,), refusals=_WRITES),
        ),
        Endpoint(
            "GET",
            _BINDINGS,
            credentials.list_bindings,
            Operation(
                "getBindingsForIntegration",
                "List the public keys of a credential",
                (json_answer(list[Binding]),),
                refusals=(Reason.CONFLICT,),
            ),
        ),
        Endpoint(
            "POST",
            _BINDINGS,
            credentials.add_binding,
            Operation(
                "uploadAndBindCertificate",
                "Add a public key",
                (json_answer(Binding),),
                bodies=(RequestBody(CertificateForm, _UPLOAD),),
                refusals=_UPLOADS,
            ),
        ),
        Endpoint(
            "DELETE",
            _BINDINGS + "/{binding}",
            credentials.delete_binding,
            Operation("deleteBinding", "Delete a public key", (json_answer(Done),), refusals=_WRITES),
        ),
    ),
)
