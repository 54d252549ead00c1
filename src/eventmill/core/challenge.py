"""The challenge of a webhook: the probe's URL, whether an answer passes, the link that validates later, and what of all
this traces may show.

Follows "Introduction to Adobe I/O Events Webhooks" (The challenge request) and "Debug Tracing". Sends nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import zlib

import msgspec

_ANSWER_BYTES_MAX = 4096
"""Far more than any right answer; also bounds what a compressed one may unfold to."""
_STRICT_MEDIA_TYPES = ("text/plain", "application/json")
_HEX_DIGIT = re.compile(r"[0-9A-Fa-f]")


class Answer(msgspec.Struct, frozen=True):
    """What the endpoint answered to the probe; status below 600."""

    status: int
    content_type: str
    content_encoding: str
    body: bytes


class _JsonAnswer(msgspec.Struct):
    challenge: str


def probe_url(webhook_url: str, value: str) -> str:
    """`webhook_url` with `challenge=<value>` added to its query; a fragment is never sent and falls away."""
    url = webhook_url.partition("#")[0]
    _, has_query, query = url.partition("?")
    if not has_query:
        return f"{url}?challenge={value}"
    separator = "" if not query or query.endswith("&") else "&"
    return f"{url}{separator}challenge={value}"


def refusal(answer: Answer, value: str, *, strict: bool) -> str | None:
    """Why the answer does not pass; None: it passes.

    It must be a 2xx that gives the value back, as text (bare or in double quotes, trimmed) or as the member
    `challenge` of a JSON object. Strictly, its content type must be `text/plain` or `application/json` too.
    """
    if not 200 <= answer.status <= 299:
        hint = " (redirects are not followed)" if 300 <= answer.status <= 399 else ""
        return f"the endpoint answered the challenge with status {answer.status}{hint}, not 200"
    media_type = answer.content_type.partition(";")[0].strip().lower()
    if strict and media_type not in _STRICT_MEDIA_TYPES:
        return f"the answer's content type is {media_type or 'missing'}, not text/plain or application/json"
    if not _gives_back(_decode_content(answer), value):
        return "the answer does not give the challenge value back"
    return None


def obscure(value: str) -> str:
    """The value as traces show it: every hex digit but the last four is `X`, dashes stay."""
    return _HEX_DIGIT.sub("X", value[:-4]) + value[-4:]


def validation_url(base_url: str, registration_id: str, secret: str) -> str:
    """What somebody opens to validate the webhook of a registration; both ids are UUIDs."""
    return f"{base_url}/csm/registrations/validate?id={registration_id}&challenge={secret}"


def offer_body(url: str) -> bytes:
    """Body of the POST that offers a validation URL."""
    return msgspec.json.encode({"validationUrl": url})


def secret_sha256(secret: str) -> str:
    """What is kept of a validation's secret: 122 random bits need neither salt nor stretching."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def is_secret(given: str, sha256: str) -> bool:
    """Whether `given` is the secret of that digest; takes as long whatever was given."""
    return hmac.compare_digest(secret_sha256(given), sha256)


def _gives_back(body: bytes, value: str) -> bool:
    text = body.strip()
    if text.startswith(b'"') and text.endswith(b'"'):
        text = text[1:-1].strip()
    if text == value.encode():
        return True
    try:
        return msgspec.json.decode(body, type=_JsonAnswer).challenge == value
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False


def _decode_content(answer: Answer) -> bytes:
    """The body without its content coding. Probes announce `deflate`, so an endpoint may well use it."""
    coding = answer.content_encoding.strip().lower()
    if coding in ("deflate", "gzip", "x-gzip"):
        # "deflate" is zlib's format (RFC 9110), but raw deflate is common too; 32 detects gzip and zlib headers.
        for window_bits in (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS):
            try:
                return zlib.decompressobj(window_bits).decompress(answer.body, _ANSWER_BYTES_MAX)
            except zlib.error:
                continue
    return answer.body[:_ANSWER_BYTES_MAX]
