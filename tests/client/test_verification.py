"""Whether a delivery is genuine: every check, keys that are kept, and nothing fetched that a forger names."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from eventmill.client import Check, NoAnswer, Verification
from eventmill.client.exchange import Answer
from eventmill.client.verification import KeyCache, Trust, verify
from tests.client.deliveries import KEY_IDS, Signed, delivered, public_pem, signed
from tests.client.driver import Driver, answer

KEYS = "https://static.adobeioevents.com"


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Asker:
    """Verifies with one cache of keys, and notes which were asked for."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.trust = Trust("c1", KeyCache(self.clock))
        self.asked: list[str] = []
        self.answers: dict[str, Answer | NoAnswer] = {}

    def __call__(self, delivery: Signed, **headers: str | None) -> Verification:
        changed = {name.replace("_", "-"): value for name, value in headers.items()}
        given = {name: value for name, value in {**delivery.headers, **changed}.items() if value is not None}
        steps = verify(self.trust, delivery.body, given)
        back: Any = None
        while True:
            try:
                step: Any = steps.send(back)
            except StopIteration as stop:
                found: Verification = stop.value
                return found
            back = self._serve(step.url) if hasattr(step, "url") else None

    def _serve(self, url: str) -> Answer | NoAnswer:
        assert url.startswith(KEYS)
        path = url.removeprefix(KEYS)
        self.asked.append(path)
        pem = public_pem(path)
        found = answer(404, b"") if pem is None else Answer(200, {}, pem)
        return self.answers.get(path, found)


def path(number: int) -> str:
    return f"/prod/keys/pub-key-{KEY_IDS[number - 1]}.pem"


WRONG = base64.b64encode(bytes(256)).decode()


def test_genuine_deliveries_pass() -> None:
    """Single events, batches, envelopes of `adobe_io` providers, and headers however they are spelt."""
    ask = Asker()
    one, batch = signed(delivered()), signed([delivered("e1"), delivered("e2")])
    assert ask(one) and ask(one).events == [delivered()]
    assert [each["eventid"] for each in ask(batch).events] == ["e1", "e2"]
    assert ask(signed({"event_id": "e", "event": {"body": 1}, "recipient_client_id": "c1"}))
    assert ask(signed({"eventid": "e", "recipientclientid": "c1"}))
    assert ask(Signed(one.body, {name.upper(): value for name, value in one.headers.items()}))


def test_either_signature_is_enough() -> None:
    """While keys change, a receiver may know one of them only."""
    ask = Asker()
    assert ask(signed(delivered()), x_adobe_digital_signature_1=WRONG)
    assert ask(signed(delivered()), x_adobe_digital_signature_2=WRONG)
    assert ask(signed(delivered()), x_adobe_digital_signature_2=None)
    ask = Asker()
    ask.answers[path(1)] = answer(404, b"")
    assert ask(signed(delivered()))


@pytest.mark.parametrize(
    ("delivery", "headers", "failed", "why"),
    [
        (signed(delivered()), {f"x_adobe_digital_signature_{n}": None for n in (1, 2)}, Check.HEADERS, "no x-adobe"),
        (signed(delivered()), {"x_adobe_public_key1_path": "@evil.example/k.pem"}, Check.KEY_PATH, "not the path"),
        (signed(delivered()), {"x_adobe_public_key1_path": "/prod/keys/../../k"}, Check.KEY_PATH, "not the path"),
        (signed(delivered()), {"x_adobe_public_key2_path": "//evil.example/k.pem"}, Check.KEY_PATH, "not the path"),
        (
            signed(delivered()),
            {f"x_adobe_public_key{n}_path": "/prod/keys/pub-key-none.pem" for n in (1, 2)},
            Check.KEY,
            "status 404",
        ),
        (signed(delivered()), {f"x_adobe_digital_signature_{n}": WRONG for n in (1, 2)}, Check.SIGNATURE, "signed"),
        (signed(delivered()), {f"x_adobe_digital_signature_{n}": "?" for n in (1, 2)}, Check.SIGNATURE, "signed"),
        (signed(b"{"), {}, Check.BODY, "no JSON"),
        (signed([]), {}, Check.BODY, "neither"),
        (signed("text"), {}, Check.BODY, "neither"),
        (signed(delivered(client_id="c2")), {}, Check.RECIPIENT, "another client id"),
        (signed([delivered(), delivered(client_id="c2")]), {}, Check.RECIPIENT, "another client id"),
    ],
)
def test_each_check_says_that_it_failed(
    delivery: Signed, headers: dict[str, str | None], failed: Check, why: str
) -> None:
    """Which one, why, and no events."""
    verified = Asker()(delivery, **headers)
    assert (verified.failed, verified.events, bool(verified)) == (failed, [], False)
    assert why in verified.why


def test_changed_bytes_are_found() -> None:
    """Also those that mean the same."""
    one = signed(delivered())
    assert Asker()(Signed(one.body + b" ", one.headers)).failed is Check.SIGNATURE


def test_keys_are_kept_for_a_day() -> None:
    """And fetched again after it."""
    ask = Asker()
    for _ in range(3):
        assert ask(signed(delivered()))
    assert ask.asked == [path(1)]
    ask.clock.now_s = 24 * 3600 + 1
    assert ask(signed(delivered()))
    assert ask.asked == [path(1)] * 2


def test_forged_paths_cannot_make_it_ask_on_and_on() -> None:
    """A key that is not there is asked for once in a while, and a flood of paths pushes out no key in use."""
    ask = Asker()
    assert ask(signed(delivered()))
    headers: dict[str, str | None] = {}
    for number in range(100):
        headers = {f"x_adobe_public_key{n}_path": f"/prod/keys/pub-key-{number}.pem" for n in (1, 2)}
        assert ask(signed(delivered()), **headers).failed is Check.KEY
    asked = len(ask.asked)
    assert ask(signed(delivered()), **headers).failed is Check.KEY
    assert ask(signed(delivered()))
    assert len(ask.asked) == asked == 101


def test_a_key_host_that_is_away_is_asked_again() -> None:
    """Neither silence nor 5xx is remembered: the retry of the delivery passes."""
    ask = Asker()
    for absent in (NoAnswer("away"), answer(503, b"")):
        ask.answers = {path(1): absent, path(2): absent}
        assert ask(signed(delivered())).failed is Check.KEY
    ask.answers = {}
    assert ask(signed(delivered()))


def test_what_is_no_rsa_key_is_none() -> None:
    """A page in place of a key fails that check, not the program."""
    ask = Asker()
    ask.answers = {path(number): Answer(200, {}, b"<html>") for number in (1, 2)}
    assert ask(signed(delivered())).failed is Check.KEY


def test_driver_waits_between_two_looks_at_a_key() -> None:
    """One retry, after a second."""
    driver = Driver(NoAnswer("reset"), Answer(200, {}, public_pem(path(1)) or b""))
    one = signed(delivered())
    assert driver.run(verify(Trust("c1", KeyCache(lambda: 0.0)), one.body, one.headers))
    assert driver.waits == [1.0]
