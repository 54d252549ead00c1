"""Webhooks through the egress proxy: every byte takes it, and whatever it does wrong is not the endpoint's fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from eventmill.clock import VirtualClock
from eventmill.config import Config
from eventmill.errors import StartupError
from eventmill.model import Lane
from eventmill.send.egress import EgressProxy
from eventmill.send.webhook import Response
from eventmill.testing import (
    Authority,
    Behaviour,
    answering,
    answering_once,
    closing,
    never_answering,
    receiving,
    refusing_handshake,
    resetting,
    response,
    server_context,
    unused_port,
)
from tests.http.connect_proxy import proxying
from tests.http.delivery import FAILED, REGISTRATIONS, delivering
from tests.http.names import Names
from tests.http.sending import SHORT_S, outcome, post, sending
from tests.http.world import registration_form, running

pytestmark = pytest.mark.anyio

MINUTE_MS = 60_000


@pytest.fixture(scope="module", params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Both event loops: a socket changes hands here."""
    return "asyncio", {"use_uvloop": request.param}


async def test_plain_http_goes_through_a_tunnel() -> None:
    """The proxy is asked for the endpoint's host and port, and sees no header of the delivery itself; pooled after."""
    async with proxying() as proxy, receiving(answering(response())) as receiver, sending(egress_proxy=proxy.url) as to:
        answers = [await to.send(post(receiver.url)) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 200]
    at = f"127.0.0.1:{receiver.port}"
    assert proxy.heads == [f"CONNECT {at} HTTP/1.1\r\nhost: {at}\r\n\r\n"]
    assert receiver.requests[0].header("host") == at
    assert receiver.requests[0].header("proxy-authorization") is None


async def test_https_is_encrypted_to_the_endpoint() -> None:
    """The endpoint's certificate is checked against its own name, with its own authorities, within the tunnel."""
    authority = Authority()
    context = server_context(authority.issue(("erp.example",)))
    async with proxying() as proxy, receiving(answering(response()), context) as receiver:
        proxy.goes_to = ("127.0.0.1", receiver.port)
        async with sending(Names(), egress_proxy=proxy.url) as to:
            right = await to.send(post("https://erp.example/hook", ca_bundle=authority.pem))
            wrong_name = await to.send(post("https://crm.example/hook", ca_bundle=authority.pem))
            wrong_issuer = await to.send(post("https://erp.example/hook"))
    assert [answer.status for answer in (right, wrong_name, wrong_issuer)] == [200, 611, 611]
    assert wrong_name.blames_endpoint and wrong_issuer.blames_endpoint
    assert proxy.heads[0].startswith("CONNECT erp.example:443 HTTP/1.1\r\n")


async def test_login_goes_to_the_proxy_only() -> None:
    """Decoded from the URL, as basic authorization of the CONNECT; in no log and no trace, even when it fails."""
    with capture_logs() as logs:
        async with proxying("mill%40corp:s%3Acret@") as proxy, receiving(answering(response())) as receiver:
            async with sending(egress_proxy=proxy.url) as to:
                assert (await to.send(post(receiver.url))).status == 200
                assert "proxy-authorization: Basic bWlsbEBjb3JwOnM6Y3JldA==\r\n" in proxy.heads[0]
            proxy.answer = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"
            async with sending(egress_proxy=proxy.url) as to:
                answer = await to.send(post(receiver.url))
    assert answer.status == 602
    assert len(receiver.requests) == 1
    assert receiver.requests[0].header("authorization") is None
    for secret in ("s:cret", "s%3Acret", "mill", "bWlsb"):
        assert secret not in repr(logs) and secret.encode() not in answer.body


async def fails_at_proxy(behaviour: Behaviour, **settings: Any) -> Response:
    async with proxying(behaviour=behaviour) as proxy, receiving(answering(response())) as receiver:
        async with sending(egress_proxy=proxy.url, **settings) as to:
            answer = await to.send(post(receiver.url))
        assert receiver.connections == 0
    return answer


