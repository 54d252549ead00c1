"""Kept lists: given back while nothing changed, dropped when anything did, bounded in size."""

from __future__ import annotations

from eventmill.web.listings import KEPT_BYTES_MAX, Listings


def test_kept_until_something_changes() -> None:
    """Found under the epochs it was made with only; a newer list drops the older ones."""
    listings = Listings()
    listings.keep((1, 1), "/a", b"a")
    listings.keep((1, 1), "/b", b"b")

    assert (listings.find((1, 1), "/a"), listings.find((1, 1), "/b"), listings.find((1, 1), "/c")) == (b"a", b"b", None)
    assert listings.find((2, 1), "/a") is None
    assert listings.find((1, 2), "/a") is None
    listings.keep((2, 2), "/b", b"B")
    assert (listings.find((2, 2), "/a"), listings.find((2, 2), "/b")) == (None, b"B")


def test_bounded() -> None:
    """What is too much in all starts anew, what is too long alone is not kept."""
    listings = Listings()
    half = bytes(KEPT_BYTES_MAX // 2)
    for url in ("/a", "/b", "/c"):
        listings.keep((1, 1), url, half)

    assert [listings.find((1, 1), url) is not None for url in ("/a", "/b", "/c")] == [False, False, True]
    listings.keep((1, 1), "/d", bytes(KEPT_BYTES_MAX + 1))
    assert listings.find((1, 1), "/d") is None
