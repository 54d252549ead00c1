"""What happens around one call, without a network: retries, tokens, refusals, and where a token may go."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from eventmill.client import (
    Account,
    BadAnswer,
    Client,
    ClientError,
    Conflict,
    Forbidden,
    NoAnswer,
    Patience,
    ServerFailed,
    Throttled,
    Unauthorized,
)
from eventmill.client.asynchronous import AsyncClient
from tests.client.driver import Driver, account, answer, call, session

DOCS = Path(__file__).parents[2] / "docs"
SECRET: dict[str, Any] = {"access_token": "", "client_secret": "s3cret"}
GRANTED = answer(body={"access_token": "t2", "expires_in": 3600})


def test_failures_are_tried_again_as_the_official_sdk_does() -> None:
    """Network failures, 429 and 5xx, after 1, 2, 4 … seconds or what `Retry-After` says, in seconds or as a date."""
    driver = Driver(
        NoAnswer("reset"),
        answer(503),
        answer(429, retry_after="7"),
        answer(500, retry_after="Thu, 01 Jan 1970 00:17:00 GMT"),
        answer(body={"id": "p1"}),
    )
    assert driver.run(session(Patience(retries=4)).exchange(call())) == {"id": "p1"}
    assert driver.waits == [1.0, 2.0, 7.0, 20.0]


def test_other_refusals_are_not_tried_again() -> None:
    """A 4xx says no for good."""
    driver = Driver(answer(403, {"message": "not yours"}, x_request_id="r" * 32))
    with pytest.raises(Forbidden) as caught:
        driver.run(session().exchange(call()))
    assert (caught.value.status, caught.value.message, caught.value.request_id) == (403, "not yours", "r" * 32)
    assert str(caught.value) == "get_provider: 403 Forbidden: not yours"
    assert driver.waits == []


def test_the_last_failure_is_what_the_caller_gets() -> None:
    """After the retries; and at once when the service says to come back in an hour."""
    with pytest.raises(ServerFailed):
        Driver(answer(502), answer(504)).run(session(Patience(retries=1)).exchange(call()))
    with pytest.raises(NoAnswer, match="second"):
        Driver(NoAnswer("first"), NoAnswer("second")).run(session(Patience(retries=1)).exchange(call()))
    with pytest.raises(Throttled) as caught:
        Driver(answer(429, retry_after="3600")).run(session().exchange(call()))
    assert caught.value.retry_after_s == 3600


def test_conflicts_name_what_is_in_the_way() -> None:
    """The header of the service becomes a member of the error."""
    with pytest.raises(Conflict) as caught:
        Driver(answer(409, {"message": "taken"}, x_conflicting_id="p9")).run(session().exchange(call("POST")))
    assert caught.value.conflicting_id == "p9"


def test_a_token_is_fetched_kept_and_renewed_before_it_ends() -> None:
    """OAuth Server-to-Server: one request, then its token until a minute before the end."""
    now_s = [1000.0]
    kept = session(**SECRET)
    kept.now_s = lambda: now_s[0]
    driver = Driver(GRANTED, answer(body={}), answer(body={}), GRANTED, answer(body={}))
    driver.run(kept.exchange(call()))
    driver.run(kept.exchange(call()))
    now_s[0] += 3550
    driver.run(kept.exchange(call()))
    form = parse_qs((driver.sent[0].body or b"").decode())
    assert driver.sent[0].url == "https://ims-na1.adobelogin.com/ims/token/v3"
    assert (form["grant_type"], form["client_id"], form["client_secret"]) == (
        ["client_credentials"],
        ["c1"],
        ["s3cret"],
    )
    assert [send.method for send in driver.sent] == ["POST", "GET", "GET", "POST", "GET"]
    assert {headers["authorization"] for headers in driver.headers() if "authorization" in headers} == {"Bearer t2"}


def test_a_refused_token_is_renewed_once() -> None:
    """A revoked token costs one more call, a credential that is refused for good ends in `Unauthorized`."""
    driver = Driver(answer(401), GRANTED, answer(body={"id": "p1"}))
    assert driver.run(session(client_secret="s3cret").exchange(call())) == {"id": "p1"}
    with pytest.raises(Unauthorized):
        Driver(answer(401), GRANTED, answer(401)).run(session(client_secret="s3cret").exchange(call()))
    with pytest.raises(Unauthorized):
        Driver(answer(401)).run(session().exchange(call()))
    with pytest.raises(Unauthorized, match="wrong secret"):
        Driver(answer(401, {"error_description": "wrong secret"})).run(session(**SECRET).exchange(call()))


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/events",
        "http://api.adobe.io/events",
        "https://api.adobe.io.evil.example/",
        "https://evil-adobe.io/",
        "https://api.adobe.io@evil.example/",
        "https://events-va6.adobe.io:8443/",
    ],
)
def test_a_token_goes_to_the_accounts_hosts_only(url: str) -> None:
    """A link in an answer cannot lead it elsewhere, and nothing is sent there."""
    driver = Driver()
    with pytest.raises(ClientError, match="none of the account's hosts"):
        driver.run(session().exchange(call(url=url)))
    assert driver.sent == []


def test_journal_hosts_may_be_adobes_or_named() -> None:
    """The journal of the real service is on a host of its own, a gateway's on its own port."""
    named = session(api_url="http://127.0.0.1:8080", journal_hosts=("http://127.0.0.1:9090",))
    for kept, url in ((session(), "https://events-va6.adobe.io/events/x"), (named, "http://127.0.0.1:9090/events/x")):
        assert Driver(answer(body={})).run(kept.exchange(call(url=url))) == {}


