"""Tenants at start: the ready-made one, the bootstrap file applied once, contradictions that stop the start."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from eventmill.clock import SystemClock
from eventmill.config import Config
from eventmill.errors import StartupError
from eventmill.ids import IdSource
from eventmill.model import Credential, Organization
from eventmill.store.control import Kind
from eventmill.store.sqlite.store import SqliteStore
from eventmill.web.tenants import ensure_tenants, wanted_tenants
from tests.http.world import CLIENT, IMS_ORG, SEALER, SECRET, TENANTS, running

pytestmark = pytest.mark.anyio

KINDS: tuple[Kind, ...] = ("organization", "project", "workspace", "credential")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = SqliteStore(Config(data=str(tmp_path / "data"), disk_reserve_bytes=0), SystemClock())
    await opened.open()
    yield opened
    await opened.close()


async def ensure(store: SqliteStore, **settings: Any) -> list[Any]:
    """The log lines of making sure that the tenants exist."""
    config = Config(**settings)
    with capture_logs() as lines:
        await ensure_tenants(store, SEALER, config, IdSource(), wanted_tenants(config))
    return lines


async def stored(store: SqliteStore) -> dict[str, bytes]:
    return {f"{kind}/{each.org}/{each.id}": each.doc for kind in KINDS for each in await store.scan(kind)}


def file_with(directory: Path, tenants: Any) -> str:
    file = directory / "tenants.json"
    file.write_text(tenants if isinstance(tenants, str) else json.dumps(tenants))
    return str(file)


async def test_ready_made_tenant_of_dev_mode(store: SqliteStore) -> None:
    """One of each with fixed ids and random secrets, made once and stable afterwards."""
    lines = await ensure(store, dev=True)
    made = await stored(store)
    again = await ensure(store, dev=True)

    assert list(made) == ["organization/1001/1001", "project/1001/2001", "workspace/1001/3001", "credential/1001/4001"]
    organization = msgspec.json.decode(made["organization/1001/1001"], type=Organization)
    credential = msgspec.json.decode(made["credential/1001/4001"], type=Credential)
    assert re.fullmatch(r"[0-9A-F]{24}@AdobeOrg", organization.ims_org_id)
    assert re.fullmatch(r"[0-9a-f]{32}", credential.client_id)
    secret = SEALER.unseal(credential.sealed_secret, "credential:4001").decode()
    assert re.fullmatch(r"p8e-[\w\-]{32}", secret)
    assert ([line["event"] for line in lines], again) == (["tenant_created"], [])
    assert await stored(store) == made


async def test_two_installations_have_different_secrets(tmp_path: Path) -> None:
    """Nothing secret is fixed."""
    found = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        async with running(tmp_path / name, tenants=None, dev=True) as world:
            found.append(
                world.parts.catalogue.workspace_credentials(world.parts.catalogue.organizations()[0].id, "3001")
            )
    assert found[0][0].client_id != found[1][0].client_id


async def test_production_without_tenants_starts_and_says_how(store: SqliteStore) -> None:
    """Nothing is made up, and the log names the remedy."""
    [line] = await ensure(store)

    assert await stored(store) == {}
    assert (line["event"], line["log_level"]) == ("tenants_missing", "warning")
    assert "--bootstrap" in line["remedy"]


async def test_bootstrap_creates_exactly_what_the_file_says(tmp_path: Path, store: SqliteStore) -> None:
    """Ids and secrets as given, secrets sealed, no other tenant, also in dev mode; the same file changes nothing."""
    file = file_with(tmp_path, TENANTS)
    lines = await ensure(store, bootstrap=file, dev=True)
    made = await stored(store)
    epoch = await store.epoch()
    again = await ensure(store, bootstrap=file, dev=True)

    assert sorted(made) == [
        "credential/1001/4001",
        "credential/1001/4002",
        "credential/1002/4009",
        "organization/1001/1001",
        "organization/1002/1002",
        "project/1001/2001",
        "project/1001/2002",
        "project/1002/2009",
        "workspace/1001/3001",
        "workspace/1001/3002",
        "workspace/1001/3003",
        "workspace/1002/3009",
    ]
    credential = msgspec.json.decode(made["credential/1001/4001"], type=Credential)
    assert (credential.client_id, credential.project_id, credential.workspace_id) == (CLIENT, "2001", "3001")
    assert SEALER.unseal(credential.sealed_secret, "credential:4001").decode() == SECRET
    assert SECRET.encode() not in b"".join(made.values())
    assert [(line["event"], line["created"]) for line in (*lines, *again)] == [
        ("bootstrap_applied", 12),
        ("bootstrap_applied", 0),
    ]
    assert (await stored(store), await store.epoch()) == (made, epoch)


async def test_a_longer_file_adds(tmp_path: Path, store: SqliteStore) -> None:
    """What the file has more is created beside what exists; what it has less stays."""
    await ensure(store, bootstrap=file_with(tmp_path, TENANTS))
    more = copy.deepcopy(TENANTS)
    del more["organizations"][1]
    more["organizations"][0]["projects"][1]["workspaces"] = [{"id": "3005"}]
    await ensure(store, bootstrap=file_with(tmp_path, more))

    made = await stored(store)
    assert "workspace/1001/3005" in made
    assert "organization/1002/1002" in made
    assert len(made) == 13


def organization(tenants: Any, id: str = "1001") -> Any:
    return next(each for each in tenants["organizations"] if each["id"] == id)


def first_credential(tenants: Any) -> Any:
    return organization(tenants)["projects"][0]["workspaces"][0]["credentials"][0]


def change_secret(tenants: Any) -> None:
    first_credential(tenants)["client_secret"] = "another"


def change_client(tenants: Any) -> None:
    first_credential(tenants)["client_id"] = "another"


def change_ims_org(tenants: Any) -> None:
    organization(tenants)["ims_org_id"] = "AAAAAAAAAAAAAAAAAAAAAAAA@AdobeOrg"


def move_workspace(tenants: Any) -> None:
    projects = organization(tenants)["projects"]
    projects[1]["workspaces"].append(projects[0]["workspaces"].pop())


def copy_organization(tenants: Any) -> None:
    tenants["organizations"].append({"id": "1003", "ims_org_id": IMS_ORG})


def copy_client(tenants: Any) -> None:
    workspace = organization(tenants, "1002")["projects"][0]["workspaces"][0]
    workspace["credentials"].append({"id": "4010", "client_id": CLIENT, "client_secret": "x"})


CONTRADICTIONS = [
    (change_secret, "credential 4001: its client_secret is another"),
    (change_client, f"credential 4001: its client_id is {CLIENT}, not another"),
    (change_ims_org, f"organization 1001: its ims_org_id is {IMS_ORG}, not AAAAAAAAAAAAAAAAAAAAAAAA@AdobeOrg"),
    (move_workspace, "workspace 3003: its project_id is 2001, not 2002"),
    (copy_organization, f"organization 1003: ims_org_id {IMS_ORG} belongs to 1001 of the same kind"),
    (copy_client, f"credential 4010: client_id {CLIENT} belongs to 4001 of the same kind"),
]


@pytest.mark.parametrize(("change", "message"), CONTRADICTIONS)
async def test_contradiction_stops_the_start(
    tmp_path: Path, store: SqliteStore, change: Callable[[Any], None], message: str
) -> None:
    """The message names kind, id and member, never a secret; nothing of the file is applied, not even what is new."""
    await ensure(store, bootstrap=file_with(tmp_path, TENANTS))
    made = await stored(store)
    other = copy.deepcopy(TENANTS)
    other["organizations"].insert(0, {"id": "1000", "ims_org_id": "NEW@AdobeOrg"})
    change(other)

    with pytest.raises(StartupError) as caught:
        await ensure(store, bootstrap=file_with(tmp_path, other))

    assert f"contradicts what exists already: {message}; " in str(caught.value)
    assert SECRET not in str(caught.value)
    assert await stored(store) == made


async def test_other_names_are_no_contradiction(tmp_path: Path, store: SqliteStore) -> None:
    """Whoever renames a tenant with the command line need not edit the file; the stored name stays."""
    await ensure(store, bootstrap=file_with(tmp_path, TENANTS))
    made = await stored(store)
    other = copy.deepcopy(TENANTS)
    project = organization(other)["projects"][0]
    for each in (organization(other), project, project["workspaces"][0], first_credential(other)):
        each["name"] = "another"
    project["title"] = project["description"] = "another"

    await ensure(store, bootstrap=file_with(tmp_path, other))

    assert await stored(store) == made


async def test_file_that_contradicts_itself(tmp_path: Path, store: SqliteStore) -> None:
    """Also into an empty store."""
    twice = copy.deepcopy(TENANTS)
    copy_client(twice)

    with pytest.raises(StartupError, match="credential 4010"):
        await ensure(store, bootstrap=file_with(tmp_path, twice))
    assert await stored(store) == {}


def entry(**members: Any) -> dict[str, Any]:
    return {"organizations": [{"id": "1", "ims_org_id": "A@AdobeOrg", **members}]}


def credential_entry(**members: Any) -> dict[str, Any]:
    given = {"id": "4", "client_id": "abc", "client_secret": "s", **members}
    return entry(projects=[{"id": "2", "workspaces": [{"id": "3", "credentials": [given]}]}])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "it is empty"),
        ("{", "it is not JSON"),
        ('{"organizations":[],"organizations":[]}', "member 'organizations' appears twice"),
        ("[]", "expected object, got array"),
        ({}, "organizations: required, but missing"),
        ({"organizations": [], "tenants": []}, "object contains unknown field tenants"),
        (entry(id=1001), "organizations[0].id: expected str, got int"),
        (entry(id=""), "organization id: '' is not well formed"),
        (entry(id="a/b"), "organization id: 'a/b' is not well formed"),
        (entry(id="providers"), "organization id: providers is a path of its own"),
        (entry(ims_org_id="A"), "ims_org_id: 'A' is not well formed"),
        (entry(projects=[{"id": "a b"}]), "project id: 'a b' is not well formed"),
        (entry(projects=[{"id": "2", "workspaces": [{"id": "?"}]}]), "workspace id: '?' is not well formed"),
        (credential_entry(id="\n"), "credential id: '\\n' is not well formed"),
        (credential_entry(client_id="ab"), "client_id: must have 3 to 128 characters, but has 2"),
        (credential_entry(client_id="eventmill-admin"), "client_id: eventmill-admin is not a credential's to have"),
        (credential_entry(client_id="aio-cli-console-auth"), "aio-cli-console-auth is not a credential's to have"),
        (credential_entry(client_secret=""), "client_secret of credential 4: must be 1 to 256 printable"),
        (credential_entry(client_secret=...), "required, but missing"),
    ],
)
async def test_unusable_files(tmp_path: Path, store: SqliteStore, content: Any, message: str) -> None:
    """The start stops with the file's name and what is wrong in it."""
    if isinstance(content, dict):
        content = json.dumps(content, default=lambda _: None).replace(', "client_secret": null', "")
    file = file_with(tmp_path, content)

    with pytest.raises(StartupError) as caught:
        await ensure(store, bootstrap=file)

    assert str(caught.value).startswith(f"bootstrap file {file} is not valid: ")
    assert message in str(caught.value)
    assert await stored(store) == {}


async def test_missing_file(tmp_path: Path, store: SqliteStore) -> None:
    """A file that is not there is named, too."""
    with pytest.raises(StartupError, match=r"bootstrap file .*none\.json cannot be read: No such file or directory"):
        await ensure(store, bootstrap=str(tmp_path / "none.json"))
