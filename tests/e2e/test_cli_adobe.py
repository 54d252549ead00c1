"""Commands with the Developer Console's file, which make the calls of Adobe's service: to its hosts, over TLS.

`eventmill proxy` stands where those hosts are, so that the gateway, which checks tokens here, gets what they would get.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import Gateway, free_port
from tests.e2e.harness.aio import proxy
from tests.e2e.harness.command_line import CommandLine
from tests.e2e.harness.local_receiver import always, local_receiver
from tests.e2e.harness.process import Finished

pytestmark = pytest.mark.on_files


class Customer:
    """Has the console's file and no variable of the gateway's."""

    def __init__(self, gateway: Gateway, file: Path, proxy_port: int) -> None:
        self._line = CommandLine()
        self._file = ("--console-file", str(file))
        self._way = {
            "HTTPS_PROXY": f"http://127.0.0.1:{proxy_port}",
            "SSL_CERT_FILE": str(gateway.data / "ca" / "ca.pem"),
        }

    def ok(self, *words: str, given: str = "") -> str:
        return self._line.ok(*words, *self._file, given=given, variables=self._way)

    def run(self, *words: str, **variables: str) -> Finished:
        return self._line.run(*words, *self._file, variables={**self._way, **variables})


@pytest.fixture(scope="module")
def customer(start_shared_gateway: StartGateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Customer]:
    """Of a gateway that checks tokens."""
    gateway = start_shared_gateway("--dev", "--auth", "strict")
    file = tmp_path_factory.mktemp("console") / "workspace.json"
    where = ("--data", str(gateway.data), "--port", str(gateway.port))
    CommandLine().ok("workspace", "download", "--output", str(file), *where)
    with proxy(gateway) as port:
        yield Customer(gateway, file, port)


def test_what_adobe_knows(customer: Customer, tmp_path: Path) -> None:
    """Everything that the documentation promises, with a token of OAuth server-to-server: from provider to `listen`."""
    customer.ok("provider", "create", "--label", "Warehouse")
    code = ("Warehouse", "com.acme.low")
    customer.ok("eventmetadata", "create", *code, "--label", "Low", "--description", "Runs out")
    assert "com.acme.low" in customer.ok("eventmetadata", "list", "Warehouse")
    customer.ok("eventmetadata", "update", *code, "--label", "Lower")
    customer.ok("registration", "create", "--name", "Reader", "--event", "Warehouse:com.acme.low")
    customer.ok("registration", "update", "Reader", "--description", "For the ERP")
    assert customer.ok("registration", "list").splitlines()[1].split()[1:3] == ["Reader", "yes"]
    assert "com.acme.low" in customer.ok("provider", "list", "--fetchEventMetadata")
    assert customer.ok("publish", "--provider", "Warehouse", "--code", "com.acme.low").startswith("published ")
    customer.ok("publish", "-", "--provider", "Warehouse", "--code", "com.acme.low", given="1\n2\n")
    assert customer.ok("journal", "read", "Reader", "--all").count("com.acme.low") == 3
    assert customer.ok("journal", "tail", "Reader", "--seek", "1h", "--limit", "3").count("com.acme.low") == 3
    customer.ok("filter", "validate", '{"type": ["com.acme.low"]}', "Reader")
    with local_receiver(always(200)) as receiver:
        place = ("--forward-to", receiver.url, "--state", str(tmp_path / "place.json"))
        customer.ok("listen", "Reader", *place, "--seek", "1h", "--limit", "3")
    assert [post.headers["x-eventmill-listen"] for post in receiver.posts] == ["hmac"] * 3
    customer.ok("registration", "delete", "Reader", "--yes")
    customer.ok("provider", "delete", "Warehouse", "--yes")


@pytest.mark.parametrize(
    "words",
    [
        ("dev", "clock"),
        ("dev", "mail", "list"),
        ("journal", "cursor", "list", "Reader"),
        ("filter", "backtest", "{}", "Reader"),
        ("publish", "-", "--mode", "batch"),
        ("provider", "create", "--label", "Warehouse", "--schema-enforcement", "warn"),
        ("eventmetadata", "update", "Warehouse", "com.acme.low", "--schema", __file__),
    ],
)
def test_what_adobe_does_not_know(customer: Customer, words: tuple[str, ...]) -> None:
    """Is refused in one line that says so, and what there is; nothing is sent, not even for a token."""
    done = customer.run(*words, HTTPS_PROXY=f"http://127.0.0.1:{free_port()}")

    assert (done.code, done.output) == (2, "")
    assert "needs an Eventmill gateway, and https://api.adobe.io is Adobe's service" in done.message
    assert "listen" in done.message and done.message.count("\n") == 1


def test_the_operators_commands_are_not_for_adobe() -> None:
    """Tenants and deliveries are a gateway's."""
    done = CommandLine().run("org", "list", "--url", "https://api.adobe.io", "--token", "t")

    assert done.code == 2 and "needs an Eventmill gateway" in done.message


def test_a_way_that_is_shut(customer: Customer) -> None:
    """The message names what to look at: the proxy, or the authority of its certificates; NO_PROXY leads past it."""
    port = free_port()
    shut = customer.run("provider", "list", HTTPS_PROXY=f"127.0.0.1:{port}")
    assert shut.code == 2 and f"the proxy at 127.0.0.1:{port}, as HTTPS_PROXY says" in shut.message
    unknown = customer.run("provider", "list", SSL_CERT_FILE="/nonexistent")
    assert unknown.code == 2 and "SSL_CERT_FILE may name" in unknown.message
    hosts = {"IMS_URL": "https://ims.adobe.invalid", "API_URL": "https://api.adobe.invalid"}
    past = customer.run("provider", "list", NO_PROXY="localhost, .adobe.invalid", **hosts)
    assert past.code == 2 and past.message.endswith("is the address right?\n"), past
