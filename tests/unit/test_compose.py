"""The compose set-up as far as it can be looked at without a container engine: that its files agree with each other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from eventmill.cli.wire import local_url
from eventmill.config import ENV_PREFIX, Config

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE = DEPLOY / "compose"


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((COMPOSE / "compose.yaml").read_text("utf-8"))
    return found


def nodes() -> dict[str, Any]:
    return {name: service for name, service in compose()["services"].items() if service["image"] == "eventmill"}


def test_the_balancer_knows_every_node_and_no_other() -> None:
    """A node that is added in one file is not forgotten in the other; all are asked on the port they listen on."""
    servers = re.findall(r"^ +server (\S+) (\S+):(\d+)$", (COMPOSE / "haproxy.cfg").read_text("utf-8"), re.MULTILINE)
    assert {(name, host) for name, host, _ in servers} == {(name, name) for name in nodes()}
    assert {int(port) for _, _, port in servers} == {Config().port}


def test_nodes_are_alike_and_share_their_secrets() -> None:
    """Nodes with different seal keys would refuse each other's secrets."""
    first, *others = nodes().values()
    assert others
    assert all(other == first for other in others)
    assert set(first["secrets"]) == set(compose()["secrets"]) == set(re.findall(r"/run/secrets/(\w+)", str(first)))


def test_every_setting_of_a_node_exists() -> None:
    """A misspelt variable would be ignored."""
    for node in nodes().values():
        script = node["entrypoint"][2]
        names = {*node["environment"], *re.findall(r"^(\w+)=", script, re.MULTILINE)}
        assert {name.removeprefix(ENV_PREFIX).lower() for name in names} <= set(Config.__struct_fields__)


def test_what_compose_names_is_there() -> None:
    """Files that are mounted or built from, and services that are waited for."""
    found = compose()
    for node in nodes().values():
        assert (COMPOSE / node["build"]["context"] / node["build"]["dockerfile"]).is_file()
        assert set(node["depends_on"]) <= set(found["services"])
        assert found["services"]["database"]["healthcheck"]
    for mounted in found["services"]["balancer"]["volumes"]:
        assert (COMPOSE / mounted.split(":")[0]).is_file()


def test_commands_of_the_operator_ask_a_node() -> None:
    """They run beside the nodes, where nobody listens on this machine's own address."""
    command = rf"docker compose run --rm -e {ENV_PREFIX}HOST=(\S+) (\S+) org"
    ((host, node),) = re.findall(command, (COMPOSE / "README.md").read_text("utf-8"))
    assert {host, node} <= nodes().keys()
    assert local_url(Config(host=host)) == f"http://{host}:{Config().port}"


def test_secrets_are_no_files_of_ours() -> None:
    """They come from a directory that the reader makes, which git leaves alone."""
    ignored = (DEPLOY.parent / ".gitignore").read_text("utf-8").splitlines()
    assert "/deploy/compose/secrets/" in ignored
    assert all(secret["file"].startswith("./secrets/") for secret in compose()["secrets"].values())
