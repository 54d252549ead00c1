"""The checks of `eventmill receiver-check`: what a good receiver does with each kind of request, and why it matters."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

from eventmill.cli.receiver_probe import Answer, Identity, KeyServer, Parcel, Receiver, make_event, make_parcel
from eventmill.cli.receiver_results import CheckResult, Verdict
from eventmill.core import challenge
from eventmill.core.delivery_headers import challenge_headers
from eventmill.core.signing import DeliverySigner, generate_pair, hmac_signature, public_key_path

_PARALLEL = 16
_BATCH_EVENTS = 20
_STRANGER = "somebody-elses-client-id"


class Checker:
    """Runs the checks one after the other; each is a method that asks, and says what came of it."""

    def __init__(self, receiver: Receiver, identity: Identity, keys: KeyServer, template: Mapping[str, Any]) -> None:
        self._receiver = receiver
        self._identity = identity
        self._keys = keys
        self._template = template
        self.is_batch = False
        """Whether deliveries are arrays, as of `webhook_batch`."""
        self.large_bytes = 0
        self.validation_wait_s = 0.0
        self.attempts: list[Answer] = []

    def run(self, only: tuple[str, ...] = ()) -> Iterator[CheckResult]:
        for name, title, check in self._checks():
            if only and name not in only:
                continue
            verdict, why, answer = check()
            status = (answer.status or None) if answer else None
            yield CheckResult(name, title, verdict, why, status, answer.ms if answer else None)

    def names(self) -> list[str]:
        return [name for name, _, _ in self._checks()]

    def _checks(self) -> list[tuple[str, str, Callable[[], _Found]]]:
        return [
            ("challenge", "gives the challenge back, or validates later", self._challenge),
            ("challenge_type", "answers the challenge as text/plain or application/json", self._challenge_type),
            ("good_signature", "takes a genuine delivery", self._good),
            ("second_key", "takes a delivery of which only the second signature fits", self._second_key),
            ("bad_signature", "refuses a body that was changed after signing", self._tampered),
            ("no_signature", "refuses a delivery without signatures", self._unsigned),
            ("foreign_key", "refuses a key from another host", self._foreign_key),
            ("other_recipient", "refuses an event that is addressed to somebody else", self._other_recipient),
            ("duplicate", "takes the same event twice", self._duplicate),
            ("retry", "takes a retry, which has x-adobe-retry-count", self._retry),
            ("batch", f"takes a batch of {_BATCH_EVENTS}", self._batch),
            ("large", "takes a large event", self._large),
            ("slow_body", "waits for a body that comes slowly", self._slow),
            ("parallel", f"takes {_PARALLEL} deliveries at once", self._parallel),
            ("speed", "answers within 10 seconds, every time", self._speed),
        ]

    # --- Challenge ---

    def _challenge(self) -> _Found:
        value = str(uuid4())
        answer = self._probe(value)
        why = self._refusal(answer, value, strict=False)
        if why is None:
            form = "JSON" if answer.body.strip().startswith(b"{") else "text"
            return "pass", f"given back as {form}", answer
        if not answer.status:
            return "fail", f"the challenge got no answer: {answer.why}", answer
        return self._offer(why)

    def _offer(self, why: str) -> _Found:
        """The asynchronous way: a POST with a link, which the receiver, or somebody, opens."""
        registration_id, secret = str(uuid4()), str(uuid4())
        body = challenge.offer_body(challenge.validation_url(self._keys.url, registration_id, secret))
        signature = hmac_signature(body, self._identity.client_secret.encode())
        headers = challenge_headers(registration_id, _now_ms(), signature, with_body=True)
        answer = self._receiver.ask("POST", self._receiver.url, dict(headers), body)
        if answer.status != 200:
            told = f"status {answer.status}" if answer.status else f"no answer ({answer.why})"
            return "fail", f"{why}; and the POST that offers a validation link got {told}, not 200", answer
        if self._keys.validated.wait(self.validation_wait_s):
            return "pass", "asynchronous: it took the offer and opened the link", answer
        return "fail", f"{why}; it took the link, which nobody opened within {self.validation_wait_s:g} s", answer

    def _challenge_type(self) -> _Found:
        value = str(uuid4())
        answer = self._probe(value)
        if self._refusal(answer, value, strict=False) is not None:
            return "skip", "it does not give the challenge back", answer
        why = self._refusal(answer, value, strict=True)
        return ("pass", answer.media_type, answer) if why is None else ("fail", f"{why}; it may not validate", answer)

    def _probe(self, value: str) -> Answer:
        headers = challenge_headers(str(uuid4()), _now_ms(), hmac_signature(b"", self._identity.client_secret.encode()))
        return self._receiver.ask("GET", challenge.probe_url(self._receiver.url, value), dict(headers))

    def _refusal(self, answer: Answer, value: str, *, strict: bool) -> str | None:
        if not answer.status:
            return f"no answer: {answer.why}"
        given = challenge.Answer(answer.status, answer.media_type, answer.encoding, answer.body)
        return challenge.refusal(given, value, strict=strict)

    # --- Signatures ---

    def _good(self) -> _Found:
        return _taken(self._post(self._parcel()))

    def _second_key(self) -> _Found:
        parcel = self._parcel()
        headers = parcel.headers | {"x-adobe-digital-signature-1": parcel.headers["x-adobe-digital-signature-2"]}
        verdict, why, answer = _taken(self._post(parcel._replace(headers=headers)))
        return verdict, why if verdict == "pass" else f"{why}; keys are rotated one at a time", answer

    def _tampered(self) -> _Found:
        parcel = self._parcel()
        changed = parcel.body.replace(b'"specversion"', b' "specversion"', 1)
        return _refused(self._post(parcel._replace(body=changed)), "anybody could send it events")

    def _unsigned(self) -> _Found:
        parcel = self._parcel()
        kept = {name: value for name, value in parcel.headers.items() if "signature" not in name and "key" not in name}
        return _refused(self._post(parcel._replace(headers=kept)), "anybody could send it events")

    def _foreign_key(self) -> _Found:
        """The header that names the key's path may not lead to another host: `<key host>` + `@host/path` would."""
        other = KeyServer(0)
        with other.serving():
            key_id, (private_pem, public_pem) = str(uuid4()), generate_pair()
            other.files[public_key_path(key_id)] = public_pem.encode()
            forger = DeliverySigner(((key_id, private_pem), (key_id, private_pem)))
            parcel = self._parcel()
            forged = dict(forger.headers(parcel.body, self._identity.client_secret.encode()))
            path = f"@{other.url.removeprefix('http://')}{public_key_path(key_id)}"
            forged |= {"x-adobe-public-key1-path": path, "x-adobe-public-key2-path": path}
            answer = self._post(parcel._replace(headers=parcel.headers | forged))
            if other.fetched:
                return "fail", f"it fetched a key from the host that the header named (status {answer.status})", answer
        return _refused(answer, "anybody with a key of their own could send it events")

    def _other_recipient(self) -> _Found:
        stranger = self._identity._replace(client_id=_STRANGER)
        parcel = make_parcel(stranger, [make_event(stranger, self._template)], batch=self.is_batch)
        return _refused(self._post(parcel), "who gets events of the same gateway could pass theirs on to it")

    # --- Deliveries ---

    def _duplicate(self) -> _Found:
        events = [make_event(self._identity, self._template)]
        first = self._post(make_parcel(self._identity, events, batch=self.is_batch))
        if _taken(first)[0] != "pass":
            return _taken(first)
        verdict, why, answer = _taken(self._post(make_parcel(self._identity, events, batch=self.is_batch)))
        return verdict, why if verdict == "pass" else f"the second time {why}; delivery is at least once", answer

    def _retry(self) -> _Found:
        events = [make_event(self._identity, self._template)]
        return _taken(self._post(make_parcel(self._identity, events, batch=self.is_batch, retry_count=3)))

    def _batch(self) -> _Found:
        if not self.is_batch:
            return "skip", "only with --delivery-type webhook_batch", None
        events = [make_event(self._identity, self._template) for _ in range(_BATCH_EVENTS)]
        return _taken(self._post(make_parcel(self._identity, events, batch=True)))

    def _large(self) -> _Found:
        event = make_event(self._identity, self._template, {"padding": ""})
        event["data"]["padding"] = "x" * max(0, self.large_bytes - len(json.dumps(event)))
        verdict, why, answer = _taken(self._post(make_parcel(self._identity, [event], batch=self.is_batch)))
        return verdict, f"{self.large_bytes:,} bytes: {why}", answer

    def _slow(self) -> _Found:
        return _taken(self._post(self._parcel(), slowly=True))

    def _parallel(self) -> _Found:
        parcels = [self._parcel() for _ in range(_PARALLEL)]
        with ThreadPoolExecutor(_PARALLEL) as pool:
            answers = list(pool.map(self._receiver.post, parcels))
        self.attempts += answers
        failed = [answer for answer in answers if _taken(answer)[0] != "pass"]
        slowest = max(answers, key=lambda answer: answer.ms)
        if failed:
            return "fail", f"{len(failed)} of {_PARALLEL}: {_taken(failed[0])[1]}", failed[0]
        return "pass", f"the slowest after {slowest.ms:,} ms", slowest

    def _speed(self) -> _Found:
        if not self.attempts:
            return "skip", "nothing was delivered", None
        slowest = max(self.attempts, key=lambda answer: answer.ms)
        missing = [answer for answer in self.attempts if not answer.status]
        if missing:
            return "fail", f"{len(missing)} of {len(self.attempts)} deliveries got no answer: {missing[0].why}", slowest
        return "pass", f"the slowest of {len(self.attempts)} after {slowest.ms:,} ms", slowest

    def _parcel(self) -> Parcel:
        return make_parcel(self._identity, [make_event(self._identity, self._template)], batch=self.is_batch)

    def _post(self, parcel: Parcel, *, slowly: bool = False) -> Answer:
        answer = self._receiver.post(parcel, slowly=slowly)
        self.attempts.append(answer)
        return answer


_Found = tuple[Verdict, str, Answer | None]


def _taken(answer: Answer) -> tuple[Verdict, str, Answer]:
    if not answer.status:
        return "fail", f"no answer: {answer.why}", answer
    if 200 <= answer.status <= 299:
        return "pass", f"status {answer.status}", answer
    if 300 <= answer.status <= 399:
        return "fail", f"status {answer.status}: redirects are not followed", answer
    is_retried = answer.status == 429 or (answer.status >= 500 and answer.status != 505)
    consequence = "would be sent again for 24 hours" if is_retried else "would be dropped at once"
    return "fail", f"status {answer.status}: the event {consequence}", answer


def _refused(answer: Answer, risk: str) -> _Found:
    if 400 <= answer.status <= 499 and answer.status != 429:
        return "pass", f"refused with status {answer.status}", answer
    if not answer.status:
        return "fail", f"no answer: {answer.why}; a refusal is a status such as 401", answer
    if 200 <= answer.status <= 299:
        return "fail", f"status {answer.status}: it was taken; {risk}", answer
    return "fail", f"status {answer.status} is no refusal: it would be sent again; answer 401", answer


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
