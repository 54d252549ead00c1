"""`eventmill org|project|workspace|credential` against a real gateway, and what a rotation does to deliveries."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import Gateway, auth_headers, call, free_port
from tests.e2e.harness.engines import stored_by
from tests.e2e.harness.hook import Hook, Received, Reply
from tests.e2e.harness.http_client import Client
from tests.e2e.harness.process import Finished, run_eventmill
from tests.e2e.harness.production import NO_LIMITS, OPEN_LOOPBACK, write_bootstrap
from tests.e2e.harness.tenant import Tenant

BOOTSTRAP_SECRET = "p8e-secret-of-the-first"
"""As in the harness' bootstrap file."""


@pytest.fixture(scope="module")
def shared(start_shared_gateway: StartGateway) -> Gateway:
    return start_shared_gateway("--dev")


def run(gateway: Gateway, *arguments: str, **variables: str) -> Finished:
    where = ["--data", str(gateway.data), "--port", str(gateway.port)]
    return run_eventmill(*arguments, *where, directory=gateway.data.parent, variables=variables)


def ok(gateway: Gateway, *arguments: str) -> str:
    """Standard output of a command that has to succeed."""
    done = run(gateway, *arguments)
    assert done.code == 0, done.message
    return done.output


def read(gateway: Gateway, *arguments: str) -> Any:
    return json.loads(ok(gateway, *arguments, "--json"))


@pytest.fixture
def project(shared: Gateway, request: pytest.FixtureRequest) -> Iterator[str]:
    """Name of a project of this test's own."""
    name = "P" + hashlib.sha256(request.node.name.encode()).hexdigest()[:12]
    ok(shared, "project", "create", name)
    yield name
    run(shared, "project", "delete", name, "--yes")


def test_organizations(shared: Gateway) -> None:
    """Created, shown by id, code or name, renamed, deleted; lists are tables with a heading."""
    created = read(shared, "org", "create", "Acme & Sons", "--code", "FEDCBA9876543210FEDCBA98@AdobeOrg")
    shown = ok(shared, "org", "get", created["code"])
    assert shown.splitlines() == [
        f"organization  {created['id']}",
        "name          Acme & Sons",
        "code          FEDCBA9876543210FEDCBA98@AdobeOrg",
    ]
    assert "Renamed" in ok(shared, "org", "update", "Acme & Sons", "--name", "Renamed")
    lines = ok(shared, "org", "list").splitlines()
    assert lines[0].split() == ["ID", "NAME", "CODE"]
    assert [created["id"], "Renamed", created["code"]] in [line.split() for line in lines]
    assert ok(shared, "org", "delete", created["id"], "--yes") == f"deleted organization {created['id']}\n"
    assert run(shared, "org", "get", created["id"]).code == 1


@pytest.mark.slow
def test_projects_and_workspaces(shared: Gateway, project: str) -> None:
    """A new project has its first workspace; both are changed and found by name or id."""
    body = read(shared, "project", "update", project, "--title", "My title", "--description", "Why")
    assert (body["title"], body["description"]) == ("My title", "Why")
    assert ok(shared, "project", "get", body["id"]).splitlines()[2] == "title         My title"
    created = read(shared, "workspace", "create", "Stage", "--project", project, "--title", "Before live")
    assert [each["name"] for each in read(shared, "workspace", "list", "--project", project)] == ["Production", "Stage"]
    renamed = read(shared, "workspace", "update", created["id"], "--name", "Test")
    assert (renamed["name"], renamed["title"]) == ("Test", "Before live")
    assert "Test" in ok(shared, "workspace", "list", "--project", body["id"])
    assert ok(shared, "workspace", "delete", "Test", "--project", project, "--yes").startswith("deleted workspace ")
    assert "Test" not in ok(shared, "workspace", "list", "--project", project)


