"""No trace and no log line holds a secret; and an attempt without an answer has the same UUID in both."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from eventmill.send.no_answer import causes_of
from eventmill.testing import answering, receiving, response, unused_port
from tests.http.aws import ACCOUNT, AWS_SETTINGS, REGION, SECRET_KEY, SESSION
from tests.http.connect_proxy import proxying
from tests.http.delivery import Delivery, delivering
from tests.http.sending import post, sending
from tests.http.world import BASE, World

pytestmark = pytest.mark.anyio

LOGIN = "bob:p%40ss-word"
LOGIN_FORMS = (LOGIN, "bob:p@ss-word", "p%40ss-word", "p@ss-word", b64encode(b"bob:p@ss-word").decode())
FIRST_LINE = re.compile(r"(\d{3}) : \w+ ERROR\(`([0-9a-f-]{36})`\) :")


async def traces(world: World, registration: dict[str, Any]) -> list[Any]:
    href: str = registration["_links"]["rel:trace"]["href"]
    found: list[Any] = (await world.call("GET", href.removeprefix(BASE))).json()
    return found


async def traced_and_logged(
    delivery: Delivery, registration: dict[str, Any], topic: dict[str, Any]
) -> tuple[list[Any], list[Any]]:
    """What one published event leaves in both."""
    with capture_logs() as logs:
        assert await delivery.world.publish(topic) == 200
        await delivery.deliver.quiesce()
    return await traces(delivery.world, registration), [dict(line) for line in logs]


def check_same_id(traced: Sequence[Any], logged: Sequence[Any], registration: dict[str, Any]) -> None:
    """The newest trace tells of no answer, in the layout of such bodies, and the log of the same attempt."""
    response = traced[0]["trace"]["tracingResponse"]
    first, *causes = response["responseBody"].split("\n")
    found = FIRST_LINE.fullmatch(first)
    assert found is not None and int(found[1]) == response["responseCode"]
    assert causes and all(re.fullmatch(r"\| Exception\(`.+`\)", cause) for cause in causes)
    [line] = [each for each in logged if each["event"] == "attempt_failed"]
    assert (line["error_id"], line["code"]) == (found[2], response["responseCode"])
    assert line["registration_id"] == registration["registration_id"]


def check_hides(texts: Sequence[Any], secrets: Sequence[str]) -> None:
    shown = json.dumps(texts, default=str)
    assert [secret for secret in secrets if secret in shown] == []


async def test_the_login_of_a_webhook(tmp_path: Path) -> None:
    """User and password in a URL reach the webhook, and are masked in the trace of a success and of a failure."""
    async with delivering(tmp_path) as delivery:
        world, topic = delivery.world, await delivery.world.topic()
        url = delivery.hook.url.replace("://", f"://{LOGIN}@") + "/hook"
        registration = await world.register(topic, webhook_url=url)
        traced, logged = await traced_and_logged(delivery, registration, topic)
        assert traced[0]["trace"]["tracingResponse"]["responseCode"] == 200
        assert traced[0]["trace"]["tracingRequest"]["requestUrl"] == f"{delivery.hook.url}/hook".replace(
            "://", "://***@"
        )
        check_hides([traced, logged], LOGIN_FORMS)

        dead_topic = await world.topic("Dead")
        dead = f"http://{LOGIN}@127.0.0.1:{unused_port()}/hook"
        registration = await world.register(dead_topic, name="Dead", webhook_url=dead)
        traced, logged = await traced_and_logged(delivery, registration, dead_topic)
        check_same_id(traced, logged, registration)
        check_hides([traced, logged], LOGIN_FORMS)


def test_no_cause_repeats_the_login() -> None:
    """Whatever a library's message quotes of the URL, the user information in it is masked."""
    error = ValueError(f"netloc {LOGIN}@erp.example is wrong")
    error.__cause__ = OSError("bob:p@ss-word failed")
    causes = causes_of(error, f"https://{LOGIN}@erp.example/hook", timeout_s=1, expired=False)
    assert causes == ["netloc ***@erp.example is wrong", "*** failed"]


