"""Several gateways over one PostgreSQL: real node processes, each on a port and a data directory of its own."""

from __future__ import annotations

import base64
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.e2e.gateway import Gateway, call
from tests.e2e.harness.database import DATABASE, DatabaseServer, Place
from tests.e2e.harness.production import NO_LIMITS, OPEN_LOOPBACK, tenants, write_bootstrap

SEAL_KEY = {"EVENTMILL_SEAL_KEY": base64.b64encode(b"k" * 32).decode()}
"""One for all nodes: what one has sealed, the others open."""


def organizations() -> dict[str, Any]:
    """The bootstrap file of a cluster: the organization of `tenants`, and another with one workspace."""
    first = tenants()["organizations"]
    credential = {"id": "4003", "name": "Stage", "client_id": "c" * 32, "client_secret": "p8e-secret-of-the-third"}
    workspace = {"id": "3003", "name": "Stage", "credentials": [credential]}
    project = {"id": "2002", "name": "Shop", "workspaces": [workspace]}
    other = {"id": "1002", "ims_org_id": "1123456789ABCDEF01234567@AdobeOrg", "name": "Globex", "projects": [project]}
    return {"organizations": [*first, other]}


ORGANIZATIONS = len(organizations()["organizations"])


class Cluster:
    """Nodes by their number. `stores`: the `--store` of each node."""

    def __init__(
        self,
        directory: Path,
        stores: Sequence[str],
        flags: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
    ) -> None:
        bootstrap = () if "--dev" in flags else ("--bootstrap", str(write_bootstrap(directory, organizations())))
        settings = {**OPEN_LOOPBACK, **NO_LIMITS, **SEAL_KEY, **(variables or {})}
        self.nodes = [
            Gateway(directory / f"node-{number}", ("--store", store, *bootstrap, *flags), settings)
            for number, store in enumerate(stores)
        ]

    @property
    def urls(self) -> list[str]:
        return [node.url for node in self.nodes]

    def start_all(self) -> None:
        """All at the same time; returns once each is ready."""
        with ThreadPoolExecutor(len(self.nodes)) as threads:
            list(threads.map(Gateway.start, self.nodes))

    def start(self, number: int) -> None:
        self.nodes[number].start()

    def stop(self, number: int) -> int:
        """SIGTERM, and wait for the end; returns the exit code."""
        return self.nodes[number].stop()

    def kill(self, number: int) -> None:
        """SIGKILL to the node and its delivery processes."""
        self.nodes[number].kill()

    def terminate(self, number: int) -> None:
        """SIGTERM; `stop` waits for what comes of it."""
        self._process(number).terminate()

    def pause(self, number: int) -> None:
        """SIGSTOP: the node and its delivery processes stand still and do not know it."""
        os.killpg(self._process(number).pid, signal.SIGSTOP)

    def resume(self, number: int) -> None:
        """SIGCONT after `pause`."""
        os.killpg(self._process(number).pid, signal.SIGCONT)

    def is_running(self, number: int) -> bool:
        process = self.nodes[number].process
        return process is not None and process.poll() is None

    def env(self, number: int = 0, organization_number: int = 0) -> dict[str, str]:
        """What a client of the organization's first credential needs, with URLs of that node and a token of its."""
        url = self.nodes[number].url
        organization = organizations()["organizations"][organization_number]
        project = organization["projects"][0]
        workspace = project["workspaces"][0]
        credential = workspace["credentials"][0]
        return {
            **{f"{name}_url": url for name in ("api", "journal", "ims", "console", "keys")},
            "ingress_url": f"{url}/ingress",
            "ims_org_id": organization["ims_org_id"],
            "consumer_org_id": organization["id"],
            "project_id": project["id"],
            "workspace_id": workspace["id"],
            "credential_id": credential["id"],
            "client_id": credential["client_id"],
            "client_secret": credential["client_secret"],
            "access_token": _token(url, credential),
        }

    def close(self) -> None:
        """Whatever state they are in: afterwards no node runs."""
        for node in self.nodes:
            node.close()

    def log_tails(self) -> str:
        return "\n".join(f"--- node {number}\n{node.log_tail()}" for number, node in enumerate(self.nodes))

    def _process(self, number: int) -> Any:
        process = self.nodes[number].process
        assert process is not None, f"node {number} was not started"
        return process


@contextmanager
def running_cluster(
    directory: Path, count: int = 3, flags: Sequence[str] = (), variables: Mapping[str, str] | None = None
) -> Iterator[tuple[Cluster, DatabaseServer]]:
    """So many nodes, ready, over a server of their own."""
    with DatabaseServer.new() as server:
        server.start()
        server.make_database()
        cluster = Cluster(directory, [server.dsn] * count, flags, variables)
        try:
            cluster.start_all()
            yield cluster, server
        finally:
            cluster.close()


@contextmanager
def primary_and_standby(place: Place | None = None) -> Iterator[tuple[DatabaseServer, DatabaseServer]]:
    """Nothing is committed on the first that is not on the second's disk."""
    with DatabaseServer.new(place=place) as primary, primary.standby() as standby:
        primary.start()
        standby.start()
        primary.commit_on(standby)
        primary.make_database()
        yield primary, standby


def host_list(*servers: DatabaseServer) -> str:
    """The `--store` that names all of them and takes whichever is the primary."""
    addresses = ",".join(server.address for server in servers)
    return f"postgresql://gateway@{addresses}/{DATABASE}?target_session_attrs=primary"


def _token(url: str, credential: Mapping[str, str]) -> str:
    form = {"grant_type": "client_credentials"}
    form |= {"client_id": credential["client_id"], "client_secret": credential["client_secret"]}
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = call("POST", f"{url}/ims/token/v3", headers, urlencode(form).encode())
    assert answer.status == 200, answer
    token: str = answer.json()["access_token"]
    return token