@pytest.mark.slow
def test_a_credential_and_its_secrets(shared: Gateway, project: str) -> None:
    """Shown once at creation, masked afterwards, complete in the project file; the second half of a rotation by id."""
    where = ("--workspace", "Production", "--project", project)
    created = run(shared, "credential", "create", "Backend", *where)
    fields = dict(line.split(maxsplit=1) for line in created.output.replace("client ", "client_").splitlines())
    assert "not shown again" in created.message
    secret, credential = fields["client_secret"], fields["credential"]
    assert ok(shared, "credential", "list", *where).splitlines()[1].split()[:2] == [credential, "Backend"]
    added = read(shared, "credential", "add-secret", credential)
    shown = ok(shared, "credential", "get", fields["client_id"])
    assert shown.count("********") == 2
    assert secret not in shown
    assert added["client_secret"] not in shown
    file = json.loads(ok(shared, "workspace", "download", "Production", "--project", project))
    (item,) = file["project"]["workspace"]["details"]["credentials"]
    assert item["oauth_server_to_server"]["client_secrets"] == [added["client_secret"], secret]
    old = read(shared, "credential", "get", credential)["client_secrets"][1]["uuid"]
    assert ok(shared, "credential", "delete-secret", credential, old, "--yes") == f"deleted secret {old}\n"
    assert ok(shared, "credential", "get", credential).count("********") == 1
    assert "Renamed" in ok(shared, "credential", "update", credential, "--name", "Renamed")
    assert ok(shared, "credential", "delete", credential, "--yes") == f"deleted credential {credential}\n"


@pytest.mark.slow
def test_a_jwt_credential_from_a_certificate(shared: Gateway, project: str, tmp_path: Path) -> None:
    """With a PEM file as openssl makes it; a file that is no PEM, or not there, is refused."""
    pem = tmp_path / "certificate.pem"
    command = "openssl req -x509 -sha256 -nodes -days 30 -subj /CN=test -newkey rsa:2048 -keyout /dev/null -out"
    subprocess.run([*command.split(), str(pem)], check=True, capture_output=True, timeout=60)
    where = ("--workspace", "Production", "--project", project)
    made = read(shared, "credential", "create", "Legacy", "--jwt", str(pem), *where)
    assert "JWT" in ok(shared, "credential", "get", made["id"])
    pem.write_text("no pem")
    refused = run(shared, "credential", "create", "Legacy", "--jwt", str(pem), *where)
    assert (refused.code, refused.output) == (1, "")
    assert refused.message.startswith("eventmill: certificate: ")
    assert "cannot be read" in run(shared, "credential", "create", "Legacy", "--jwt", "missing.pem", *where).message


def test_the_project_file_is_written_for_its_owner_only(shared: Gateway, project: str, tmp_path: Path) -> None:
    """0600 also when the file was there before with other rights."""
    path = tmp_path / "project.json"
    path.write_text("old")
    path.chmod(0o644)
    done = run(shared, "workspace", "download", "Production", "--project", project, "--output", str(path))
    assert (done.code, done.output) == (0, "")
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_text())["project"]["name"] == project


def test_a_provider_keeps_its_project_and_is_named(shared: Gateway, project: str) -> None:
    """One line on standard error, exit code 1, in the gateway's own words; gone once the provider is."""
    found = read(shared, "project", "get", project)
    workspace = read(shared, "workspace", "get", "Production", "--project", project)
    path = f"{shared.url}/events/{found['org_id']}/{found['id']}/{workspace['id']}/providers"
    headers = {"authorization": "Bearer x", "x-api-key": "any", "content-type": "application/json"}
    provider = call("POST", path, headers, {"label": "Warehouse"}).json()
    refused = run(shared, "project", "delete", project, "--yes")
    assert (refused.code, refused.output) == (1, "")
    assert refused.message == (
        f"eventmill: project {found['id']} cannot be deleted: provider 'Warehouse' ({provider['id']}) belongs to it; "
        "delete what is named first\n"
    )
    assert call("DELETE", f"{path}/{provider['id']}", headers).status == 204
    assert ok(shared, "project", "delete", project, "--yes") == f"deleted project {found['id']}\n"


def test_deleting_asks_first(shared: Gateway, project: str) -> None:
    """Without --yes and without an answer nothing is deleted."""
    done = run(shared, "project", "delete", project)
    assert done.code == 1
    assert f"Delete project {project}" in done.message
    assert run(shared, "project", "get", project).code == 0


def test_what_is_meant_must_be_clear(shared: Gateway, project: str) -> None:
    """Several to choose from are listed with the flag that says which: exit code 2; an unknown one is 1."""
    unclear = run(shared, "workspace", "list")
    assert unclear.code == 2
    assert "--project" in unclear.message
    assert project in unclear.message
    unknown = run(shared, "workspace", "list", "--project", "Nonsense")
    assert unknown.code == 1
    assert unknown.message.startswith("eventmill: there is no project 'Nonsense'; there are: ")


