"""`eventmill proxy`: official clients reach the gateway under Adobe's host names, through a proxy on this machine."""

from __future__ import annotations

import os
import shlex

import click


@click.command(short_help="Let the aio command line reach the gateway")
@click.option("--port", type=int, default=8888, show_default=True, help="Port of the proxy.")
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="A loopback address.")
@click.option("--gateway", metavar="URL", help="The gateway.  [default: http://127.0.0.1:<gateway port>]")
@click.option("--gateway-port", type=int, help="Port of a gateway on this machine.  [default: 8080]")
@click.option("--data", metavar="DIR", help="Data directory, with the authority.  [default: .eventmill]")
def proxy(port: int, host: str, gateway: str | None, gateway_port: int | None, data: str | None) -> None:
    """Let the aio command line and other official clients reach a gateway, unchanged, until Ctrl-C.

    A forward proxy: it answers for Adobe's host names only (EVENTMILL_ADOBE_HOSTS), with certificates of a local
    authority that only the clients you tell about it trust. In the client's shell:

        eval "$(eventmill env --aio)"
    """
    from eventmill.config_sources import load_config
    from eventmill.proxy.run import check_settings, run

    config = load_config({"data": data, "port": gateway_port}, os.environ)
    settings = check_settings(host, port, gateway or f"http://127.0.0.1:{config.port}")

    def greet(actual_port: int) -> None:
        flags = [] if config.data == ".eventmill" else ["--data", config.data]
        flags += [] if gateway_port is None else ["--port", str(gateway_port)]
        flags += [] if actual_port == 8888 else ["--proxy-port", str(actual_port)]
        command = shlex.join(["eventmill", "env", "--aio", *flags])
        click.echo(f"""
  Eventmill proxy   http://{host}:{actual_port}   for the gateway at {settings.gateway}   Ctrl-C stops it

  In the shell of the official client:

    eval "$({command})"
""")

    run(config, settings, greet)