def test_what_is_no_json_is_no_answer_of_the_service() -> None:
    """A sign-in page with status 200 is not taken for a provider."""
    with pytest.raises(BadAnswer):
        Driver(answer(200, b"<html>")).run(session().exchange(call()))


def test_accounts_come_from_the_environment() -> None:
    """Adobe's hosts unless `API_URL` says otherwise; what is missing is named; no secret is printed."""
    who = {"IMS_ORG_ID": "o@AdobeOrg", "CLIENT_ID": "c1", "CLIENT_SECRET": "s3cret", "ACCESS_TOKEN": "t0ken"}
    adobe = Account.from_env(who)
    assert (adobe.api_url, adobe.ingress_url) == ("https://api.adobe.io", "https://eventsingress.adobe.io")
    own = Account.from_env({**who, "API_URL": "http://127.0.0.1:8080/"})
    assert (own.ingress_url, own.ims_url, own.keys_url) == (
        "http://127.0.0.1:8080/ingress",
        "http://127.0.0.1:8080",
        "http://127.0.0.1:8080",
    )
    assert "s3cret" not in repr(own) and "t0ken" not in repr(own)
    with pytest.raises(ClientError, match="CLIENT_ID is not set"):
        Account.from_env({"IMS_ORG_ID": "o@AdobeOrg"})
    with pytest.raises(ClientError, match="access_token or client_secret"):
        account(access_token="")


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "localhost", "ftp://host", "https://"])
def test_a_host_that_is_no_url_is_refused_at_once(url: str) -> None:
    """By the name of the setting, and not as silence after seconds of retries."""
    with pytest.raises(ClientError, match="api_url is"):
        account(api_url=url)


def test_paths_hold_ids_whatever_they_are() -> None:
    """An id with a slash stays one segment, and one that would lead elsewhere is refused."""
    client = Client(account(consumer_org_id="1"))
    assert client._calls.get_provider("a/b?c", fetch_event_metadata=False).url.endswith("/events/providers/a%2Fb%3Fc")
    with pytest.raises(ClientError, match="is no id"):
        client.get_provider("..")
    with pytest.raises(ClientError, match="project_id is not known"):
        client.delete_provider("p1")


def test_both_clients_have_the_same_methods() -> None:
    """The same names, parameters and documentation; what one returns the other gives when awaited."""
    methods = [
        {name: each for name, each in vars(kind).items() if inspect.isfunction(each) and not name.startswith("__")}
        for kind in (Client, AsyncClient)
    ]
    assert methods[0].keys() == methods[1].keys()
    for name, blocking in methods[0].items():
        other = methods[1][name]
        assert inspect.signature(blocking).parameters == inspect.signature(other).parameters, name
        assert blocking.__doc__ == other.__doc__, name
        if name != "read_journal":
            returns = [inspect.signature(each).return_annotation for each in (blocking, other)]
            assert returns[0] == returns[1], name


def test_every_method_of_the_official_sdk_has_its_own() -> None:
    """Those that the fidelity page lists for it, in Python's spelling; two have better names."""
    renamed = {
        "get_events_observable_from_journal": "read_journal",
        "verify_digital_signature_for_event": "verify_digital_signature",
    }
    _, _, section = (DOCS / "fidelity.md").read_text().partition("## @adobe/aio-lib-events ")
    section, _, _ = section.partition("\n## ")
    methods = re.findall(r"^\| `(\w+)`", section, re.MULTILINE)
    assert len(methods) >= 22
    spelt = [re.sub(r"(?<!^)([A-Z])", r"_\1", method).lower() for method in methods]
    assert [name for name in spelt if not hasattr(Client, renamed.get(name, name))] == []
