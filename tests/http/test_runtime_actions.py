"""Runtime actions: what an OpenWhisk host or a URL in its place receives, and what its answer means for the event."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from eventmill.core.signing import hmac_signature
from eventmill.model import Lane
from eventmill.testing import Received, answering, receiving, response
from tests.http.delivery import Delivery, delivering
from tests.http.world import BASE, SECRET, World, registration_form

pytestmark = pytest.mark.anyio

ACTION: dict[str, Any] = {"runtime_action": "warehouse/on-low", "webhook_url": ...}
AUTH = "user-1:key-1"
JSON = "content-type: application/json\r\nx-openwhisk-activation-id: a-1\r\n"


def activation(result: Any, status: str = "success") -> bytes:
    outcome = {"status": status, "success": status == "success", "result": result}
    return json.dumps({"activationId": "a-1", "response": outcome}).encode()


def answered(body: bytes, status: str = "200 OK") -> Callable[[Received], bytes]:
    return lambda _request: response(body, status, JSON)


@asynccontextmanager
async def openwhisk(
    tmp_path: Path, answer: Callable[[Received], bytes], **settings: Any
) -> AsyncIterator[tuple[Delivery, list[Received]]]:
    """A gateway whose actions are at an OpenWhisk host that answers so, and the requests that arrive there."""
    async with receiving(answering(answer)) as host:
        url = host.url.removesuffix("/hook")
        where = {"runtime_apihost": url, "runtime_auth": AUTH, "runtime_namespace": "ns-1", **settings}
        async with delivering(tmp_path, **where) as delivery:
            yield delivery, host.requests


async def deliver_one(delivery: Delivery, **members: Any) -> dict[str, Any]:
    """Publish one event to a new registration of an action, and wait for its attempt."""
    topic = await delivery.world.topic()
    registration = await delivery.world.register(topic, **{**ACTION, **members})
    assert await delivery.world.publish(topic) == 200
    await delivery.deliver.quiesce()
    return registration


async def later(delivery: Delivery, *, minutes: int) -> None:
    """What is due by then has ended."""
    delivery.world.parts.clock.advance(60_000 * minutes + 1)  # type: ignore[attr-defined]
    delivery.deliver.wake()
    await delivery.deliver.quiesce()


async def traces(world: World, registration: dict[str, Any]) -> list[Any]:
    href: str = registration["_links"]["rel:trace"]["href"]
    found: list[Any] = (await world.call("GET", href.removeprefix(BASE))).json()
    return found


async def test_invocation(tmp_path: Path) -> None:
    """A blocking invocation with the credentials of the settings; parameters are the event and `__adobe_headers`."""
    async with openwhisk(tmp_path, answered(activation({"ok": True}))) as (delivery, requests):
        registration = await deliver_one(delivery)
        [request] = requests
        [event] = await delivery.world.journal(registration)

    assert request.method == "POST"
    assert request.path == "/api/v1/namespaces/ns-1/actions/warehouse/on-low?blocking=true&result=false"
    assert request.header("authorization") == "Basic " + base64.b64encode(AUTH.encode()).decode()
    assert request.header("content-type") == "application/json"
    params = json.loads(request.body)
    headers = params.pop("__adobe_headers")
    assert params == event
    assert sorted(headers) == [
        "x-adobe-delivery-id",
        "x-adobe-event-code",
        "x-adobe-event-id",
        "x-adobe-provider",
        "x-adobe-signature",
        "x-request-id",
    ]
    assert all(isinstance(value, str) for value in headers.values())
    assert headers["x-adobe-event-id"] == event["eventid"]
    as_webhook_gets_it = request.body[: request.body.index(b',"__adobe_headers"')] + b"}"
    assert headers["x-adobe-signature"] == hmac_signature(as_webhook_gets_it, SECRET.encode())


async def test_trace_of_an_invocation(tmp_path: Path) -> None:
    """The very parameters, the activation's id and result, the action's own status; never the credentials."""
    async with openwhisk(tmp_path, answered(activation({"statusCode": 201}))) as (delivery, requests):
        registration = await deliver_one(delivery)
        [entry] = await traces(delivery.world, registration)
        [request] = requests

    asked, answer = entry["trace"]["tracingRequest"], entry["trace"]["tracingResponse"]
    assert asked["requestBody"] == request.body.decode()
    assert asked["requestUrl"].endswith("/actions/warehouse/on-low?blocking=true&result=false")
    assert asked["requestHeaders"]["x-adobe-delivery-id"] == [entry["id"]]
    assert "authorization" not in asked["requestHeaders"]
    assert "key-1" not in json.dumps(entry) and base64.b64encode(AUTH.encode()).decode() not in json.dumps(entry)
    assert (answer["responseCode"], json.loads(answer["responseBody"])) == (
        201,
        {"activation_id": "a-1", "result": {"statusCode": 201}},
    )


@pytest.mark.parametrize(
    ("answer", "code", "retried"),
    [
        (answered(activation({"statusCode": 400})), 400, False),
        (answered(activation({"statusCode": 500})), 500, True),
        (answered(activation({"error": {"statusCode": 401}}, "application error"), "502 Bad Gateway"), 401, False),
        (answered(activation({"error": "no"}, "action developer error"), "502 Bad Gateway"), 500, True),
        (answered(b'{"activationId":"a-1"}', "202 Accepted"), 604, True),
        (answered(b'{"error":"none such"}', "404 Not Found"), 404, False),
        (answered(b'{"error":"too many"}', "429 Too Many Requests"), 429, True),
        (answered(b'{"error":"bad key"}', "401 Unauthorized"), 601, True),
    ],
)
async def test_what_answers_mean(tmp_path: Path, answer: Callable[[Received], bytes], code: int, retried: bool) -> None:
    """The action's own status decides as a webhook's does; an activation that goes on is no answer; and credentials
    that OpenWhisk refuses are the operator's affair."""
    async with openwhisk(tmp_path, answer) as (delivery, requests):
        registration = await deliver_one(delivery)
        [entry] = await traces(delivery.world, registration)
        await later(delivery, minutes=1)

    assert entry["trace"]["tracingResponse"]["responseCode"] == code
    assert (len(requests) == 2) is retried
    if code != 601 and retried:
        assert json.loads(requests[1].body)["__adobe_headers"]["x-adobe-retry-count"] == "1"
    if code == 604:
        assert "activation_id a-1" in entry["trace"]["tracingResponse"]["responseBody"]


