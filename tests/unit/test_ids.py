"""Ids as text and as bytes."""

from __future__ import annotations

import pytest

from eventmill.ids import IdSource, uuid_bytes, uuid_text

TEXT = "0192f0c1-7a3b-7c4d-9e5f-00112233445a"


def test_text_and_bytes_of_a_uuid() -> None:
    """Either way gives what the other took, in either case of letters."""
    made = IdSource().event_id(1_772_359_201_123)
    assert uuid_bytes(uuid_text(made)) == made
    assert uuid_bytes(TEXT.upper()) == uuid_bytes(TEXT) == bytes.fromhex(TEXT.replace("-", ""))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "order-7",
        TEXT[:-1],
        TEXT + "0",
        TEXT.replace("-", ""),
        TEXT.replace("-", "_"),
        "-" * 36,
        "é" + TEXT[1:],
        " " + TEXT[1:],
        "0192f0c17-a3b-7c4d-9e5f-00112233445a",
    ],
)
def test_what_is_no_uuid(text: str) -> None:
    """Anything else than its usual text has no bytes."""
    assert uuid_bytes(text) is None