def test_bad_input_is_the_gateways_message(shared: Gateway) -> None:
    """Nothing is checked twice: what the gateway says is what is shown."""
    refused = run(shared, "project", "create", "two words")
    assert (refused.code, refused.output) == (1, "")
    assert refused.message.startswith("eventmill: name: ")


def test_no_gateway_at_the_port(shared: Gateway) -> None:
    """Exit code 2, with what to start and how to name another."""
    done = run(shared, "org", "list", "--url", f"http://127.0.0.1:{free_port()}")
    assert (done.code, done.output) == (2, "")
    assert "no gateway answers" in done.message
    assert "eventmill serve" in done.message


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "ftp://127.0.0.1",
        "http://",
        "http://127.0.0.1:99999",
        "http://two words",
        "http://..",
        "http://127.0.0.1:1/two words",
        "http://127.0.0.1:1/\u20ac",
    ],
)
def test_a_url_that_is_none(shared: Gateway, url: str) -> None:
    """Exit code 2 and an example, never a traceback."""
    done = run(shared, "org", "list", "--url", url, "--token", "t")
    assert (done.code, done.output) == (2, "")
    assert "http://127.0.0.1:8080" in done.message
    assert "Traceback" not in done.message


@pytest.mark.parametrize("token", ["", "two\nlines", "two words", "\u20ac"])
def test_a_token_that_is_none(shared: Gateway, token: str) -> None:
    """Exit code 2; the token is not shown, for it may be one with something amiss."""
    done = run(shared, "org", "list", "--token", token)
    assert (done.code, done.output) == (2, "")
    assert done.message.startswith("eventmill: the access token is not one")
    assert not token or token not in done.message


@pytest.mark.slow
def test_an_organizations_own_token(start_gateway: StartGateway, tmp_path: Path) -> None:
    """With --token the command is what that token may: its own organisation, and no new ones."""
    gateway = start_gateway("--bootstrap", str(write_bootstrap(tmp_path)))
    token = gateway.env()["access_token"]
    listed = run(gateway, "org", "list", "--token", token)
    assert "Acme" in listed.output
    refused = run(gateway, "org", "create", "Mine", EVENTMILL_TOKEN=token)
    assert refused.code == 1
    assert "operator" in refused.message


@pytest.mark.slow
def test_from_nothing_to_a_published_event(start_gateway: StartGateway) -> None:
    """A production gateway without a bootstrap file: the commands make all that publishing needs, and names find it."""
    gateway = start_gateway()
    ok(gateway, "org", "create", "Acme")
    ok(gateway, "project", "create", "Shop")
    credential = read(gateway, "credential", "create", "Backend")
    env = gateway.env()
    assert (env["client_id"], env["client_secret"]) == (credential["apiKey"], credential["client_secret"])
    headers = {**auth_headers(env), "content-type": "application/json"}
    path = f"{gateway.url}/events/{env['consumer_org_id']}/{env['project_id']}/{env['workspace_id']}/providers"
    created = call("POST", path, headers, {"label": "Warehouse"})
    assert created.status == 201, created.body
    provider = f"{path}/{created.json()['id']}"
    code = {"event_code": "com.acme.low", "label": "Low", "description": "Low stock"}
    assert call("POST", f"{provider}/eventmetadata", headers, code).status == 201
    event = {"id": "1", "source": created.json()["source"], "type": "com.acme.low", "specversion": "1.0", "data": {}}
    assert call("POST", env["ingress_url"], headers, event).status == 204
    assert ok(gateway, "workspace", "get", env["workspace_id"]) == ok(gateway, "workspace", "get", "Production")
    assert ok(gateway, "credential", "get", credential["id"]) == ok(gateway, "credential", "get", credential["apiKey"])
    assert run(gateway, "credential", "get", "a/b c").code == 1
    ok(gateway, "project", "create", "Second")
    several = run(gateway, "workspace", "get", "Production")
    assert several.code == 2
    assert "--project" in several.message


