"""What makes official clients reach a gateway: `eventmill proxy`, `env`, `aio-config`, `login`, Node preload, HTTPS."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import Gateway, free_port
from tests.e2e.harness.process import run_eventmill


@pytest.fixture(scope="module")
def gateway(start_shared_gateway: StartGateway) -> Gateway:
    """One for all tests of this module: they only look."""
    return start_shared_gateway("--dev")


def where(gateway: Gateway) -> list[str]:
    return ["--data", str(gateway.data), "--port", str(gateway.port)]


@contextmanager
def proxy_of(gateway: Gateway, url: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """A real proxy process in front of the gateway at `url`, and the port that it names."""
    flags = ["--port", "0", "--gateway", url, "--data", str(gateway.data)]
    process = subprocess.Popen(
        [sys.executable, "-m", "eventmill", "proxy", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        banner = next(line for line in process.stdout if "http://127.0.0.1:" in line)
        yield int(banner.split("http://127.0.0.1:")[1].split()[0]), process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(timeout=20)
        process.stdout.close()


def trusting(gateway: Gateway) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(gateway.data / "ca" / "ca.pem"))


def opener_of(gateway: Gateway, proxies: dict[str, str]) -> urllib.request.OpenerDirector:
    handler = urllib.request.HTTPSHandler(context=trusting(gateway))
    return urllib.request.build_opener(urllib.request.ProxyHandler(proxies), handler)


def test_a_request_to_adobe_through_the_proxy(gateway: Gateway) -> None:
    """HTTPS to Adobe's host names ends at the gateway, other hosts are refused, and SIGTERM ends the proxy with 0."""
    with proxy_of(gateway, gateway.url) as (port, process):
        opener = opener_of(gateway, {"https": f"http://127.0.0.1:{port}"})
        for host in ("api.adobe.io", "developers.adobe.io", "ims-na1.adobelogin.com", "static.adobeioevents.com"):
            with opener.open(f"https://{host}/healthz", timeout=20) as answer:
                assert json.load(answer) == {"status": "ok"}
        with pytest.raises(urllib.error.URLError, match="403"):
            opener.open("https://registry.npmjs.org/", timeout=20)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0


def test_a_proxy_port_in_use(gateway: Gateway, tmp_path: Path) -> None:
    """One message with cause and remedy, exit code 2."""
    done = run_eventmill("proxy", "--port", str(gateway.port), "--data", str(gateway.data), directory=tmp_path)

    assert done.code == 2
    assert f"port {gateway.port}" in done.message
    assert "--port" in done.message
    assert "Traceback" not in done.message


def test_a_proxy_for_everybody_is_refused(tmp_path: Path) -> None:
    """It listens on loopback or not at all."""
    done = run_eventmill("proxy", "--host", "0.0.0.0", directory=tmp_path)

    assert done.code == 2
    assert "loopback" in done.message


def test_env_for_aio(gateway: Gateway, tmp_path: Path) -> None:
    """The exports name the proxy, an authority file that exists, and a token that ends in the future."""
    done = run_eventmill("env", "--aio", "--json", "--proxy-port", "8899", *where(gateway), directory=tmp_path)
    values = json.loads(done.output)

    assert values["HTTPS_PROXY"] == "http://127.0.0.1:8899"
    assert Path(values["NODE_EXTRA_CA_CERTS"]).is_file()
    assert values["AIO_IMS_CONTEXTS_CLI_ACCESS__TOKEN_TOKEN"].count(".") == 2
    assert int(values["AIO_IMS_CONTEXTS_CLI_ACCESS__TOKEN_EXPIRY"]) > 1_700_000_000_000
    assert run_eventmill("env", "--aio", *where(gateway), directory=tmp_path).output.startswith("export HTTPS_PROXY='")


