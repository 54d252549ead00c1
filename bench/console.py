"""How long each page of the console takes, of a store with many deliveries and registrations, beside an empty one."""

from __future__ import annotations

import http.client
import json
import re
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from gateway import ORG, PROJECT, WORKSPACE, Gateway, call
from processes import BENCH, Process, cpu_s, free_port, listens, run_tool, wait_for
from report import Row, progress

PAGE_MS_MAX = 200
_PASSWORD = "correct horse battery"
_CONSOLE = f"/ui/orgs/{ORG}"
_LATE = {
    "metrics": "/metrics",
    "overview": _CONSOLE,
    "registrations": f"{_CONSOLE}/registrations",
    "operations": f"{_CONSOLE}/operations",
}
"""What looks at all lanes that wait; the first of them finds nothing reckoned yet."""


class Visitor:
    """Somebody who signed in to the console, over one connection."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self._connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=120)
        self._cookies: dict[str, str] = {}

    def sign_in(self) -> None:
        user = {"name": "bench", "password": _PASSWORD, "role": "admin"}
        call("POST", f"{self.gateway.url}/console/users", self.gateway.headers, user)
        page = self._send("GET", "/ui/sign-in")
        found = re.search(r'name="csrf" value="(\w+)"', page)
        assert found is not None, "the sign-in page has a form"
        form = {"csrf": found[1], "name": "bench", "password": _PASSWORD, "next": _CONSOLE}
        self._send("POST", "/ui/sign-in", urlencode(form), 303)

    def read(self, path: str) -> str:
        return self._send("GET", path)

    def took_ms(self, path: str) -> float:
        started_s = time.perf_counter()
        self._send("GET", path)
        return (time.perf_counter() - started_s) * 1000

    def _send(self, method: str, path: str, body: str | None = None, wanted: int = 200) -> str:
        headers = {"accept": "text/html", "cookie": "; ".join(f"{k}={v}" for k, v in self._cookies.items())}
        if body is not None:
            headers["content-type"] = "application/x-www-form-urlencoded"
        self._connection.request(method, path, body, headers)
        response = self._connection.getresponse()
        text = response.read().decode()
        if response.status != wanted:
            raise SystemExit(f"{method} {path} answered {response.status}: {text[:500]}")
        for name, value in response.getheaders():
            if name.lower() == "set-cookie":
                key, _, rest = value.partition("=")
                self._cookies[key] = rest.partition(";")[0]
        return text


def bench_console(directory: Path, rounds: int, registrations: int, deliveries: int) -> list[Row]:
    sink_port = free_port()
    with ExitStack() as opened:
        opened.enter_context(Process(str(BENCH / "sink.py"), str(sink_port)))
        wait_for(lambda: listens(sink_port), 10, "the sink's start")
        empty, full = Gateway(directory / "none", codes=1), Gateway(directory / "stored", codes=1)
        for gateway in (empty, full):
            with gateway:
                gateway.register("registration0", "webhook", sink_port)
        progress(f"console: storing {deliveries:,} deliveries of {registrations:,} registrations")
        fill = ("console_fill.py", full.data)
        run_tool(*fill, registrations, deliveries, seconds_max=1800)
        visitors = []
        for gateway in (empty, full):
            opened.enter_context(gateway)
            visitors.append(Visitor(gateway))
            visitors[-1].sign_in()
        return _measure(visitors[0], visitors[1], rounds)


def _measure(empty: Visitor, full: Visitor, rounds: int) -> list[Row]:
    bare, stored = _pages(empty), _pages(full)
    rows = [_row(name, (full, path), (empty, bare[name]), rounds) for name, path in stored.items()]
    full.gateway.pause_delivery()
    published = _publish_to_all(full.gateway)
    for name, path in _LATE.items():
        late = f"{name}, while the lanes of {published:,} event types wait"
        rows.append(_row(late, (full, path), (empty, path), rounds))
    full.gateway.resume_delivery()
    return rows


def _row(name: str, stored: tuple[Visitor, str], bare: tuple[Visitor, str], rounds: int) -> Row:
    """The slowest of all counts as well, so nobody is asked beforehand."""
    row = Row(f"console: {name}", "ms", PAGE_MS_MAX, at_most=True, over="of an empty store", of_value=True)
    (full, path), (empty, bare_path) = stored, bare
    before_s = cpu_s(full.gateway.front)
    for _ in range(rounds):
        row.add(full.took_ms(path), empty.took_ms(bare_path))
    spent_ms = (cpu_s(full.gateway.front) - before_s) / rounds * 1000
    progress(f"console: {name}: {max(row.ours):.0f} ms at most; {spent_ms:.0f} ms of CPU on average")
    return row


def _publish_to_all(gateway: Gateway) -> int:
    """An event of every type; how many there are."""
    base = f"{gateway.url}/events/{ORG}"
    count = 0
    for provider in _get(gateway, f"{base}/providers?eventmetadata=true")["_embedded"]["providers"]:
        for each in provider["_embedded"]["eventmetadata"] if provider["publisher"] != "Adobe" else ():
            _publish(gateway, provider["id"], each["event_code"])
            count += 1
    return count


def _pages(visitor: Visitor) -> dict[str, str]:
    """By what they show. Where there are several of a kind, the one with the most behind it."""
    things = _things(visitor.gateway)
    registration, event = f"{_CONSOLE}/registrations/{things['registration']}", quote(things["event"])
    provider, code = f"{_CONSOLE}/providers/{things['provider']}", quote(things["code"])
    listed = f"{_CONSOLE}/registrations"
    return {
        "overview": _CONSOLE,
        "projects": f"{_CONSOLE}/projects",
        "project": f"{_CONSOLE}/projects/{PROJECT}",
        "credential": f"{_CONSOLE}/projects/{PROJECT}/workspaces/{WORKSPACE}/credentials/4001",
        "deletion of a workspace": f"{_CONSOLE}/projects/{PROJECT}/workspaces/{WORKSPACE}/delete",
        "providers": f"{_CONSOLE}/providers",
        "provider": provider,
        "deletion of a provider": f"{provider}/delete",
        "event type": f"{provider}/events/{code}",
        "registrations": listed,
        "registrations, by name": f"{listed}?q=registration",
        "registrations, unstable": f"{listed}?status=unstable",
        "registrations, later page": f"{listed}?after={things['registration']}",
        "wizard, providers": f"{listed}/new",
        "wizard, event types": f"{listed}/new/events?provider={things['provider']}",
        "registration": registration,
        "debug tracing": f"{registration}/traces",
        "event browser": f"{registration}/journal",
        "event browser, newest": f"{registration}/journal?latest=true",
        "filter": f"{registration}/filter",
        "undelivered": f"{registration}/undelivered",
        "replays": f"{registration}/replays",
        "events": f"{_CONSOLE}/search",
        "events, by code": f"{_CONSOLE}/search?code={code}",
        "events, undelivered": f"{_CONSOLE}/search?status=undelivered",
        "events, of a registration": f"{_CONSOLE}/search?registration={things['registration']}",
        "events, none found": f"{_CONSOLE}/search?code=com.example.never",
        "events, by an id of the publisher's": f"{_CONSOLE}/search?q=order-1",
        "event": f"{_CONSOLE}/events/{event}",
        "unmatched": f"{_CONSOLE}/unmatched",
        "operations": f"{_CONSOLE}/operations",
        "keys": f"{_CONSOLE}/operations/keys",
        "changes": f"{_CONSOLE}/operations/changes",
        "settings": f"{_CONSOLE}/operations/settings?all=1",
        "users": f"{_CONSOLE}/operations/users",
    }


def _things(gateway: Gateway) -> dict[str, str]:
    """A failing registration of the code with the most events, its provider, an event of it; else the only ones."""
    base = f"{gateway.url}/events/{ORG}"
    found = _get(gateway, f"{base}/search?limit=1&code=com.example.shop.made0000")["events"]
    registrations = _get(gateway, f"{base}/{PROJECT}/{WORKSPACE}/registrations")["_embedded"]["registrations"]
    wanted = found[0]["code"] if found else None
    asking = [
        each
        for each in registrations
        if wanted is None or wanted in {interest["event_code"] for interest in each["events_of_interest"]}
    ]
    chosen = next((each for each in asking if each["webhook_status"] == "unstable"), asking[0])
    interest = chosen["events_of_interest"][0]
    return {
        "registration": chosen["registration_id"],
        "provider": interest["provider_id"],
        "code": interest["event_code"],
        "event": found[0]["id"] if found else _published(gateway, interest),
    }


def _publish(gateway: Gateway, provider: str, code: str) -> None:
    event = {"specversion": "1.0", "id": "order-1", "source": f"urn:uuid:{provider}", "type": code, "data": {}}
    call("POST", gateway.url, {**gateway.headers, "content-type": "application/cloudevents+json"}, event)


def _published(gateway: Gateway, interest: dict[str, Any]) -> str:
    """The id of an event that is published now."""
    _publish(gateway, interest["provider_id"], interest["event_code"])
    found: str = _get(gateway, f"{gateway.url}/events/{ORG}/search?id=order-1")["events"][0]["id"]
    return found


def _get(gateway: Gateway, url: str) -> Any:
    return json.loads(call("GET", url, gateway.headers)[1])