class Signatures:
    """Which of the secrets signed each delivery."""

    def __init__(self, *secrets: str) -> None:
        self.secrets = list(secrets)
        self.by: list[int] = []

    async def __call__(self, post: Received) -> Reply:
        signed = [base64.b64encode(hmac.digest(each.encode(), post.body, "sha256")).decode() for each in self.secrets]
        self.by.append(signed.index(post.headers["x-adobe-signature"]))
        return Reply(200)


@pytest.mark.anyio
@pytest.mark.parametrize("mode", ["dev", "production"])
async def test_a_rotation_signs_with_the_new_secret_at_once(
    start_gateway: StartGateway, tmp_path: Path, mode: str
) -> None:
    """Each event published after the new secret was answered is signed with it, in one process and with delivery apart,
    for registrations that were there before; taking it back makes the old one sign again."""
    flags = ["--dev"] if mode == "dev" else ["--bootstrap", str(write_bootstrap(tmp_path))]
    gateway = await asyncio.to_thread(start_gateway, *flags, variables={**OPEN_LOOPBACK, **NO_LIMITS})
    env = await asyncio.to_thread(gateway.env)
    signatures = Signatures(env["client_secret"])
    async with Client(gateway.port) as client, Hook(signatures) as hook:
        tenant = Tenant(client, env)
        topic = await tenant.topic()
        await tenant.register(topic, url=f"{hook.url}/hook")
        await tenant.publish(topic)
        await hook.until_posts(1)
        secrets = f"/console/organizations/{env['consumer_org_id']}/credentials/{env['credential_id']}/secrets"
        for turn in range(3):
            added = (await tenant.call("POST", secrets)).json()
            signatures.secrets.append(added["client_secret"])
            for _ in range(5):
                await tenant.publish(topic)
            await hook.until_posts(6 + turn * 10)
            assert signatures.by[-5:] == [turn + 1] * 5
            answer = await tenant.call("DELETE", f"{secrets}/{added['uuid']}")
            assert answer.status == 200
            for _ in range(5):
                await tenant.publish(topic)
            await hook.until_posts(11 + turn * 10)
            assert signatures.by[-5:] == [0] * 5


@pytest.mark.anyio
async def test_no_secret_is_written_in_the_clear(start_gateway: StartGateway, tmp_path: Path) -> None:
    """After a life with rotation, deliveries, refusals and a restart, nothing that is stored, no log line, no trace and
    no refusal holds a secret or half of one."""
    gateway = await asyncio.to_thread(
        start_gateway, "--bootstrap", str(write_bootstrap(tmp_path)), "--log-level", "debug", variables=OPEN_LOOPBACK
    )
    env = await asyncio.to_thread(gateway.env)
    seen: list[bytes] = []
    async with Client(gateway.port) as client, Hook() as hook:
        tenant = Tenant(client, env)
        topic = await tenant.topic()
        registration = await tenant.register(topic, url=f"{hook.url}/hook")
        org = f"/console/organizations/{env['consumer_org_id']}"
        secrets = f"{org}/credentials/{env['credential_id']}/secrets"
        added = (await tenant.call("POST", secrets)).json()
        workspace = f"{org}/projects/{env['project_id']}/workspaces/{env['workspace_id']}"
        created = (
            await tenant.call("POST", f"{workspace}/credentials/oauth-server-to-server", {"name": "More"})
        ).json()
        await tenant.publish(topic)
        await hook.until_posts(1)
        seen.append((await tenant.call("POST", secrets)).body)
        seen.append((await tenant.call("GET", secrets)).body)
        seen.append((await tenant.call("GET", f"{workspace}/credentials")).body)
        seen.append((await tenant.call("GET", f"{org}/integrations/{env['credential_id']}")).body)
        seen.append((await tenant.call("DELETE", f"{workspace}/credentials/{env['credential_id']}")).body)
        seen.append(json.dumps(await tenant.traces(registration)).encode())
    assert await asyncio.to_thread(gateway.stop) == 0
    plain = [env["client_secret"], added["client_secret"], created["client_secret"]]
    assert plain[0] == BOOTSTRAP_SECRET
    seen += [*await stored_by(gateway.data), gateway.log_path.read_bytes()]
    assert len(seen) > 8
    for secret in plain:
        forms = (secret, secret[:12], secret[-12:], base64.b64encode(secret.encode()).decode()[:16])
        assert not [form for form in forms for content in seen if form.encode() in content]