@pytest.mark.slow
def test_env_without_any_credential(start_gateway: StartGateway, tmp_path: Path) -> None:
    """The first workspace that has a credential is meant; when none has, the message says how to make one."""
    tenants = {
        "organizations": [
            {
                "id": "1001",
                "ims_org_id": "0123456789ABCDEF01234567@AdobeOrg",
                "name": "Acme",
                "projects": [{"id": "2001", "name": "Shop", "workspaces": [{"id": "3001", "name": "Stage"}]}],
            }
        ]
    }
    file = tmp_path / "tenants.json"
    file.write_text(json.dumps(tenants))
    gateway = start_gateway("--bootstrap", str(file))

    for flags in ([], ["--aio"], ["--node"], ["--workspace", "3001"]):
        done = run_eventmill("env", *flags, *where(gateway), directory=tmp_path)
        assert done.code == 2
        assert "eventmill credential create" in done.message

    workspaces = tenants["organizations"][0]["projects"][0]["workspaces"]  # type: ignore[index]
    credential = {
        "id": "4002",
        "name": "C",
        "client_id": "5c1d0000000000000000000000000002",
        "client_secret": "p8e-secret",
    }
    workspaces.append({"id": "3002", "name": "Prod", "credentials": [credential]})
    file.write_text(json.dumps(tenants))
    gateway.stop()
    gateway.start()

    assert gateway.env()["workspace_id"] == "3002"


def test_aio_config(gateway: Gateway, tmp_path: Path) -> None:
    """Printed or written into a file whose other members stay; another format is refused and left as it is."""
    printed = json.loads(run_eventmill("aio-config", "--data", str(gateway.data), directory=tmp_path).output)
    file = tmp_path / "config" / "aio"
    file.parent.mkdir()
    file.write_text('{"mine": 1}')
    written = run_eventmill("aio-config", "--data", str(gateway.data), "--write", str(file), directory=tmp_path)

    assert written.code == 0
    assert json.loads(file.read_text()) == {"mine": 1, **printed}
    assert printed["console"]["org"]["id"] == gateway.env()["consumer_org_id"]

    file.write_text("{ mine: 1 }")
    refused = run_eventmill("aio-config", "--data", str(gateway.data), "--write", str(file), directory=tmp_path)
    assert refused.code == 2
    assert file.read_text() == "{ mine: 1 }"


