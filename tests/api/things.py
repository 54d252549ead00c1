"""A gateway with one of everything in it, and something of each kind to be deleted."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

from tests.e2e.gateway import Gateway, auth_headers, call

FLAGS = ("--dev", "--auth", "strict")
VARIABLES = {"EVENTMILL_PUBLISH_REQUESTS_PER_5S": "0", "EVENTMILL_LOG_LEVEL": "warning"}
HOOK = "http://127.0.0.1:9/hook"
"""Nothing listens there."""
UNKNOWN = "no-such-thing"


@dataclass(frozen=True)
class Things:
    headers: dict[str, str]
    kept: dict[str, str]
    """A value for every path parameter."""
    expendable: dict[str, list[str]]
    """Other values of some of them, for whoever deletes."""
    secret: str
    """The client secret of the kept credential."""
    certificate: str
    """PEM of a key that no credential has."""


class _Maker:
    def __init__(self, gateway: Gateway) -> None:
        env = gateway.env()
        self.headers = auth_headers(env)
        self.env = env
        self._url = gateway.url
        self.org, self.project, self.workspace = env["consumer_org_id"], env["project_id"], env["workspace_id"]
        self.here = f"/events/{self.org}/{self.project}/{self.workspace}"
        self.console = f"/console/organizations/{self.org}"

    def make(self, path: str, body: Any) -> Any:
        answer = call("POST", self._url + path, {**self.headers, "content-type": "application/json"}, body)
        assert answer.status in (200, 201), (path, answer.status, answer.body)
        return answer.json()

    def read(self, path: str) -> Any:
        answer = call("GET", self._url + path, self.headers)
        assert answer.status == 200, (path, answer.status, answer.body)
        return answer.json()

    def provider(self, label: str) -> str:
        provider: str = self.make(f"{self.here}/providers", {"label": label})["id"]
        for code in ("com.acme.stock.low", "com.acme.gone"):
            template = base64.b64encode(json.dumps({"sku": "A1"}).encode()).decode()
            body = {"event_code": code, "label": "Low", "description": "Low", "sample_event_template": template}
            self.make(f"{self.here}/providers/{provider}/eventmetadata", body)
        return provider

    def registration(self, name: str, provider: str) -> str:
        form = {
            "name": name,
            "client_id": self.env["client_id"],
            "delivery_type": "journal",
            "events_of_interest": [{"provider_id": provider, "event_code": "com.acme.stock.low"}],
        }
        made: str = self.make(f"{self.here}/registrations", form)["registration_id"]
        return made

    def filter(self, registration: str) -> str:
        form = {"name": "Everything", "subscriber_filter": '{"type":[{"exists":true}]}'}
        made: str = self.make(f"{self.here}/registrations/{registration}/filters", form)["id"]
        return made

    def cursor(self, registration: str, name: str) -> str:
        """At the oldest event; returns the name."""
        journal = self.read(f"{self.here}/registrations/{registration}")["_links"]["rel:events"]["href"]
        answer = call("GET", f"{journal}?limit=1", self.headers)
        body = {"position": answer.json()["_page"]["last"]}
        headers = {**self.headers, "content-type": "application/json"}
        assert call("PUT", f"{journal}/cursors/{name}", headers, body).status == 201
        return name

    def credential(self, name: str) -> str:
        path = f"{self.console}/projects/{self.project}/workspaces/{self.workspace}/credentials/oauth-server-to-server"
        made: str = self.make(path, {"name": name})["id"]
        return made

    def secret(self, credential: str) -> str:
        made: str = self.make(f"{self.console}/credentials/{credential}/secrets", {})["uuid"]
        return made

    def publish(self, provider: str) -> None:
        event = {
            "specversion": "1.0",
            "id": "1",
            "source": f"urn:uuid:{provider}",
            "type": "com.acme.stock.low",
            "data": {},
        }
        headers = {**self.headers, "content-type": "application/cloudevents+json"}
        assert call("POST", f"{self._url}/ingress", headers, event).status == 200

    def jwt_credential(self) -> tuple[str, str]:
        """And the id of its only key."""
        path = f"{self.console}/projects/{self.project}/workspaces/{self.workspace}/credentials/entp"
        made: str = self.make(path, {"name": "Old kind", "certificate": make_public_key()})["id"]
        binding: str = self.read(f"{self.console}/integrations/entp/{made}/bindings")[0]["bindingId"]
        return made, binding


def make_public_key() -> str:
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = generate_private_key(public_exponent=65537, key_size=2048).public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def make_things(gateway: Gateway) -> Things:
    maker = _Maker(gateway)
    provider = maker.provider("Warehouse")
    registration = maker.registration("Stock to ERP", provider)
    maker.publish(provider)
    spare = maker.credential("Spare")
    old, binding = maker.jwt_credential()
    project = maker.make(f"{maker.console}/projects", {"name": "Spare"})
    doomed = maker.provider("Doomed")
    doomed_registrations = [maker.registration(f"Doomed {number}", doomed) for number in range(3)]
    return Things(
        headers=maker.headers,
        kept={
            "org": maker.org,
            "project": maker.project,
            "workspace": maker.workspace,
            "credential": maker.env["credential_id"],
            "client": maker.env["client_id"],
            "provider": provider,
            "code": "com.acme.stock.low",
            "sdk": "AdobeIOManagementAPISDK",
            "registration": registration,
            "filter": maker.filter(registration),
            "cursor": maker.cursor(registration, "reader"),
            "replay": UNKNOWN,
            "attempt": UNKNOWN,
            "event": UNKNOWN,
            "type": "oauth_server_to_server",
            "secret": UNKNOWN,
            "binding": binding,
            "file": UNKNOWN,
            "key": UNKNOWN,
            "namespace": "any",
        },
        secret=maker.env["client_secret"],
        certificate=make_public_key(),
        expendable={
            "provider": [doomed, maker.provider("Doomed too")],
            "code": ["com.acme.gone"],
            "registration": doomed_registrations,
            "filter": [maker.filter(each) for each in doomed_registrations],
            "cursor": [maker.cursor(registration, f"doomed-{number}") for number in range(3)],
            "project": [project["projectId"]],
            "workspace": [project["workspaceId"]],
            "credential": [spare, old],
            "secret": [maker.secret(spare)],
            "binding": [binding],
        },
    )