@pytest.mark.parametrize(
    ("behaviour", "says"),
    [
        pytest.param(answering_once(b"HTTP/1.1 407 Proxy Auth\r\n\r\n"), "refused a tunnel with status 407", id="407"),
        pytest.param(answering_once(b"HTTP/1.1 403 No\r\n\r\nno"), "refused a tunnel with status 403", id="403"),
        pytest.param(answering_once(b"HTTP/1.0 502 Bad\r\n\r\n"), "refused a tunnel with status 502", id="502"),
        pytest.param(answering_once(b"HTTP/1.1 302 x\r\nlocation: y\r\n\r\n"), "with status 302", id="redirect"),
        pytest.param(closing(), "closed the connection instead", id="closes"),
        pytest.param(resetting(), "broke off instead", id="resets"),
        pytest.param(answering_once(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "did not answer in HTTP", id="garbage"),
        pytest.param(answering_once(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 9999), "did not answer in", id="endless"),
        pytest.param(answering_once(b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200"), "sent more than its answer", id="more"),
    ],
)
async def test_failures_of_the_proxy_are_its_own(behaviour: Behaviour, says: str) -> None:
    """602, the text names the proxy, and the endpoint is not to blame."""
    answer = await fails_at_proxy(behaviour)
    assert answer.status == 602
    assert b"the egress proxy 127.0.0.1:" in answer.body
    assert says.encode() in answer.body
    assert not answer.blames_endpoint


async def test_unreachable_proxy_is_not_the_endpoints_fault() -> None:
    """Refused, and unknown by name."""
    async with receiving(answering(response())) as receiver:
        async with sending(egress_proxy=f"http://127.0.0.1:{unused_port()}") as to:
            refused = await to.send(post(receiver.url))
        async with sending(Names(), egress_proxy="http://proxy.corp.example:3128") as to:
            unknown = await to.send(post(receiver.url))
    assert receiver.connections == 0
    for answer, says in ((refused, b"cannot be reached"), (unknown, b"is an unknown name")):
        assert (answer.status, answer.blames_endpoint) == (602, False)
        assert says in answer.body


async def test_proxy_that_takes_no_connection_in_time_is_not_the_endpoints_fault() -> None:
    """Its part of the deadline is over first."""
    from eventmill.testing import never_accepting

    with never_accepting() as gone:
        async with sending(egress_proxy=f"http://127.0.0.1:{gone.port}", webhook_timeout_s=SHORT_S) as to:
            answer = await to.send(post("http://127.0.0.1:9/", timeout_s=SHORT_S))
    assert (answer.status, answer.blames_endpoint) == (602, False)
    assert b"took no connection within" in answer.body


async def test_silence_after_the_connect_is_604() -> None:
    """The proxy may be waiting for the endpoint, so the attempt counts as one that had no answer in time."""
    async with proxying(behaviour=never_answering()) as proxy, sending(egress_proxy=proxy.url) as to:
        answer = await to.send(post("http://127.0.0.1:9/", timeout_s=SHORT_S))
    assert (answer.status, answer.blames_endpoint) == (604, True)


@pytest.mark.parametrize(
    ("behaviour", "status"),
    [(answering(response(status="502 Bad Gateway")), 502), (resetting(), 602), (closing(), 602)],
)
async def test_failures_after_the_tunnel_are_the_endpoints(behaviour: Behaviour, status: int) -> None:
    """Even a 502: within the tunnel only the endpoint speaks."""
    async with proxying() as proxy:
        answer = await outcome(behaviour, egress_proxy=proxy.url)
    assert (answer.status, answer.blames_endpoint) == (status, True)


async def test_forbidden_addresses_are_not_asked_of_the_proxy() -> None:
    """Neither as the URL has them, nor as a name has them that we can look up ourselves."""
    names = Names({"inside.example": [("10.0.0.1",)], "hook.example": [("93.184.216.34",)]})
    async with proxying() as proxy, receiving(answering(response())) as receiver:
        proxy.goes_to = ("127.0.0.1", receiver.port)
        async with sending(names, egress_proxy=proxy.url, dev=False, webhook_allow_http=True) as to:
            literal = await to.send(post("http://169.254.169.254/latest"))
            named = await to.send(post("http://inside.example/"))
            known = await to.send(post("http://hook.example/"))
            unknown = await to.send(post("http://nobody-here.example/"))
            port = await to.send(post("http://hook.example:25/"))
    assert b"link-local" in literal.body and b"private network" in named.body and b"port 25" in port.body
    assert [answer.status for answer in (literal, named, known, unknown, port)] == [602, 602, 200, 200, 602]
    assert literal.blames_endpoint and named.blames_endpoint
    assert [head.split(" ")[1] for head in proxy.heads] == ["hook.example:80", "nobody-here.example:80"]


async def test_demanded_client_certificate_is_611_through_the_tunnel() -> None:
    """An alert that comes after the handshake is told as one."""
    authority = Authority()
    context = server_context(authority.issue(), clients_of=authority)
    async with proxying() as proxy, sending(egress_proxy=proxy.url) as to, refusing_handshake(context) as receiver:
        answer = await to.send(post(receiver.url, ca_bundle=authority.pem))
    assert (answer.status, answer.blames_endpoint) == (611, True)


async def test_proxies_of_the_environment_count_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that other programs obey do not divert deliveries."""
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{unused_port()}")
    assert (await outcome(answering(response()))).status == 200


@pytest.mark.parametrize(
    "url",
    [
        "socks5://127.0.0.1:1080",
        "https://u:secret@proxy.example:443",
        "http://u:secret@proxy.example",
        "proxy.example:3128",
        "http://u:secret@proxy.example:99999",
        "http://u:secret@proxy.example:3128/path",
        "http://:3128",
    ],
)
def test_what_is_no_proxy_stops_the_start(url: str) -> None:
    """The message says what is wanted, and does not repeat what may hold a password."""
    with pytest.raises(StartupError, match="EVENTMILL_EGRESS_PROXY must be http://host:port") as raised:
        EgressProxy.of(Config(egress_proxy=url))
    assert "secret" not in str(raised.value)


async def test_held_delivery_keeps_its_schedule(tmp_path: Path) -> None:
    """While the proxy is down, attempts are made again after a minute and later, uncounted and unnumbered; when it is
    back, the first attempt is a first attempt, and its failure the first of the schedule."""
    async with proxying() as proxy:
        proxy.answer = b"HTTP/1.1 503 Service Unavailable\r\n\r\n"
        async with delivering(tmp_path, egress_proxy=proxy.url) as delivery:
            store, clock = delivery.world.store, delivery.world.parts.clock
            assert isinstance(clock, VirtualClock)
            topic = await delivery.world.topic()
            lane = Lane((await delivery.register(topic, "/fail"))["id"])
            await delivery.world.publish(topic)
            await delivery.deliver.quiesce()
            (held,) = await store.due_units(lane, 1 << 62, 10)
            assert (held.retries, held.due_ms - clock.now_ms(), held.cause) == (0, MINUTE_MS, 602)

            clock.advance(MINUTE_MS)
            await delivery.deliver.quiesce()
            (again,) = await store.due_units(lane, 1 << 62, 10)
            assert (again.unit_id, again.retries, again.due_ms - clock.now_ms()) == (held.unit_id, 0, MINUTE_MS)
            assert not delivery.hook.bodies

            proxy.answer = b""
            clock.advance(MINUTE_MS)
            await delivery.deliver.quiesce()
            (failed,) = await store.due_units(lane, 1 << 62, 10)
            assert (failed.retries, failed.due_ms - clock.now_ms(), failed.cause) == (1, MINUTE_MS, 503)
            assert len(delivery.hook.bodies["/fail"]) == 1


async def test_held_retry_resumes_where_it_was(tmp_path: Path) -> None:
    """A unit between its retries keeps its number across an outage of the proxy, and the outage counts for no time."""
    async with proxying() as proxy, delivering(tmp_path, egress_proxy=proxy.url) as delivery:
        store, clock = delivery.world.store, delivery.world.parts.clock
        assert isinstance(clock, VirtualClock)
        delivery.hook.status = f"{FAILED}\r\nconnection: close"
        topic = await delivery.world.topic()
        lane = Lane((await delivery.register(topic, "/down"))["id"])
        await delivery.world.publish(topic)
        await delivery.deliver.quiesce()

        proxy.answer = b"HTTP/1.1 503 Service Unavailable\r\n\r\n"
        clock.advance(MINUTE_MS)
        await delivery.deliver.quiesce()
        (held,) = await store.due_units(lane, 1 << 62, 10)
        assert (held.retries, held.cause) == (1, 602)

        proxy.answer = b""
        clock.advance(held.due_ms - clock.now_ms())
        await delivery.deliver.quiesce()
        (failed,) = await store.due_units(lane, 1 << 62, 10)
        assert (failed.retries, failed.cause, failed.due_ms - clock.now_ms()) == (2, 503, 2 * MINUTE_MS)


async def test_held_attempts_do_not_count_for_health(tmp_path: Path) -> None:
    """They leave traces, and no failure in the lane's counters."""
    async with proxying() as proxy:
        proxy.answer = b"HTTP/1.1 503 Service Unavailable\r\n\r\n"
        async with delivering(tmp_path, egress_proxy=proxy.url) as delivery:
            topic = await delivery.world.topic()
            lane = Lane((await delivery.register(topic, "/hook"))["id"])
            await delivery.world.publish(topic)
            await delivery.deliver.quiesce()
            assert [trace.ok for trace in await delivery.world.store.traces(lane)] == [False]
            assert await delivery.world.store.counts(lane, 0) == (0, 0)


async def test_challenge_that_the_proxy_prevented_changes_nothing(tmp_path: Path) -> None:
    """503, with the proxy's failure and when to try again: no registration is made, none is disabled."""
    async with running(tmp_path) as world:
        topic = await world.topic()
        created = await world.register(topic)
        at = f"{REGISTRATIONS}/{created['registration_id']}"
        world.hooks.passes = world.hooks.reaches = False
        epoch = await world.epoch()
        answers = [
            await world.call("POST", REGISTRATIONS, registration_form(topic, name="Second")),
            await world.call("PUT", at, registration_form(topic, client_id=...)),
            await world.call("POST", f"{at}/challenge"),
        ]
        assert [(each.status, each.json()["reason"]) for each in answers] == [(503, "egress_proxy_failed")] * 3
        assert all(dict(each.headers)["retry-after"] == "30" for each in answers)
        assert await world.epoch() == epoch
