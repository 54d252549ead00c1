"""Credentials in the Console API: their kinds, their secrets, the public keys of the `jwt` kind.

A secret is answered once, by the call that makes it; everywhere else but in the workspace's project file it is masked.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from eventmill.errors import GatewayError, Reason
from eventmill.model import Caller, Credential, CredentialKind
from eventmill.web import tenancy
from eventmill.web.certificates import fingerprint
from eventmill.web.checks import convert, read_object, show
from eventmill.web.client_secrets import make_secret, seal_secret, secret_id, with_secret, without_secret
from eventmill.web.console.bodies import binding_body, credential_body, integration_body, secrets_body
from eventmill.web.console.forms import (
    CertificateForm,
    CredentialForm,
    CredentialUpdate,
    JwtCredentialForm,
    certificate_of,
    read_services,
)
from eventmill.web.console.organizations import DONE
from eventmill.web.console.paths import path_credential
from eventmill.web.console.shapes import NewCredential, NewSecret, Services
from eventmill.web.http import NOT_STORED, Reply, Request, json_reply
from eventmill.web.ims.form import parse_form
from eventmill.web.parts import Parts
from eventmill.web.paths import not_found, path_workspace
from eventmill.web.tenancy_deletion import delete_tenant

_PUBLIC_KEYS_MAX = 10

Form = TypeVar("Form", bound=CertificateForm)


async def list_credentials(parts: Parts, request: Request, caller: Caller) -> Reply:
    """GET …/workspaces/{workspace}/credentials: a bare array, in creation order."""
    workspace = path_workspace(parts, request, caller)
    found = parts.catalogue.workspace_credentials(workspace.org, workspace.id)
    return json_reply(200, [credential_body(each) for each in found])


async def get_integration(parts: Parts, request: Request, caller: Caller) -> Reply:
    return json_reply(200, integration_body(path_credential(parts, request, caller)))


async def create_oauth_credential(parts: Parts, request: Request, caller: Caller) -> Reply:
    """POST …/credentials/oauth-server-to-server"""
    path_workspace(parts, request, caller)
    form = read_object(await request.json_body(parts.config.request_bytes_max), CredentialForm)
    return await _create(parts, request, caller, form.name, "oauth_server_to_server")


async def create_jwt_credential(parts: Parts, request: Request, caller: Caller) -> Reply:
    """POST …/credentials/entp: with the certificate of the key that its assertions are signed with."""
    path_workspace(parts, request, caller)
    form = await _read_form(parts, request, JwtCredentialForm)
    return await _create(parts, request, caller, form.name, "jwt", certificate_of(form))


async def _create(
    parts: Parts, request: Request, caller: Caller, name: str, kind: CredentialKind, *public_keys: str
) -> Reply:
    workspace = path_workspace(parts, request, caller)
    credential_id = await tenancy.new_id(parts, "credential", workspace.org)
    secret = make_secret(parts.ids)
    credential = Credential(
        id=credential_id,
        org=workspace.org,
        project_id=workspace.project_id,
        workspace_id=workspace.id,
        name=name,
        client_id=parts.ids.random(16).hex(),
        sealed_secret=seal_secret(parts.sealer, credential_id, secret),
        kind=kind,
        public_keys=public_keys,
    )
    await tenancy.create(parts, credential, caller.client_id)
    body = NewCredential(
        id=credential.id,
        api_key=credential.client_id,
        org_id=credential.org,
        client_secret=secret,
        technical_account_id=credential.technical_account_id,
    )
    return json_reply(200, body, headers=NOT_STORED)


async def _read_form(parts: Parts, request: Request, model: type[Form]) -> Form:
    """JSON, or the multipart form that the official clients send a certificate in."""
    bytes_max = parts.config.request_bytes_max
    content_type = request.header(b"content-type")
    if content_type.lower().startswith("multipart/form-data"):
        return convert(parse_form(content_type, await request.body(bytes_max)), model)
    return read_object(await request.json_body(bytes_max), model)


async def update_credential(parts: Parts, request: Request, caller: Caller) -> Reply:
    """PATCH …/workspaces/{workspace}/credentials/{credential}: its name."""
    known = path_credential(parts, request, caller)
    form = read_object(await request.json_body(parts.config.request_bytes_max), CredentialUpdate)

    def decide(stored: Credential) -> Credential:
        return stored if form.name is None else msgspec.structs.replace(stored, name=form.name)

    return json_reply(200, integration_body(await tenancy.change(parts, known, caller.client_id, decide)))


async def delete_credential(parts: Parts, request: Request, caller: Caller) -> Reply:
    """Its tokens stop working with the answer. Refused while registrations have its client id."""
    await delete_tenant(parts, path_credential(parts, request, caller), caller.client_id)
    return json_reply(200, DONE)


async def set_services(parts: Parts, request: Request, caller: Caller) -> Reply:
    """PUT …/credentials/{type}/{credential}/services: every credential may do everything, so this changes nothing."""
    path_credential(parts, request, caller)
    services = read_services(await request.json_body(parts.config.request_bytes_max))
    return json_reply(200, Services([each.sdk_code for each in services]))


# --- Secrets ----------------------------------------------------------------------------------------------------------


async def list_secrets(parts: Parts, request: Request, caller: Caller) -> Reply:
    return json_reply(200, secrets_body(path_credential(parts, request, caller)))


async def add_secret(parts: Parts, request: Request, caller: Caller) -> Reply:
    """POST …/credentials/{credential}/secrets: from now on it signs deliveries; those before stay good for tokens."""
    known = path_credential(parts, request, caller)
    secret = make_secret(parts.ids)
    sealed = seal_secret(parts.sealer, known.id, secret)
    at_most = parts.config.secrets_per_credential

    def decide(stored: Credential) -> Credential:
        if at_most and len(stored.sealed_secrets) >= at_most:
            message = (
                f"credential {stored.id} has {at_most} secrets, which is the limit; delete the one not used any more"
            )
            raise GatewayError(Reason.QUOTA_REACHED, message)
        return with_secret(stored, sealed)

    await tenancy.change(parts, known, caller.client_id, decide)
    return json_reply(200, NewSecret(secret_id(sealed), secret), headers=NOT_STORED)


async def delete_secret(parts: Parts, request: Request, caller: Caller) -> Reply:
    """DELETE …/secrets/{secret}: it is good for no further token. Tokens that it was used for run on.

    With `?revoke_tokens=true` every token of the credential ends as well, as after a leak.
    """
    known = path_credential(parts, request, caller)
    unwanted = request.params["secret"]
    revoked_before_ms = parts.clock.machine_ms() + 1 if _asks_revocation(request) else 0

    def decide(stored: Credential) -> Credential:
        try:
            left = without_secret(stored, unwanted)
        except ValueError:
            message = f"{unwanted} is the only secret of credential {stored.id}; add another one first"
            raise GatewayError(Reason.CONFLICT, message) from None
        if left is None:
            raise not_found(f"secret {show(unwanted)}", f"credential {stored.id}")
        return msgspec.structs.replace(left, revoked_before_ms=max(left.revoked_before_ms, revoked_before_ms))

    await tenancy.change(parts, known, caller.client_id, decide)
    return json_reply(200, DONE)


def _asks_revocation(request: Request) -> bool:
    value = (request.query_value("revoke_tokens") or "false").lower()
    if value not in ("true", "false"):
        raise GatewayError(Reason.INVALID_PARAMETER, f"revoke_tokens must be true or false, but is {show(value)}")
    return value == "true"


# --- Public keys ------------------------------------------------------------------------------------------------------


def _path_jwt_credential(parts: Parts, request: Request, caller: Caller) -> Credential:
    credential = path_credential(parts, request, caller)
    if credential.kind != "jwt":
        raise GatewayError(Reason.CONFLICT, f"credential {credential.id} is of a kind that has no public keys")
    return credential


async def list_bindings(parts: Parts, request: Request, caller: Caller) -> Reply:
    """GET …/integrations/entp/{credential}/bindings: the public keys, oldest first."""
    credential = _path_jwt_credential(parts, request, caller)
    return json_reply(200, [binding_body(credential, pem) for pem in credential.public_keys])


async def add_binding(parts: Parts, request: Request, caller: Caller) -> Reply:
    known = _path_jwt_credential(parts, request, caller)
    pem = certificate_of(await _read_form(parts, request, CertificateForm))

    def decide(stored: Credential) -> Credential:
        if fingerprint(pem) in (fingerprint(each) for each in stored.public_keys):
            return stored
        if len(stored.public_keys) >= _PUBLIC_KEYS_MAX:
            message = f"credential {stored.id} has {_PUBLIC_KEYS_MAX} public keys, which is the limit"
            raise GatewayError(Reason.QUOTA_REACHED, message)
        return msgspec.structs.replace(stored, public_keys=(*stored.public_keys, pem))

    return json_reply(200, binding_body(await tenancy.change(parts, known, caller.client_id, decide), pem))


async def delete_binding(parts: Parts, request: Request, caller: Caller) -> Reply:
    """Without a public key left, the credential gets tokens for its secret only."""
    known = _path_jwt_credential(parts, request, caller)
    unwanted = request.params["binding"]

    def decide(stored: Credential) -> Credential:
        left = tuple(each for each in stored.public_keys if fingerprint(each) != unwanted)
        if len(left) == len(stored.public_keys):
            raise not_found(f"public key {show(unwanted)}", f"credential {stored.id}")
        return msgspec.structs.replace(stored, public_keys=left)

    await tenancy.change(parts, known, caller.client_id, decide)
    return json_reply(200, DONE)
