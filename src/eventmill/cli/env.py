"""`eventmill env`: prints what a client needs to talk to a gateway, as shell exports or as one JSON object."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import click

from eventmill.cli.remote import store_option

if TYPE_CHECKING:
    from eventmill.config import Config


@click.command(short_help="Print what a client needs: URLs, ids, credential, token")
@click.option("--data", metavar="DIR", help="Data directory of the gateway.  [default: .eventmill]")
@store_option
@click.option("--port", type=int, help="Port of the gateway.  [default: 8080]")
@click.option("--workspace", metavar="ID", help="Workspace whose credential is meant.  [default: first with one]")
@click.option("--aio", is_flag=True, help="For the aio command line, which goes through `eventmill proxy`.")
@click.option("--node", is_flag=True, help="For the JavaScript SDK's signature verifier.")
@click.option("--proxy-port", type=int, default=8888, show_default=True, help="With --aio: port of the proxy.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of shell exports.")
def env(  # noqa: PLR0913 - one parameter per flag
    data: str | None,
    store: str | None,
    port: int | None,
    workspace: str | None,
    proxy_port: int,
    *,
    aio: bool,
    node: bool,
    as_json: bool,
) -> None:
    """Print URLs, ids, credential and a fresh access token; or what --aio and --node clients read instead.

    In a shell:  eval "$(eventmill env)"
    """
    from eventmill.config_sources import load_config

    config = load_config({"data": data, "store": store, "port": port}, os.environ)
    if aio or node:
        values = _official_clients(config, workspace, proxy_port if aio else None, node=node)
    else:
        from eventmill.cli.environment import read_environment

        values = read_environment(config, workspace)
    if as_json:
        click.echo(json.dumps(values, indent=2))
        return
    for name, value in values.items():
        quoted = value.replace("'", "'\\''")
        click.echo(f"export {name if aio or node else name.upper()}='{quoted}'")


def _official_clients(config: Config, workspace: str | None, proxy_port: int | None, *, node: bool) -> dict[str, str]:
    from pathlib import Path

    from eventmill.cli.client_variables import aio_variables, node_variables
    from eventmill.cli.environment import find_coordinates, mint_service_token
    from eventmill.clock import SystemClock
    from eventmill.local_ca import ensure_ca

    coordinates = find_coordinates(config, workspace)
    variables: dict[str, str] = {}
    if proxy_port is not None:
        now_ms = SystemClock().machine_ms()
        ca_file = ensure_ca(Path(config.data), config.adobe_hosts, now_ms=now_ms).resolve()
        variables |= aio_variables(
            os.environ,
            proxy_url=f"http://127.0.0.1:{proxy_port}",
            ca_file=str(ca_file),
            token=(mint_service_token(config, coordinates), now_ms + config.token_lifetime_s * 1000),
            hosts=config.adobe_hosts,
        )
    if node:
        preload = Path(__file__).parent.parent / "node" / "preload.cjs"
        variables |= node_variables(
            os.environ, preload=str(preload.resolve()), gateway_url=config.url, coordinates=coordinates
        )
    return variables