async def test_a_batch_is_one_invocation(tmp_path: Path) -> None:
    """`webhook_batch`: the events under `events`, headers of all of them joined, and the trace shows it so."""
    settings = {"webhook_batch_flush_ms": 0}
    async with openwhisk(tmp_path, answered(activation({})), **settings) as (delivery, requests):
        registration = await deliver_one(delivery, delivery_type="webhook_batch")
        [entry] = await traces(delivery.world, registration)
        journal = await delivery.world.journal(registration)

    [request] = requests
    assert json.loads(request.body)["events"] == journal
    assert entry["trace"]["tracingRequest"]["requestBody"] == request.body.decode()


async def test_a_url_stands_for_an_action(tmp_path: Path) -> None:
    """It gets the parameters with signatures over them, as a webhook would; its own status is the outcome."""
    async with receiving(answering(response(b"no", "410 Gone"))) as target:
        mapped = (f"warehouse/on-low={target.url}",)
        async with delivering(tmp_path, runtime_actions=mapped) as delivery:
            registration = await deliver_one(delivery)
            [entry] = await traces(delivery.world, registration)

    [request] = target.requests
    assert request.path == "/hook" and "__adobe_headers" in json.loads(request.body)
    assert request.header("x-adobe-digital-signature-1") and request.header("x-adobe-public-key2-path")
    assert request.header("authorization") is None
    assert entry["trace"]["tracingResponse"]["responseCode"] == 410


async def test_without_any_place_for_actions(tmp_path: Path) -> None:
    """The registration is accepted; its attempts fail like any others, and each trace names what is missing."""
    async with delivering(tmp_path) as delivery:
        registration = await deliver_one(delivery)
        await later(delivery, minutes=1)
        entries = await traces(delivery.world, registration)
        counts = await delivery.world.store.counts(Lane(registration["id"]), 0)

    assert registration["webhook_status"] == "verified"
    answers = [entry["trace"]["tracingResponse"] for entry in entries]
    assert ([answer["responseCode"] for answer in answers], counts) == ([601, 601], (0, 2))
    assert "EVENTMILL_RUNTIME_APIHOST" in answers[0]["responseBody"]
    assert "warehouse/on-low" in answers[0]["responseBody"]


async def test_refused_credentials_use_up_no_retry(tmp_path: Path) -> None:
    """As long as OpenWhisk refuses the operator's key the event waits, longer than 24 hours, and counts against nobody;
    it is delivered as if for the first time once the key is good."""
    key_is_good = False

    def answer(_request: Received) -> bytes:
        return response(activation({}), headers=JSON) if key_is_good else response(b"{}", "401 Unauthorized", JSON)

    async with openwhisk(tmp_path, answer) as (delivery, requests):
        registration = await deliver_one(delivery)
        for _ in range(3):
            await later(delivery, minutes=600)
        held = await traces(delivery.world, registration)
        key_is_good = True
        await later(delivery, minutes=15)
        last = (await traces(delivery.world, registration))[0]
        counts = await delivery.world.store.counts(Lane(registration["id"]), 0)

    assert len(held) == 4 and "EVENTMILL_RUNTIME_AUTH" in held[0]["trace"]["tracingResponse"]["responseBody"]
    assert (last["trace"]["tracingResponse"]["responseCode"], counts) == (200, (1, 0))
    assert "x-adobe-retry-count" not in json.loads(requests[-1].body)["__adobe_headers"]


async def test_retries_follow_the_registration(tmp_path: Path) -> None:
    """From a webhook to an action, to a journal, to its deletion: a scheduled retry goes where it delivered last."""
    async with openwhisk(tmp_path, answered(b'{"error":"busy"}', "429 Too Many Requests")) as (delivery, requests):
        world = delivery.world
        topic = await world.topic()
        registration = await delivery.register(topic, "/fail")
        path = f"/events/1001/2001/3001/registrations/{registration['registration_id']}"
        assert await world.publish(topic) == 200
        await delivery.hook.until("/fail", 1)
        await delivery.deliver.quiesce()

        async def change_and_wait(method: str, form: Any, minutes: int) -> int:
            assert (await world.call(method, path, form)).status in (200, 204)
            await later(delivery, minutes=minutes)
            return len(requests)

        as_action = registration_form(topic, name="/fail", **ACTION)
        as_journal = registration_form(topic, name="/fail", delivery_type="journal")
        seen = [
            await change_and_wait("PUT", as_action, 1),
            await change_and_wait("PUT", as_journal, 2),
            await change_and_wait("DELETE", None, 4),
        ]

    assert seen == [1, 2, 3]
    assert {json.loads(request.body)["id"] for request in requests} == {"1"}
    assert len(delivery.hook.bodies["/fail"]) == 1
