"""`eventmill credential`: what programs sign in with, and the rotation of its secrets."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import click

from eventmill.cli.places import (
    Json,
    called,
    confirm,
    credential_path,
    find_credential,
    find_workspace,
    list_credentials,
    org_option,
    project_option,
    workspace_option,
    workspace_path,
    yes_option,
)
from eventmill.cli.remote import Failed, Remote, remote_options
from eventmill.cli.table import json_option, print_fields, print_json, print_list

_KINDS = {"oauth_server_to_server": "OAuth server-to-server", "service": "JWT"}


@click.group(short_help="Credentials: client ids and their secrets")
def credential() -> None:
    """Credentials: client id and secrets that a program gets its tokens with.

    CREDENTIAL is an id or a client id.
    """


@credential.command("list")
@org_option
@project_option
@workspace_option
@json_option
@remote_options
def list_(remote: Remote, org: str | None, project: str | None, workspace: str | None, *, as_json: bool) -> None:
    """List the credentials of a workspace."""
    found = list_credentials(remote, *find_workspace(remote, org, project, workspace))
    columns = {"ID": "id_integration", "NAME": "name", "KIND": "kind", "CLIENT ID": "client_id"}
    print_list(
        found,
        columns,
        "no credential yet",
        as_json=as_json,
        show=lambda each: {**each, "kind": _KINDS.get(each["integration_type"])},
    )


@credential.command()
@click.argument("credential")
@org_option
@json_option
@remote_options
def get(remote: Remote, credential: str, org: str | None, *, as_json: bool) -> None:
    """Show one credential and which secrets it has."""
    body = find_credential(remote, org, credential)
    secrets = remote.call("GET", f"{credential_path(body)}/secrets")[1]["client_secrets"]
    if as_json:
        print_json({**body, "client_secrets": secrets})
        return
    _show(body, *(("secret", _secret_line(each)) for each in secrets))


def _secret_line(secret: Json) -> str:
    use = "signs deliveries, good for tokens" if secret["current"] else "good for tokens"
    return f"{secret['uuid']}  {secret['client_secret']}  {use}"


@credential.command()
@click.argument("name")
@click.option("--jwt", metavar="FILE", help="Of the JWT kind; FILE: PEM of its certificate or public key.")
@org_option
@project_option
@workspace_option
@json_option
@remote_options
def create(remote: Remote, name: str, jwt: str | None, *, as_json: bool, **where: str | None) -> None:
    """Create a credential. Its secret is shown this once."""
    form = {"name": name}
    if jwt is not None:
        form["certificate"] = _read_pem(jwt)
    parent, found = find_workspace(remote, where["org"], where["project"], where["workspace"])
    kind = "oauth-server-to-server" if jwt is None else "entp"
    made = remote.call("POST", f"{workspace_path(parent, found)}/credentials/{kind}", form)[1]
    if as_json:
        print_json(made)
        return
    print_fields([("credential", made["id"]), ("client id", made["apiKey"]), ("client secret", made["client_secret"])])
    click.echo("The secret is not shown again; `eventmill workspace download` holds it too.", err=True)


def _read_pem(file: str) -> str:
    try:
        return Path(file).read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise Failed(f"{file} cannot be read as PEM: {getattr(error, 'strerror', None) or error}") from error


@credential.command()
@click.argument("credential")
@click.option("--name", required=True, help="New name.")
@org_option
@json_option
@remote_options
def update(remote: Remote, credential: str, name: str, org: str | None, *, as_json: bool) -> None:
    """Rename a credential."""
    body = remote.call("PATCH", _path(find_credential(remote, org, credential)), {"name": name})[1]
    if as_json:
        print_json(body)
    else:
        _show(body)


@credential.command()
@click.argument("credential")
@org_option
@yes_option
@remote_options
def delete(remote: Remote, credential: str, org: str | None, *, yes: bool) -> None:
    """Delete a credential. Its tokens stop working at once.

    Refused while a registration has its client id.
    """
    found = find_credential(remote, org, credential)
    confirm(f"Delete credential {called(found)}?", yes)
    remote.call("DELETE", _path(found))
    click.echo(f"deleted credential {found['id']}")


@credential.command("add-secret")
@click.argument("credential")
@org_option
@json_option
@remote_options
def add_secret(remote: Remote, credential: str, org: str | None, *, as_json: bool) -> None:
    """Give a credential a new secret, the first half of a rotation.

    It signs deliveries from now on; the one before stays good for tokens until it is deleted.
    """
    found = find_credential(remote, org, credential)
    made = remote.call("POST", f"{credential_path(found)}/secrets")[1]
    if as_json:
        print_json(made)
        return
    print_fields([("secret", made["uuid"]), ("client secret", made["client_secret"])])
    click.echo("The secret is not shown again; `eventmill workspace download` holds it too.", err=True)


@credential.command("delete-secret")
@click.argument("credential")
@click.argument("secret")
@click.option("--revoke-tokens", is_flag=True, help="End every token of the credential too, as after a leak.")
@org_option
@yes_option
@remote_options
def delete_secret(
    remote: Remote, credential: str, secret: str, org: str | None, *, revoke_tokens: bool, yes: bool
) -> None:
    """Delete a secret, the second half of a rotation. SECRET is its id, as `get` shows it."""
    found = find_credential(remote, org, credential)
    confirm(f"Delete secret {secret} of credential {called(found)}?", yes)
    query = "?revoke_tokens=true" if revoke_tokens else ""
    remote.call("DELETE", f"{credential_path(found)}/secrets/{quote(secret, safe='')}{query}")
    click.echo(f"deleted secret {secret}")


def _path(body: Json) -> str:
    where = f"projects/{body['projectId']}/workspaces/{body['workspaceId']}"
    return f"/console/organizations/{body['orgId']}/{where}/credentials/{body['id']}"


def _show(body: Json, *further: tuple[str, str]) -> None:
    print_fields(
        [
            ("credential", body["id"]),
            ("name", body["name"]),
            ("kind", _KINDS.get(body["integration_type"])),
            ("client id", body["apikey"]),
            ("workspace", body["workspaceId"]),
            *further,
        ]
    )