async def test_an_openwhisk_host_that_cannot_be_reached(tmp_path: Path) -> None:
    """Its key is neither in the trace nor in the log."""
    auth = "user-1:key-of-the-namespace"
    host = f"http://127.0.0.1:{unused_port()}"
    where: dict[str, Any] = {"runtime_apihost": host, "runtime_auth": auth, "runtime_namespace": "ns"}
    async with delivering(tmp_path, **where) as delivery:
        topic = await delivery.world.topic()
        action: Any = {"runtime_action": "warehouse/on-low", "webhook_url": ...}
        registration = await delivery.world.register(topic, **action)
        traced, logged = await traced_and_logged(delivery, registration, topic)
        check_same_id(traced, logged, registration)
        check_hides([traced, logged], [auth, "key-of-the-namespace", b64encode(auth.encode()).decode(), "uthorization"])
        assert traced[0]["trace"]["timings"]["connect"] >= 0


async def test_an_event_bus_that_cannot_be_reached(tmp_path: Path) -> None:
    """The signature, the keys and the session token are neither in the trace nor in the log."""
    endpoint = f"http://127.0.0.1:{unused_port()}"
    where: dict[str, Any] = {"eventbridge_mode": "custom", "eventbridge_endpoint": endpoint, **AWS_SETTINGS}
    async with delivering(tmp_path, **where) as delivery:
        world, topic = delivery.world, await delivery.world.topic()
        metadata = {"aws_region": REGION, "aws_account_id": ACCOUNT}
        bus: Any = {"delivery_type": "aws_eventbridge", "webhook_url": ..., "destination_metadata": metadata}
        registration = await world.register(topic, **bus)
        if registration["webhook_status"] == "accepted":
            pytest.fail("a custom bus waits for nobody")
        traced, logged = await traced_and_logged(delivery, registration, topic)
        check_same_id(traced, logged, registration)
        check_hides([traced, logged], [SECRET_KEY, SESSION, "AWS4-HMAC", "uthorization"])


async def test_an_action_that_goes_on_unheard(tmp_path: Path) -> None:
    """An OpenWhisk host that lets an action run on counts as no answer, with an id in the log like any other."""
    accepted = response(b'{"activationId": "a-1"}', "202 Accepted", "content-type: application/json\r\n")
    async with receiving(answering(accepted)) as host:
        where: dict[str, Any] = {"runtime_apihost": host.url.removesuffix("/hook"), "runtime_auth": "user:key"}
        async with delivering(tmp_path, **where, runtime_namespace="ns") as delivery:
            topic = await delivery.world.topic()
            action: Any = {"runtime_action": "warehouse/on-low", "webhook_url": ...}
            registration = await delivery.world.register(topic, **action)
            traced, logged = await traced_and_logged(delivery, registration, topic)
            check_same_id(traced, logged, registration)
            assert traced[0]["trace"]["tracingResponse"]["responseCode"] == 604
            assert traced[0]["trace"]["timings"]["firstByte"] >= 0


async def test_an_action_that_is_nowhere(tmp_path: Path) -> None:
    """What is not even tried has an id in the log, too, and no timings."""
    async with delivering(tmp_path) as delivery:
        topic = await delivery.world.topic()
        action: Any = {"runtime_action": "warehouse/on-low", "webhook_url": ...}
        registration = await delivery.world.register(topic, **action)
        traced, logged = await traced_and_logged(delivery, registration, topic)
        check_same_id(traced, logged, registration)
        assert "timings" not in traced[0]["trace"]


async def test_the_login_of_the_egress_proxy() -> None:
    """It reaches the proxy, and nothing that is told of its failure."""
    async with proxying(f"{LOGIN}@") as proxy:
        proxy.answer = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"
        with capture_logs() as logs:
            async with sending(egress_proxy=proxy.url) as sender:
                answer = await sender.send(post("http://127.0.0.1:9/"))
    assert "proxy-authorization: Basic " + b64encode(b"bob:p@ss-word").decode() in proxy.heads[0]
    assert "407" in answer.body.decode()
    check_hides([answer.body.decode(), logs], LOGIN_FORMS)
