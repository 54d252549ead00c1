"""The challenge: where the value goes, which answers pass, what of it traces may show."""

from __future__ import annotations

import gzip
import zlib

import pytest

from eventmill.core.challenge import (
    Answer,
    is_secret,
    obscure,
    offer_body,
    probe_url,
    refusal,
    secret_sha256,
    validation_url,
)

VALUE = "8ec8d794-e0ab-42df-9017-e3dada8eca1c"


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def judge(
    body: bytes | str, *, status: int = 200, content_type: str = "", coding: str = "", strict: bool = False
) -> str | None:
    raw = body.encode() if isinstance(body, str) else body
    return refusal(Answer(status, content_type, coding, raw), VALUE, strict=strict)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://a.example/hook", "https://a.example/hook?challenge=V"),
        ("https://a.example", "https://a.example?challenge=V"),
        ("https://a.example/hook?x=1", "https://a.example/hook?x=1&challenge=V"),
        ("https://a.example/hook?x=%2F&y", "https://a.example/hook?x=%2F&y&challenge=V"),
        ("https://a.example/hook?", "https://a.example/hook?challenge=V"),
        ("https://a.example/hook?x=1&", "https://a.example/hook?x=1&challenge=V"),
        ("https://a.example/hook#part", "https://a.example/hook?challenge=V"),
        ("https://a.example/hook?x=1#a?b", "https://a.example/hook?x=1&challenge=V"),
    ],
)
def test_probe_url(url: str, expected: str) -> None:
    """The value joins the query there is, or starts one; the rest of the URL stays as registered."""
    assert probe_url(url, "V") == expected


@pytest.mark.parametrize(
    "body",
    [
        VALUE,
        f"  {VALUE}\r\n",
        f'"{VALUE}"',
        f' "{VALUE}"\n',
        f'{{"challenge":"{VALUE}"}}',
        f'\n{{"ok": true, "challenge": "{VALUE}"}}\n',
    ],
)
def test_answers_that_give_the_value_back_pass(body: str) -> None:
    """Bare, quoted, trimmed or as JSON; leniently whatever the content type says."""
    assert judge(body) is None
    assert judge(body, content_type="text/html") is None
    assert judge(body, status=202) is None


@pytest.mark.parametrize(
    "body",
    [
        "",
        "ok",
        VALUE[:-1],
        VALUE + "x",
        VALUE.upper(),
        f"challenge={VALUE}",
        f'{{"challenge":"{VALUE[:-1]}"}}',
        f'{{"Challenge":"{VALUE}"}}',
        f'["{VALUE}"]',
        f'{{"challenge":["{VALUE}"]}}',
        f'{{"challenge":"{VALUE}"',
        b"\xff\xfe\x00",
        f"<html>{VALUE}</html>",
    ],
)
def test_answers_without_the_value_do_not_pass(body: str | bytes) -> None:
    """Close is not equal."""
    assert judge(body) == "the answer does not give the challenge value back"


@pytest.mark.parametrize("status", [101, 301, 302, 400, 404, 500, 503])
def test_only_2xx_passes(status: int) -> None:
    """The text names the status, and for redirects says why."""
    text = judge(VALUE, status=status)
    assert text is not None
    assert str(status) in text
    assert ("redirects are not followed" in text) is (300 <= status <= 399)


@pytest.mark.parametrize("content_type", ["text/plain", "TEXT/PLAIN; charset=UTF-8", "application/json;charset=utf-8"])
def test_strict_mode_takes_the_documented_content_types(content_type: str) -> None:
    """In any spelling, with parameters."""
    assert judge(VALUE, content_type=content_type, strict=True) is None


@pytest.mark.parametrize(("content_type", "named"), [("text/html", "text/html"), ("", "missing")])
def test_strict_mode_refuses_others(content_type: str, named: str) -> None:
    """The text names what came."""
    text = judge(VALUE, content_type=content_type, strict=True)
    assert text is not None
    assert named in text


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("deflate", zlib.compress(VALUE.encode())),
        ("deflate", raw_deflate(VALUE.encode())),
        (" GZIP ", gzip.compress(VALUE.encode(), mtime=0)),
        ("identity", VALUE.encode()),
    ],
)
def test_compressed_answers_are_read(coding: str, body: bytes) -> None:
    """The probe announces deflate, so an endpoint may use it, in either of its two formats."""
    assert judge(body, coding=coding) is None


def test_compressed_nonsense_does_not_pass() -> None:
    """Neither a bomb nor garbage is unfolded beyond what an answer needs."""
    assert judge(gzip.compress(bytes(50_000_000)), coding="gzip") is not None
    assert judge(b"garbage", coding="deflate") is not None


def test_obscured_value_shows_its_last_four_characters() -> None:
    """As in the console's traces: X for every other hex digit, dashes kept."""
    assert obscure(VALUE) == "XXXXXXXX-XXXX-XXXX-XXXX-XXXXXXXXca1c"


def test_offer_has_the_documented_body() -> None:
    """One member, whose URL has the registration's id and the secret in its query, below the public base URL."""
    url = validation_url("https://gw.example", "0b7e", VALUE)
    assert url == f"https://gw.example/csm/registrations/validate?id=0b7e&challenge={VALUE}"
    assert offer_body(url) == b'{"validationUrl":"%s"}' % url.encode()


@pytest.mark.parametrize("given", ["", VALUE[:-1], VALUE + "x", VALUE.upper(), secret_sha256(VALUE), "\udc80", "é"])
def test_only_the_secret_itself_fits_its_digest(given: str) -> None:
    """The digest tells nothing of the secret, and is none itself; no text makes the comparison fail."""
    digest = secret_sha256(VALUE)
    assert is_secret(VALUE, digest)
    assert not is_secret(given, digest)
    assert VALUE not in digest