class Waiting(BaseHTTPRequestHandler):
    """What `aio login` listens with: takes one form, answers by its state."""

    forms: list[dict[str, list[str]]]

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
        self.forms.append(form)
        good = json.loads(form["state"][0]) == {"id": "1a2b3c4d"}
        self.send_response(200 if good else 400)
        self.end_headers()
        self.wfile.write(b'{"protocol_version":2}')

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def waiting_login() -> Iterator[tuple[int, list[dict[str, list[str]]]]]:
    forms: list[dict[str, list[str]]] = []
    server = HTTPServer(("127.0.0.1", 0), type("Handler", (Waiting,), {"forms": forms}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port, forms
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_login(gateway: Gateway, tmp_path: Path) -> None:
    """The waiting command gets a token with its end, under the id of its own URL; a foreign id is an error."""
    address = "https://aio-login.adobeioruntime.net/api/v1/web/default/applogin?id={}&port={}"
    with waiting_login() as (port, forms):
        done = run_eventmill("login", "--data", str(gateway.data), address.format("1a2b3c4d", port), directory=tmp_path)
        wrong = run_eventmill("login", "--data", str(gateway.data), address.format("ffff", port), directory=tmp_path)

    assert done.code == 0
    [code] = forms[0]["code"]
    assert forms[0]["code_type"] == ["access_token"]
    assert json.loads(code)["access_token"]["token"].count(".") == 2
    assert wrong.code == 2
    assert "status 400" in wrong.message


def test_login_that_nobody_waits_for(gateway: Gateway, tmp_path: Path) -> None:
    """A login that timed out, and no URL at all, are said in one message each."""
    url = f"https://aio-login.adobeioruntime.net/applogin?id=1a2b3c4d&port={free_port()}"
    late = run_eventmill("login", "--data", str(gateway.data), url, directory=tmp_path)
    empty = run_eventmill("login", "--data", str(gateway.data), directory=tmp_path)

    assert late.code == empty.code == 2
    assert "two minutes" in late.message
    assert "applogin?id=" in empty.message


FETCHES = """
const https = require('node:https')
const [path, elsewhereUrl] = process.argv.slice(1)
const url = `https://static.adobeioevents.com${path}`
const get = (...args) => new Promise((resolve, reject) => {
  https.get(...args, answer => {
    const parts = []
    answer.on('data', part => parts.push(part))
    answer.on('end', () => resolve(`${answer.statusCode} ${Buffer.concat(parts)}`))
  }).on('error', reject)
})
const told = answer => answer.text().then(text => `${answer.status} ${text}`)
async function main () {
  const found = [
    await get(url), await get(new URL(url)), await get(url, { headers: { a: 'b' } }),
    await get({ host: 'static.adobeioevents.com', path, headers: { Host: 'static.adobeioevents.com' } }),
    await told(await fetch(url)), await told(await fetch(new Request(url))), await told(await fetch(new URL(url)))
  ]
  const elsewhere = [
    await get(elsewhereUrl).catch(error => error.code),
    await fetch(elsewhereUrl).catch(error => error.cause.code)
  ]
  console.log(JSON.stringify({ found, elsewhere }))
}
main()
"""


@pytest.mark.parametrize(
    ("above", "told"), [("", "key 'pub-key-unknown.pem'"), ("/mill/", "at '/mill/prod/keys/pub-key")]
)
def test_the_node_preload(gateway: Gateway, tmp_path: Path, above: str, told: str) -> None:
    """Every way Node has of fetching a key reaches the gateway, below a path as well; requests to other hosts go where
    they went."""
    variables = json.loads(run_eventmill("env", "--node", "--json", *where(gateway), directory=tmp_path).output)
    node = subprocess.run(
        ["node", "-e", FETCHES, "/prod/keys/pub-key-unknown.pem", f"https://127.0.0.1:{free_port()}/"],
        env={"PATH": os.environ["PATH"], **variables, "KEYS_URL": variables["KEYS_URL"] + above},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert node.returncode == 0, node.stderr
    answers = json.loads(node.stdout)
    assert len(answers["found"]) == 7
    assert all(answer.startswith('404 {"reason":"not_found"') and told in answer for answer in answers["found"])
    assert answers["elsewhere"] == ["ECONNREFUSED", "ECONNREFUSED"]


def test_the_https_port(start_gateway: StartGateway) -> None:
    """With `tls_port` the same gateway answers HTTPS under the local authority, and drains as before."""
    tls_port = free_port()
    gateway = start_gateway("--dev", variables={"EVENTMILL_TLS_PORT": str(tls_port)})

    for host in ("localhost", "127.0.0.1"):
        with opener_of(gateway, {}).open(f"https://{host}:{tls_port}/healthz", timeout=20) as answer:
            assert json.load(answer) == {"status": "ok"}
    with proxy_of(gateway, f"https://localhost:{tls_port}") as (port, _):
        through = opener_of(gateway, {"https": f"http://127.0.0.1:{port}"})
        with through.open("https://api.adobe.io/healthz", timeout=20) as answer:
            assert json.load(answer) == {"status": "ok"}
    assert gateway.stop() == 0


@pytest.mark.slow
def test_own_certificate_files(start_gateway: StartGateway, tmp_path: Path) -> None:
    """`tls_cert` and `tls_key` are served instead; files that do not fit are refused at the start."""
    first = start_gateway("--dev", variables={"EVENTMILL_TLS_PORT": str(free_port())})
    own = first.data / "ca" / "server.pem"
    port = free_port()
    start_gateway("--dev", variables={"EVENTMILL_TLS_PORT": str(port), "EVENTMILL_TLS_CERT": str(own)})

    served = ssl.get_server_certificate(("127.0.0.1", port), timeout=20)
    assert served.strip() in own.read_text()

    (tmp_path / "none.pem").write_text("no PEM")
    refused = run_eventmill(
        "serve",
        *("--dev", "--data", str(tmp_path / "other"), "--port", str(free_port())),
        directory=tmp_path,
        variables={"EVENTMILL_TLS_PORT": str(free_port()), "EVENTMILL_TLS_CERT": str(tmp_path / "none.pem")},
    )
    assert refused.code == 2
    assert "EVENTMILL_TLS_CERT" in refused.message
