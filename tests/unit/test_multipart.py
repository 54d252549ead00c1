"""Multipart forms: read as clients write them, and refused quickly whatever else comes."""

from __future__ import annotations

import pytest

from eventmill.errors import GatewayError
from eventmill.web.ims.multipart import parse_multipart

TYPE = "multipart/form-data; boundary=b"


def part(disposition: str, value: str = "v", *further: str) -> str:
    return "\r\n".join(["--b", f"Content-Disposition: form-data; {disposition}", *further, "", value, ""])


def read(*parts: str, content_type: str = TYPE) -> dict[str, str]:
    return parse_multipart(content_type, ("".join(parts) + "--b--\r\n").encode())


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('name="scope"', "scope"),
        ("name=scope", "scope"),
        ('NAME="scope"', "scope"),
        ('filename="x"; name="scope"', "scope"),
        ('name="scope"; filename="cert.pem"', "scope"),
        ('name="\u00e4"', "\u00e4"),
        ('name=""', ""),
    ],
)
def test_names(disposition: str, name: str) -> None:
    """Quoted or not, before or after a file name, which is not taken for it."""
    assert read(part(disposition)) == {name: "v"}


def test_values() -> None:
    """Lines, an empty text, further header fields; of a repeated field the last counts."""
    fields = read(
        "an introduction\r\n",
        part('name="pem"', "a\r\n\r\nb\r\n--c", "Content-Type: text/plain", "X: y"),
        part('name="empty"', ""),
        part('name="twice"', "1"),
        part('name="twice"', "\u00e9"),
    )

    assert fields == {"pem": "a\r\n\r\nb\r\n--c", "empty": "", "twice": "\u00e9"}


@pytest.mark.parametrize(
    "content_type",
    ['multipart/form-data; charset=utf-8; boundary="b"', "multipart/form-data;Boundary=b", TYPE + "; charset=utf-8"],
)
def test_boundaries(content_type: str) -> None:
    """Quoted or not, wherever it stands."""
    assert read(part("name=a"), content_type=content_type) == {"a": "v"}


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=", b"x"),
        ("multipart/form-data; " + "(" * 3000, b"x"),
        (TYPE, b""),
        (TYPE, b"--b--\r\n"),
        (TYPE, part("name=a").encode()),
        (TYPE, part("name=a").encode() + b"--bb\r\n\r\n--b--"),
        (TYPE, part("name=a").encode() * 101 + b"--b--"),
        (TYPE, b"--b\r\n--b--"),
        (TYPE, b"--b\r\nContent-Disposition: form-data; name=a\r\n--b--"),
        (TYPE, b"--b\r\n\r\nvalue\r\n--b--"),
        (TYPE, b"--b\r\nContent-Disposition: form-data; filename=a\r\n\r\nv\r\n--b--"),
        (TYPE, b"--b\r\nContent-Disposition: form-data;" + b"(" * 60_000 + b"\r\n\r\nv\r\n--b--"),
        (TYPE, b"--b\r\n" + b"Content-Type: message/rfc822\r\n\r\n" * 2000 + b"\r\n--b--"),
    ],
)
def test_refused(content_type: str, body: bytes) -> None:
    """No boundary, no end, too many parts, parts without a name or a value, and what mail parsers trip over."""
    with pytest.raises(GatewayError, match="multipart form"):
        parse_multipart(content_type, body)
